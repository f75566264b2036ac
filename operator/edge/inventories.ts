/** Asks agents what their disks hold. Must never take another's answer for a node's: the certificate says who answers. */
import { request } from 'node:https';
import type { NodeName } from '../../core/ids.ts';
import { type Inventory, parseInventory } from '../../core/inventory.ts';
import type { MachineState } from '../../core/machine.ts';
import { type Certificates, parsePeerName } from '../../edge/tls.ts';

/** A pool with thousands of replicas is read file by file. */
const ANSWER_MS_MAX = 60_000;
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

function body(node: NodeName, url: URL, certificates: Certificates): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request(
      url,
      {
        agent: false,
        ...certificates.material,
        minVersion: 'TLSv1.3',
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
        checkServerIdentity: (_host, { subject }) => {
          const peer = parsePeerName(subject.CN);
          return peer?.role === 'agent' && peer.name === node ? undefined : new Error(`${url.host} is not the agent of ${node}`);
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let lengthBytes = 0;
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          lengthBytes += chunk.length;
          if (lengthBytes > ANSWER_BYTES_MAX) call.destroy(new Error(`an answer of more than ${ANSWER_BYTES_MAX} bytes`));
        });
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`${url} answers ${response.statusCode}: ${text.slice(0, 300)}`));
        });
      },
    );
    call.on('error', reject);
    call.end();
  });
}

/** Rejects with why there is none, in words. */
export async function fetchInventory(machine: MachineState, certificates: Certificates): Promise<Inventory> {
  const { node, instance, addresses } = machine;
  const { value, problem } = parseInventory(await body(node, new URL(`https://${addresses.http}/inventory`), certificates));
  if (problem !== null) throw new Error(`${node} answers what is no inventory: ${problem}`);
  if (value.node !== node || value.instance !== instance) throw new Error(`${node} was started again meanwhile`);
  return value;
}
