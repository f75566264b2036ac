/** Which way devices are made on this machine. Must never take a way that the machine cannot go, nor another one than was asked for. */

import type { Log } from '../../core/log.ts';
import { ConfigurationError } from '../../core/parameters.ts';
import type { Backend, Way } from './ports.ts';

/** `backends`: best first. */
export async function chooseBackend(
  wanted: Way | 'auto',
  backends: readonly Backend[],
  log: Log,
): Promise<{ preferred: Backend; others: Backend[] }> {
  const reasons: string[] = [];
  for (const preferred of backends) {
    if (wanted !== 'auto' && wanted !== preferred.way) continue;
    const unfit = await preferred.unfit();
    if (unfit === null) {
      log.info('way of attaching', { way: preferred.way, wanted, notPossible: reasons.join('; ') });
      return { preferred, others: backends.filter((one) => one !== preferred) };
    }
    reasons.push(`${preferred.way}: ${unfit}`);
  }
  throw new ConfigurationError([{ key: 'ATTACH_WAY', value: wanted, rule: `cannot be had on this machine: ${reasons.join('; ')}` }]);
}
