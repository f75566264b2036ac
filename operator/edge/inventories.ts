/** Asks agents what their disks hold. Must never take another's answer for a node's: the certificate says who answers. */
import type { PeerCertificate } from 'node:tls';
import type { NodeName } from '../../core/ids.ts';
import { type Inventory, parseInventory } from '../../core/inventory.ts';
import type { MachineState } from '../../core/machine.ts';
import { ask } from '../../edge/http/client.ts';
import { type Certificates, parsePeerName } from '../../edge/tls.ts';

/** A pool with thousands of replicas is read file by file. */
const BOUNDS = { answerMsMax: 60_000, answerBytesMax: 256 * 1024 * 1024 };
const SHOWN_CHARACTERS = 300;

async function body(node: NodeName, url: URL, certificates: Certificates): Promise<string> {
  const options = {
    ...certificates.material,
    minVersion: 'TLSv1.3',
    checkServerIdentity: (_host: string, { subject }: PeerCertificate) => {
      const peer = parsePeerName(subject.CN);
      return peer?.role === 'agent' && peer.name === node ? undefined : new Error(`${url.host} is not the agent of ${node}`);
    },
  } as const;
  const { status, text } = await ask(url, { options, ...BOUNDS });
  if (status !== 200) throw new Error(`${url} answers ${status}: ${text.slice(0, SHOWN_CHARACTERS)}`);
  return text;
}

/** Rejects with why there is none, in words. */
export async function fetchInventory(machine: MachineState, certificates: Certificates): Promise<Inventory> {
  const { node, instance, addresses } = machine;
  const { value, problem } = parseInventory(await body(node, new URL(`https://${addresses.http}/inventory`), certificates));
  if (problem !== null) throw new Error(`${node} answers what is no inventory: ${problem}`);
  if (value.node !== node || value.instance !== instance) throw new Error(`${node} was started again meanwhile`);
  return value;
}
