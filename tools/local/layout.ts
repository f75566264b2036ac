/**
 * Where everything of a local cluster lies, and how its processes are named: one place, so that no other file joins these paths by itself.
 * Looks at nothing and creates nothing.
 */
import path from 'node:path';
import { LocalClusterError } from './errors.ts';

/** The checkout: programs are started in it, so that `agent/main.ts` and `node_modules` are found. */
export const CHECKOUT = path.resolve(import.meta.dirname, '../..');

/** Where `make up` puts its cluster. */
export const LOCAL_DIRECTORY = path.join(CHECKOUT, '.local');

export const NODES_MAX = 26;
export const OPERATORS_MAX = 5;
export const ETCD_MEMBERS_MAX = 5;
export const NAMESPACE = 'holdfast-system';
/** Who may use the REST API of a local cluster (bindings.yaml). */
export const SERVICE_ACCOUNT = 'administrator';
export const CLUSTER_NAME = 'local';
export const DEFAULT_POOL = 'default';

/** The kernel's limit for the path of a unix socket (108 bytes with the terminating zero). */
const SOCKET_PATH_MAX_BYTES = 107;
/** Room for the socket of a volume that the CSI provisioner named: `pvc-` and a UUID. */
const SOCKET_NAME_BYTES = 'pvc-00000000-0000-0000-0000-000000000000.sock'.length;

export type Program = 'etcd' | 'apiserver' | 'operator' | 'agent' | 'holder';

/** `<program>/<name>`, such as `agent/node-a`: the name of a process, and its directory below that of the cluster. */
export type ProcessName = `${Program}/${string}`;

/** The first member, in most clusters the only one. */
export const ETCD: ProcessName = 'etcd/etcd-0';
/** Of the API server, where it has an etcd of its own. */
export const API_SERVER_ETCD: ProcessName = 'etcd/kubernetes';
export const API_SERVER: ProcessName = 'apiserver/apiserver';

export function etcdProcess(member: number): ProcessName {
  return `etcd/etcd-${member}`;
}

export function nodeName(index: number): string {
  return `node-${String.fromCharCode('a'.charCodeAt(0) + index)}`;
}

export function operatorName(index: number): string {
  return `operator-${index}`;
}

export function nodeNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => nodeName(index));
}

export function operatorNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => operatorName(index));
}

export function agentProcess(node: string): ProcessName {
  return `agent/${node}`;
}

export function holderProcess(node: string): ProcessName {
  return `holder/${node}`;
}

export function operatorProcess(operator: string): ProcessName {
  return `operator/${operator}`;
}

export function lastPart(name: ProcessName): string {
  return name.slice(name.indexOf('/') + 1);
}

export function poolDirectory(directory: string, node: string, pool: string): string {
  return path.join(directory, agentProcess(node), 'pools', pool);
}

export function runDirectory(directory: string, node: string): string {
  return path.join(directory, agentProcess(node), 'run');
}

/** Where a process answers CSI. */
export function csiSocket(directory: string, process: ProcessName): string {
  return path.join(directory, process, 'csi.sock');
}

/** Where the attach holder of a node answers. */
export function holderSocket(directory: string, node: string): string {
  return path.join(directory, holderProcess(node), 'holder.sock');
}

/** Told before anything starts: an agent would find out only when the first volume is attached, with a far less clear error. */
export function checkSocketPaths(directory: string, nodes: string[]): void {
  for (const node of nodes) {
    const run = runDirectory(directory, node);
    const tooLongBytes = Buffer.byteLength(run) + 1 + SOCKET_NAME_BYTES - SOCKET_PATH_MAX_BYTES;
    if (tooLongBytes > 0) {
      throw new LocalClusterError(
        `${run} is ${tooLongBytes} bytes too long for the volumes' sockets (a unix socket's path has at most ${SOCKET_PATH_MAX_BYTES} bytes): use a checkout with a shorter path.`,
      );
    }
  }
}
