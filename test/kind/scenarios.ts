/** What must hold in a real cluster, each from nothing to nothing. The last one removes what the others need. */
import { claimAlone, claims, grow, snapshots } from './claims.ts';
import { freeze, kill } from './failures.ts';
import { certificates, drain, restart, uninstall, upgrade } from './operations.ts';

export type Scenario = { name: string; run(): Promise<string> };

export const scenarios: readonly Scenario[] = [
  { name: 'claim', run: claimAlone },
  { name: 'snapshots', run: snapshots },
  { name: 'grow', run: grow },
  { name: 'restart', run: restart },
  { name: 'drain', run: drain },
  { name: 'certificates', run: certificates },
  { name: 'kill', run: kill },
  { name: 'freeze', run: freeze },
  { name: 'claims', run: claims },
  { name: 'upgrade', run: upgrade },
  { name: 'uninstall', run: uninstall },
];
