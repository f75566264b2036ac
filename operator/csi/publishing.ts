/** Which node uses a volume: one at a time. Says it in `spec.attachTo`, and waits until the leader has fenced or opened what has to be. */
import { CsiError, invalid } from '../../edge/csi/codes.ts';
import type { ControllerService } from '../../edge/csi/generated/csi.ts';
import { objectPath, type VolumeObject } from '../api.ts';
import { capabilityProblems } from './capabilities.ts';
import { isNodeName, READONLY_ANNOTATION } from './names.ts';
import { change, find, mustFindVolume, reasonOf, seenStatus } from './objects.ts';
import type { Call, CsiPorts } from './ports.ts';

type Publishing = Pick<ControllerService<Call>, 'controllerPublishVolume' | 'controllerUnpublishVolume'>;

const isReadonly = ({ metadata }: VolumeObject): boolean => metadata.annotations?.[READONLY_ANNOTATION] === 'true';

function published(volume: VolumeObject, node: string, readonly: boolean): VolumeObject {
  const { [READONLY_ANNOTATION]: _, ...annotations } = volume.metadata.annotations ?? {};
  const marked = readonly ? { ...annotations, [READONLY_ANNOTATION]: 'true' } : annotations;
  return { ...volume, metadata: { ...volume.metadata, annotations: marked }, spec: { ...volume.spec, attachTo: node } };
}

export class CsiPublishing implements Publishing {
  readonly #ports: CsiPorts;

  constructor(ports: CsiPorts) {
    this.#ports = ports;
  }

  controllerPublishVolume: Publishing['controllerPublishVolume'] = async (request, call) => {
    const { volumeId, nodeId, volumeCapability, readonly } = request;
    const problems = [
      ...(volumeId === '' ? ['volume_id: must be given'] : []),
      ...(nodeId === '' ? ['node_id: must be given'] : []),
      ...capabilityProblems([volumeCapability]),
    ];
    if (problems.length > 0) throw invalid(problems);
    const { kube } = this.#ports;
    await mustFindVolume(kube, volumeId);
    if (!isNodeName(nodeId) || (await kube.get(objectPath('storagenodes', nodeId))) === null)
      throw new CsiError('NotFound', `there is no node ${JSON.stringify(nodeId)} (or its agent was never heard of)`);
    const asked = await change<VolumeObject>(kube, 'volumes', volumeId, call.trace, (volume) => {
      const { attachTo } = volume.spec;
      if (volume.metadata.deletionTimestamp) throw new CsiError('NotFound', `the volume ${volumeId} is being deleted`);
      if (attachTo && attachTo !== nodeId)
        throw new CsiError(
          'FailedPrecondition',
          `the volume ${volumeId} is published to ${attachTo}: one node at a time, unpublish it there first`,
        );
      if (attachTo === nodeId && isReadonly(volume) !== readonly)
        throw new CsiError(
          'AlreadyExists',
          `the volume ${volumeId} is published to ${nodeId} already, ${readonly ? 'for writing' : 'read-only'}`,
        );
      return attachTo === nodeId ? null : published(volume, nodeId, readonly);
    });
    if (asked === null) throw new CsiError('NotFound', `there is no volume ${volumeId} any more`);
    await this.#served(asked, nodeId, call);
    return { publishContext: {} };
  };

  /** `nodeId` left out: from wherever it is. */
  controllerUnpublishVolume: Publishing['controllerUnpublishVolume'] = async ({ volumeId, nodeId }, call) => {
    if (volumeId === '') throw invalid(['volume_id: must be given']);
    const { kube } = this.#ports;
    if ((await find(kube, 'volumes', volumeId)) === null) return {};
    const asked = await change<VolumeObject>(kube, 'volumes', volumeId, call.trace, (volume) => {
      const { attachTo } = volume.spec;
      return attachTo && (nodeId === '' || attachTo === nodeId) ? published(volume, '', false) : null;
    });
    if (asked !== null) await this.#left(asked, nodeId, call);
    return {};
  };

  async #served(asked: VolumeObject, node: string, { signal }: Call): Promise<void> {
    const latest = this.#latest(asked);
    const isServed = await this.#ports.waiting.until(() => (seenStatus(latest())?.attachment?.node === node ? true : null), signal);
    if (!isServed)
      throw new CsiError('Aborted', `${node} does not serve the volume ${asked.metadata.name} yet: ${reasonOf(latest(), 'Attached')}`);
  }

  /** Nobody serves it there any more: the socket is closed, or the node can no longer write to any replica. */
  async #left(asked: VolumeObject, node: string, { signal }: Call): Promise<void> {
    const latest = this.#latest(asked);
    const hasLeft = await this.#ports.waiting.until(() => {
      const status = seenStatus(latest());
      const where = status?.attachment?.node;
      return status !== null && (where === undefined || (node !== '' && where !== node)) ? true : null;
    }, signal);
    if (!hasLeft) throw new CsiError('Aborted', `the volume ${asked.metadata.name} is still being closed: ${reasonOf(latest(), 'Ready')}`);
  }

  #latest(asked: VolumeObject): () => VolumeObject {
    const { views } = this.#ports;
    const { name, uid } = asked.metadata;
    return () => {
      const seen = views.volumes.objects.get(name);
      return seen?.metadata.uid === uid && (seen.metadata.generation ?? 0) >= (asked.metadata.generation ?? 0) ? seen : asked;
    };
  }
}
