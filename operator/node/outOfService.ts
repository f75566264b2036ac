/**
 * Which nodes are dead for Kubernetes too, so that pods and attachments may be torn from them: the taint `node.kubernetes.io/out-of-service`. It tears everything from the
 * node, not only what is ours, so it is for a node that both its agent and its kubelet have fallen silent on, after no volume can be written from there any more,
 * never in maintenance, and never while so many are away that the fault lies elsewhere. Only ours is ever lifted: the annotation says whose it is. Pure.
 *
 *   in service --silent, fenced, kubelet silent--> intended: the condition OutOfService stands --> tainted --its agent registers--> lifted: the condition goes
 *
 * The condition is written before the taint and goes after it, so whoever leads next knows what to look at.
 */
import type { NodeName } from '../../core/ids.ts';
import type { KubeObject, StorageNodeObject } from '../api.ts';
import { GROUP } from '../api.ts';
import { isTrue } from '../conditions.ts';
import type { Observed } from '../observe/observed.ts';
import type { World } from '../volume/decision.ts';
import { isOutage } from '../volume/replace.ts';

/** On the Node: the taint is ours, and since when. */
export const OUT_OF_SERVICE_ANNOTATION = `${GROUP}/out-of-service`;
const TAINT = { key: 'node.kubernetes.io/out-of-service', value: 'nodeshutdown', effect: 'NoExecute' } as const;
/** An agent that is started again is back sooner; and what the views have not heard of yet they have by then. */
export const OUT_OF_SERVICE_PATIENCE_MS = 5_000;

type Taint = { key: string; value?: string; effect: string };
type NodeCondition = { type: string; status: string };
/** As much of a Kubernetes Node as is looked at; all else is written back as it was read. */
export type KubeNode = KubeObject & { spec?: { taints?: Taint[] }; status?: { conditions?: NodeCondition[] } };
export const kubeNodePath = (name: NodeName): string => `/api/v1/nodes/${encodeURIComponent(name)}`;

const isOurs = ({ metadata }: KubeNode): boolean => metadata.annotations?.[OUT_OF_SERVICE_ANNOTATION] !== undefined;
const isTaint = ({ key, effect }: Taint): boolean => key === TAINT.key && effect === TAINT.effect;

/** Tainted, and by us: only then is anything else taken from it. */
export const isTaintedByUs = (node: KubeNode): boolean => isOurs(node) && (node.spec?.taints ?? []).some(isTaint);

/** Its kubelet is not heard of either: then nothing runs there that anybody could still talk to. */
export const isKubeletSilent = ({ status }: KubeNode): boolean =>
  status?.conditions?.find(({ type }) => type === 'Ready')?.status !== 'True';

/** With the taint; null: there is nothing to change, it is tainted already, by whomever. */
export function tainted(node: KubeNode, time: string): KubeNode | null {
  const taints = node.spec?.taints ?? [];
  if (taints.some(isTaint)) return null;
  const annotations = { ...node.metadata.annotations, [OUT_OF_SERVICE_ANNOTATION]: time };
  return { ...node, metadata: { ...node.metadata, annotations }, spec: { ...node.spec, taints: [...taints, TAINT] } };
}

/** Without ours; null: there is none of ours. */
export function lifted(node: KubeNode): KubeNode | null {
  if (!isOurs(node)) return null;
  const { [OUT_OF_SERVICE_ANNOTATION]: _, ...annotations } = node.metadata.annotations ?? {};
  const taints = (node.spec?.taints ?? []).filter((taint) => !isTaint(taint));
  return { ...node, metadata: { ...node.metadata, annotations }, spec: { ...node.spec, taints } };
}

export const isIntended = ({ status }: StorageNodeObject): boolean => isTrue(status?.conditions, 'OutOfService');

/** Those that a volume could still be written from, as etcd has it. */
const primaryNodes = ({ volumes }: Pick<Observed, 'volumes'>): Set<NodeName> =>
  new Set([...volumes.values()].flatMap(({ config }) => config?.value.primary?.node ?? []));

/** Silent for long enough, down by nobody's wish, and fenced: no volume has its primary there under any epoch that still counts. */
export function deadNodes(observed: Pick<Observed, 'volumes' | 'storageNodes' | 'machines'>, world: World): NodeName[] {
  if (isOutage(world)) return [];
  const silent = [...observed.storageNodes].filter(([name, { spec }]) => {
    const sinceMs = world.memory.machineGoneSinceMs.get(name);
    const isLong = sinceMs !== undefined && world.now.monotonicMs - sinceMs >= OUT_OF_SERVICE_PATIENCE_MS;
    return isLong && !observed.machines.has(name) && !spec.maintenance;
  });
  if (silent.length === 0) return [];
  const writing = primaryNodes(observed);
  return silent.map(([name]) => name).filter((name) => !writing.has(name));
}
