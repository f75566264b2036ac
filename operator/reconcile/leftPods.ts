/** Takes the pods away that a node left behind which is out of service (node/leftPods.ts says which). Must be called for such a node only. */
import type { NodeName } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import {
  claimPath,
  claimsOf,
  isLeftBehind,
  isOurs,
  type KubeClaim,
  type KubePersistentVolume,
  type KubePod,
  onNode,
  PODS_PATH,
  persistentVolumePath,
  podPath,
} from '../node/leftPods.ts';
import type { KubeApi } from '../ports.ts';

/** Of one node, looked at in one go; Kubernetes itself recommends no more than 110. */
const PODS_MAX = 500;

type Api = Pick<KubeApi, 'get' | 'page' | 'remove'>;

async function usesOurs(api: Api, pod: KubePod): Promise<boolean> {
  for (const name of claimsOf(pod)) {
    const claim = await api.get<KubeClaim>(claimPath(pod, name));
    const volumeName = claim?.spec?.volumeName;
    if (volumeName === undefined) continue;
    const volume = await api.get<KubePersistentVolume>(persistentVolumePath(volumeName));
    if (volume !== null && isOurs(volume)) return true;
  }
  return false;
}

export async function removeLeftPods(api: Api, node: NodeName, log: Log): Promise<void> {
  const { items } = await api.page<KubePod>(PODS_PATH, PODS_MAX, '', onNode(node));
  for (const pod of items.filter((one) => isLeftBehind(one, node))) {
    if (!(await usesOurs(api, pod))) continue;
    // This very pod, never its successor of the same name. A crash after it: the others are found again by whoever leads next.
    await api.remove(podPath(pod), pod.metadata.uid, 0);
    log.warn('a pod that a dead node left behind is removed', { node, namespace: pod.metadata.namespace, pod: pod.metadata.name });
  }
}
