/** A process of its own that holds a lease and one key under it, until it is killed. Arguments: etcd's URL, the key. Says `put` when it is there. */
import { silentLog } from '../../../core/log.ts';
import { connectStore } from '../../../edge/etcd/connect.ts';

const [url = '', key = ''] = process.argv.slice(2);
const { store, lease } = connectStore({ endpoints: [url], certificates: null, leaseTtlSeconds: 3 }, silentLog);
lease.onGranted(() => {
  store.commit([], [{ put: key, value: `${process.pid}`, leased: true }]).then(
    () => console.log('put'),
    (error: unknown) => console.error(error),
  );
});
