/** How large etcd lets a member's database grow. Only its metrics tell (of etcd before 3.6 nothing else does). Must never be asked often: they are long. */
import { ask } from '../http/client.ts';
import type { TlsMaterial } from '../tls.ts';

const BOUNDS = { answerMsMax: 2_000, answerBytesMax: 4 * 1024 * 1024 };
const QUOTA = /^etcd_server_quota_backend_bytes ([0-9.e+]+)$/m;

/** Null: it does not say. */
export async function quotaBytesAt(url: string, material: TlsMaterial | null): Promise<number | null> {
  const answer = await ask(`${url}/metrics`, { options: material ?? {}, ...BOUNDS }).catch(() => null);
  const quota = Number(QUOTA.exec(answer?.status === 200 ? answer.text : '')?.[1] ?? Number.NaN);
  return Number.isFinite(quota) && quota > 0 ? quota : null;
}
