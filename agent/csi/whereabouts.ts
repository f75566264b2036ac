/** Where the clients of a volume shall be, from its config in etcd: the attachment stands while an agent restarts and moves only when people, or Kubernetes, move it. */
import type { NodeName, VolumeUid } from '../../core/ids.ts';
import type { Keys } from '../../core/keys.ts';
import { parseVolumeConfigText } from '../../core/parseConfig.ts';
import type { Store } from '../../core/store.ts';
import type { Whereabouts } from './ports.ts';

export const whereaboutsIn =
  (store: Store, keys: Keys, node: NodeName) =>
  async (uid: VolumeUid): Promise<Whereabouts> => {
    const entry = await store.get(keys.volume(uid));
    // That it was deleted is written together with the config's end: whoever finds no config finds that, if it is so.
    if (entry === null) return (await store.get(keys.deletedOf(uid))) === null ? 'lost' : 'elsewhere';
    const { value } = parseVolumeConfigText(entry.value);
    // Of one that cannot be read nobody knows that it is elsewhere.
    if (value === null) return 'here';
    return value.attachment?.node === node ? 'here' : 'elsewhere';
  };
