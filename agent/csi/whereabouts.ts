/** Where the clients of a volume shall be, from its config in etcd: the attachment stands while an agent restarts and moves only when people, or Kubernetes, move it. */
import type { NodeName, VolumeUid } from '../../core/ids.ts';
import type { Keys } from '../../core/keys.ts';
import type { Store } from '../../core/store.ts';
import { readConfig } from '../../edge/configs.ts';
import type { Whereabouts } from './ports.ts';

export const whereaboutsIn =
  (store: Store, keys: Keys, node: NodeName) =>
  async (uid: VolumeUid): Promise<Whereabouts> => {
    const found = await readConfig({ store, keys }, uid, [node]);
    // That it was deleted is written together with the config's end: whoever finds no config finds that, if it is so.
    if (found === null) return (await store.get(keys.deletedOf(uid))) === null ? 'lost' : 'elsewhere';
    // Of one that cannot be read nobody knows that it is elsewhere.
    if ('problem' in found) return 'here';
    return found.config.attachment?.node === node ? 'here' : 'elsewhere';
  };
