/** Snapshots of volumes, which outlive them. Taking one is the leader's work; a call says which there shall be, and how far it is. */
import { formatTraceparent } from '../../core/trace.ts';
import { CsiError, invalid } from '../../edge/csi/codes.ts';
import type { ControllerService, Loose, Snapshot } from '../../edge/csi/generated/csi.ts';
import { API_VERSION, objectPath, type SnapshotObject, TRACEPARENT_ANNOTATION } from '../api.ts';
import { parseQuantity } from '../quantity.ts';
import { pageOf } from './listing.ts';
import { isObjectName, LABEL, NAME_ANNOTATION, nameProblems, objectName } from './names.ts';
import { createOrFind, find } from './objects.ts';
import type { Call, CsiPorts } from './ports.ts';

type Snapshots = Pick<ControllerService<Call>, 'createSnapshot' | 'deleteSnapshot' | 'listSnapshots' | 'getSnapshot'>;

/** The sidecar asks again while one is not ready; most are within this. */
const READY_MS_MAX = 8_000;

export function csiSnapshot({ metadata, spec, status }: SnapshotObject): Loose<Snapshot> {
  const takenMs = Date.parse(status?.createdAt ?? metadata.creationTimestamp ?? '');
  return {
    snapshotId: metadata.name,
    sourceVolumeId: spec.volume,
    sizeBytes: parseQuantity(status?.size ?? '') ?? 0,
    creationTime: { seconds: Math.floor((Number.isNaN(takenMs) ? 0 : takenMs) / 1_000), nanos: 0 },
    readyToUse: status?.ready === true,
  };
}

export class CsiSnapshots implements Snapshots {
  readonly #ports: CsiPorts;

  constructor(ports: CsiPorts) {
    this.#ports = ports;
  }

  createSnapshot: Snapshots['createSnapshot'] = async ({ name: requested, sourceVolumeId, parameters }, { trace, signal }) => {
    const problems = [...nameProblems(requested), ...(sourceVolumeId === '' ? ['source_volume_id: must be given'] : [])];
    const unknown = Object.keys(parameters).filter((key) => !key.startsWith('csi.storage.k8s.io/'));
    problems.push(...unknown.map((key) => `parameters.${key}: no such parameter, a snapshot has none`));
    if (problems.length > 0) throw invalid(problems);
    const { kube } = this.#ports;
    const name = objectName(requested);
    const there = (await find(kube, 'snapshots', name)) ?? (await this.#make(name, requested, sourceVolumeId, formatTraceparent(trace)));
    if (there.spec.volume !== sourceVolumeId || there.metadata.annotations?.[NAME_ANNOTATION] !== requested)
      throw new CsiError('AlreadyExists', `the snapshot ${name} is there already, of the volume ${there.spec.volume}`);
    if (there.metadata.deletionTimestamp) throw new CsiError('Aborted', `the snapshot ${name} of before is still being deleted; ask again`);
    return { snapshot: csiSnapshot(await this.#taken(there, signal)) };
  };

  deleteSnapshot: Snapshots['deleteSnapshot'] = async ({ snapshotId }, { signal }) => {
    if (snapshotId === '') throw invalid(['snapshot_id: must be given']);
    const { kube, views, waiting } = this.#ports;
    const snapshot = await find(kube, 'snapshots', snapshotId);
    if (snapshot === null) return {};
    const { uid } = snapshot.metadata;
    await kube.remove(objectPath('snapshots', snapshotId), uid);
    const isGone = () => (views.snapshots.isCurrent && views.snapshots.objects.get(snapshotId)?.metadata.uid !== uid ? true : null);
    if (await waiting.until(isGone, signal)) return {};
    const why = views.snapshots.objects.get(snapshotId)?.status?.error ?? 'its parts are being deleted';
    throw new CsiError('Aborted', `the snapshot ${snapshotId} is being deleted: ${why}`);
  };

  listSnapshots: Snapshots['listSnapshots'] = async ({ maxEntries, startingToken, sourceVolumeId, snapshotId }) => {
    const { kube } = this.#ports;
    if (snapshotId !== '') {
      const snapshot = await find(kube, 'snapshots', snapshotId);
      const isAsked = snapshot !== null && (sourceVolumeId === '' || snapshot.spec.volume === sourceVolumeId);
      return { entries: isAsked ? [{ snapshot: csiSnapshot(snapshot) }] : [], nextToken: '' };
    }
    // What is no name is none of ours, and could say something else in a selector.
    if (sourceVolumeId !== '' && !isObjectName(sourceVolumeId)) return { entries: [], nextToken: '' };
    const selector = sourceVolumeId === '' ? '' : `fieldSelector=${encodeURIComponent(`spec.volume=${sourceVolumeId}`)}`;
    const { items, next } = await pageOf<SnapshotObject>(kube, 'snapshots', maxEntries, startingToken, selector);
    return { entries: items.map((item) => ({ snapshot: csiSnapshot(item) })), nextToken: next };
  };

  getSnapshot: Snapshots['getSnapshot'] = async ({ snapshotId }) => {
    if (snapshotId === '') throw invalid(['snapshot_id: must be given']);
    const snapshot = await find(this.#ports.kube, 'snapshots', snapshotId);
    if (snapshot === null) throw new CsiError('NotFound', `there is no snapshot ${JSON.stringify(snapshotId)}`);
    return { snapshot: csiSnapshot(snapshot) };
  };

  async #make(name: string, requested: string, volume: string, traceparent: string): Promise<SnapshotObject> {
    const { kube } = this.#ports;
    if ((await find(kube, 'volumes', volume)) === null)
      throw new CsiError('NotFound', `source_volume_id: there is no volume ${JSON.stringify(volume)}`);
    const annotations = { [NAME_ANNOTATION]: requested, [TRACEPARENT_ANNOTATION]: traceparent };
    const metadata = { name, annotations, labels: { [LABEL.key]: LABEL.value } };
    return createOrFind(kube, 'snapshots', { apiVersion: API_VERSION, kind: 'Snapshot', metadata, spec: { volume } }, name);
  }

  /** As far as it is when there is something to say: ready, or why it cannot be taken now. */
  async #taken(there: SnapshotObject, signal: AbortSignal): Promise<SnapshotObject> {
    const { views, waiting } = this.#ports;
    const { name, uid } = there.metadata;
    const latest = () => {
      const seen = views.snapshots.objects.get(name);
      return seen?.metadata.uid === uid ? seen : there;
    };
    const taken = await waiting.until(() => (latest().status?.createdAt && latest().status?.ready ? latest() : null), signal, READY_MS_MAX);
    if (taken !== null) return taken;
    const { phase, error } = latest().status ?? {};
    // Asked again, it goes on waiting: nothing is lost, and its claim's events say why.
    if (phase === 'Pending' || phase === 'Failed')
      throw new CsiError('Aborted', `the snapshot ${name} waits: ${error ?? 'no reason given'}`);
    return latest();
  }
}
