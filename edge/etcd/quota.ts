/** How large etcd lets a member's database grow. Only its metrics tell (of etcd before 3.6 nothing else does). Must never be asked often: they are long. */
import { request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import type { TlsMaterial } from '../tls.ts';

const ANSWER_MS_MAX = 2_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const QUOTA = /^etcd_server_quota_backend_bytes ([0-9.e+]+)$/m;

function textOf(url: string, material: TlsMaterial | null): Promise<string | null> {
  return new Promise((resolve) => {
    const options = { agent: false as const, signal: AbortSignal.timeout(ANSWER_MS_MAX), ...(material ?? {}) };
    const call = (material === null ? requestPlain : requestTls)(`${url}/metrics`, options, (response) => {
      const chunks: Buffer[] = [];
      let lengthBytes = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        lengthBytes += chunk.length;
        if (lengthBytes > ANSWER_BYTES_MAX) call.destroy();
      });
      response.on('error', () => resolve(null));
      response.on('close', () => resolve(null));
      response.on('end', () => resolve(response.statusCode === 200 ? Buffer.concat(chunks).toString() : null));
    });
    call.on('error', () => resolve(null));
    call.end();
  });
}

/** Null: it does not say. */
export async function quotaBytesAt(url: string, material: TlsMaterial | null): Promise<number | null> {
  const quota = Number(QUOTA.exec((await textOf(url, material)) ?? '')?.[1] ?? Number.NaN);
  return Number.isFinite(quota) && quota > 0 ? quota : null;
}
