/**
 * Reads the config in force of one volume out of the store: both its keys at one revision, in one call where the primary is on a node that was likely. Must never put together
 * what was read at two moments.
 */
import { OperatingError } from '../core/errors.ts';
import type { NodeName, VolumeUid } from '../core/ids.ts';
import { type ConfigInForce, readInForce, recorderOf } from '../core/inForce.ts';
import type { Keys } from '../core/keys.ts';
import type { Entry, Store } from '../core/store.ts';

/** As often the primary may move to a node that was not looked at, while it is looked at. */
const LOOKS_MAX = 4;

export type FoundConfig = ConfigInForce | { problem: string } | null;

/** Null: there is none. `likely`: where the primary may be, by what is known; another costs one more look. */
export async function readConfig(
  { store, keys }: { store: Pick<Store, 'getAll'>; keys: Keys },
  uid: VolumeUid,
  likely: Iterable<NodeName | null | undefined>,
): Promise<FoundConfig> {
  const nodes = new Set([...likely].filter((node) => typeof node === 'string'));
  for (let look = 1; look <= LOOKS_MAX; look++) {
    const places = [...nodes].map((node) => keys.primary(node, uid));
    const [entry = null, ...records] = await store.getAll([keys.volume(uid), ...places]);
    if (entry === null) return null;
    const found = readInForce(keys, uid, entry, (key) => recordIn(records, key));
    const recorder = 'problem' in found ? null : recorderOf(found.leaders);
    if (recorder === null || nodes.has(recorder)) return found;
    nodes.add(recorder);
  }
  throw new OperatingError('Unavailable', `read the config of ${uid}`, 'its primary moved each time that it was looked for');
}

const recordIn = (records: readonly (Entry | null)[], key: string): Entry | null => records.find((entry) => entry?.key === key) ?? null;
