/** The configs in force, out of what stands in a store: for tests that look at them, and for those that stand in for a leader or a primary. Must never read one key of a config alone. */
import type { VolumeConfig } from '../../core/config.ts';
import { type VolumeUid, volumeUid } from '../../core/ids.ts';
import { type ConfigInForce, readInForce, unchangedConfig } from '../../core/inForce.ts';
import type { Keys } from '../../core/keys.ts';
import type { Change, Condition, Entry, Store } from '../../core/store.ts';
import { SCHEMA, SCHEMA_LOWEST_READER } from '../../core/versions.ts';
import { readConfig } from '../../edge/configs.ts';

/** As the leader of an empty store writes it. */
export const SCHEMA_TEXT = JSON.stringify({ version: SCHEMA.highest, lowestReader: SCHEMA_LOWEST_READER, writtenBy: 'a test' });

/** Of a listing of everything; those that can be read. */
export function configsAmong(entries: readonly Entry[], keys: Keys): ConfigInForce[] {
  const byKey = new Map(entries.map((entry) => [entry.key, entry]));
  return entries
    .filter(({ key }) => key.startsWith(keys.volumes))
    .flatMap((entry) => {
      const found = readInForce(keys, volumeUid(entry.key.slice(keys.volumes.length)), entry, (key) => byKey.get(key) ?? null);
      return 'problem' in found ? [] : [found];
    });
}

export const configsIn = async (store: Store, keys: Keys): Promise<ConfigInForce[]> =>
  configsAmong((await store.list(keys.root)).entries, keys);

export async function configIn(store: Pick<Store, 'getAll'>, keys: Keys, uid: VolumeUid): Promise<ConfigInForce | null> {
  const found = await readConfig({ store, keys }, uid, []);
  if (found !== null && 'problem' in found) throw new Error(found.problem);
  return found;
}

type Commit = { conditions: Condition[]; changes: Change[] };

/** What a leader changes in a config's keys. */
export const leadersChange = (keys: Keys, before: ConfigInForce | null, next: VolumeConfig): Commit => ({
  conditions: before === null ? [{ key: keys.volume(next.uid), is: 'absent' }] : unchangedConfig(before),
  changes: [{ put: keys.volume(next.uid), value: JSON.stringify(next) }, ...(before?.record?.entry ? [{ delete: before.record.key }] : [])],
});

/** What the primary that is named changes in them. */
export function primarysChange(before: ConfigInForce, next: VolumeConfig): Commit {
  if (before.record === null) throw new Error('no primary is named');
  const value = JSON.stringify({ base: before.leaders.version, config: next });
  return { conditions: unchangedConfig(before), changes: [{ put: before.record.key, value }] };
}
