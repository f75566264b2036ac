/** Seeds the settings of every agent with the leader's configuration: what they are afterwards, and why, is `settingsRecord.ts`. */
import type { Keys } from '../../core/keys.ts';
import type { Settings, SettingsProblem } from '../../core/settings.ts';
import type { Condition, Store } from '../../core/store.ts';
import type { CommitResult, Leadership } from '../election/generation.ts';
import { seeded } from '../settingsRecord.ts';

export type Published =
  | { kind: CommitResult['kind'] }
  /** They stand there already. */
  | { kind: 'unchanged' }
  /** The configuration does not go together with what the API set: that stays. */
  | { kind: 'contradiction'; problems: readonly SettingsProblem[] };

export async function publishSettings(store: Store, keys: Keys, leadership: Leadership, values: Settings): Promise<Published> {
  const entry = await store.get(keys.settings);
  const { next, problems } = seeded(entry?.value ?? null, values);
  if (problems.length > 0) return { kind: 'contradiction', problems };
  if (next === null) return { kind: 'unchanged' };
  const condition: Condition = entry
    ? { key: keys.settings, is: 'revision', revision: entry.revision }
    : { key: keys.settings, is: 'absent' };
  const { kind } = await leadership.commit([condition], [{ put: keys.settings, value: JSON.stringify(next) }]);
  return { kind };
}
