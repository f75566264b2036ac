/** Making, growing, changing and deleting volumes. Each call says what shall be and waits until the leader has done it; none does anything itself. */

import { formatTraceparent } from '../../core/trace.ts';
import { CsiError, invalid } from '../../edge/csi/codes.ts';
import type { ControllerService, CreateVolumeRequest, Loose, Volume, VolumeContentSource } from '../../edge/csi/generated/csi.ts';
import { API_VERSION, objectPath, TRACEPARENT_ANNOTATION, type VolumeObject } from '../api.ts';
import type { VolumeSpec } from '../generated/volume.ts';
import { formatExact, parseQuantity } from '../quantity.ts';
import { capabilityProblems, unsupported } from './capabilities.ts';
import { isObjectName, LABEL, NAME_ANNOTATION, nameProblems, objectName } from './names.ts';
import { change, createOrFind, find, mustFindVolume, reasonOf, seenStatus } from './objects.ts';
import { type ClassParameters, parseClass, parseMutable } from './parameters.ts';
import type { Call, CsiPorts } from './ports.ts';

const DEFAULT_BYTES = 1024 ** 3;
/** Sizes are whole blocks. */
export const STEP_BYTES = 4096;
/** Of crds/. */
export const VOLUME_BYTES_MAX = 16 * 1024 ** 4;
/** Kept on the Volume: what nodes are told, so that a call that is repeated answers the same. */
const CONTEXT_ANNOTATION = 'csi.holdfast.dev/context';

type Volumes = Pick<
  ControllerService<Call>,
  'createVolume' | 'deleteVolume' | 'controllerExpandVolume' | 'controllerModifyVolume' | 'validateVolumeCapabilities'
>;
type Wanted = { name: string; requested: string; sizeBytes: number; limitBytes: number; source: VolumeSpec['source'] } & ClassParameters;

export const sizeOf = ({ spec, status }: VolumeObject): number =>
  Math.max(parseQuantity(spec.size) ?? 0, parseQuantity(status?.size ?? '') ?? 0);

/** Whole blocks: at least what is required, or where only a limit is given as much of it as can be. */
function askedBytes({ requiredBytes, limitBytes }: { requiredBytes: number; limitBytes: number }, problems: string[]): number {
  if (requiredBytes < 0 || limitBytes < 0) problems.push('capacity_range: may not be negative');
  if (limitBytes > 0 && requiredBytes > limitBytes) problems.push('capacity_range: required_bytes may not be more than limit_bytes');
  if (requiredBytes > 0) return Math.ceil(requiredBytes / STEP_BYTES) * STEP_BYTES;
  return Math.max(STEP_BYTES, Math.floor(Math.min(DEFAULT_BYTES, limitBytes || DEFAULT_BYTES) / STEP_BYTES) * STEP_BYTES);
}

function refuseSize(sizeBytes: number, limitBytes: number): void {
  if (sizeBytes > VOLUME_BYTES_MAX)
    throw new CsiError(
      'OutOfRange',
      `capacity_range: a volume may have at most ${formatExact(VOLUME_BYTES_MAX)} (asked ${formatExact(sizeBytes)})`,
    );
  if (limitBytes > 0 && sizeBytes > limitBytes)
    throw new CsiError('OutOfRange', `capacity_range: sizes are whole blocks of ${STEP_BYTES} bytes, none is within the range`);
}

function wantedOf(request: CreateVolumeRequest): Wanted {
  const problems = [...nameProblems(request.name), ...capabilityProblems(request.volumeCapabilities)];
  const range = request.capacityRange ?? { requiredBytes: 0, limitBytes: 0 };
  const sizeBytes = askedBytes(range, problems);
  const parameters = parseClass(request.parameters, request.mutableParameters);
  problems.push(...parameters.problems);
  const source = sourceOf(request.volumeContentSource, problems);
  if (problems.length > 0 || parameters.value === null) throw invalid(problems);
  refuseSize(sizeBytes, range.limitBytes);
  return { ...parameters.value, requested: request.name, name: objectName(request.name), sizeBytes, limitBytes: range.limitBytes, source };
}

function sourceOf(source: VolumeContentSource | null, problems: string[]): VolumeSpec['source'] {
  if (source === null) return undefined;
  if (source.snapshot?.snapshotId) return { snapshot: source.snapshot.snapshotId };
  if (source.volume?.volumeId) return { volume: source.volume.volumeId };
  problems.push('volume_content_source: must name a snapshot or a volume');
  return undefined;
}

function contentSource(source: VolumeSpec['source']): Loose<VolumeContentSource> | null {
  if (source?.snapshot) return { snapshot: { snapshotId: source.snapshot } };
  return source?.volume ? { volume: { volumeId: source.volume } } : null;
}

/** People may write annotations: what is no context is none, and never ends the list of all volumes. */
function contextOf({ metadata }: VolumeObject): Record<string, string> {
  try {
    const context: unknown = JSON.parse(metadata.annotations?.[CONTEXT_ANNOTATION] ?? '{}');
    return Object.fromEntries(Object.entries(context ?? {}).filter(([, value]) => typeof value === 'string'));
  } catch {
    return {};
  }
}

/** It may be used from every node, so nothing is said of topology. */
export const csiVolume = (volume: VolumeObject): Loose<Volume> => ({
  volumeId: volume.metadata.name,
  capacityBytes: sizeOf(volume),
  volumeContext: contextOf(volume),
  contentSource: contentSource(volume.spec.source),
});

/** What of a volume that is there is not as this call asks; null: all of it is. */
function difference({ metadata, spec }: VolumeObject, wanted: Wanted): string | null {
  const sizeBytes = parseQuantity(spec.size) ?? 0;
  if (sizeBytes < wanted.sizeBytes || (wanted.limitBytes > 0 && sizeBytes > wanted.limitBytes))
    return `its size is ${formatExact(sizeBytes)}, asked is ${formatExact(wanted.sizeBytes)}`;
  if (spec.source?.snapshot !== wanted.source?.snapshot || spec.source?.volume !== wanted.source?.volume)
    return 'it begins as something else';
  if (metadata.annotations?.[NAME_ANNOTATION] !== wanted.requested) return 'it was not made for this name';
  if (spec.shards !== wanted.spec.shards) return `it has ${spec.shards} shards, asked are ${wanted.spec.shards}`;
  return null;
}

export class CsiVolumes implements Volumes {
  readonly #ports: CsiPorts;

  constructor(ports: CsiPorts) {
    this.#ports = ports;
  }

  /** A crash after the object was made: the same call finds it, and waits for it. */
  createVolume: Volumes['createVolume'] = async (request, call) => {
    const wanted = wantedOf(request);
    const { kube } = this.#ports;
    const there = (await find(kube, 'volumes', wanted.name)) ?? (await this.#make(wanted, call));
    const unlike = difference(there, wanted);
    if (unlike !== null) throw new CsiError('AlreadyExists', `the volume ${wanted.name} is there already and ${unlike}`);
    if (there.metadata.deletionTimestamp)
      throw new CsiError('Aborted', `the volume ${wanted.name} of before is still being deleted; ask again`);
    const made = await this.#settled(there, call);
    return { volume: csiVolume(made) };
  };

  deleteVolume: Volumes['deleteVolume'] = async ({ volumeId }, call) => {
    if (volumeId === '') throw invalid(['volume_id: must be given']);
    const { kube, views, waiting } = this.#ports;
    const volume = await find(kube, 'volumes', volumeId);
    if (volume === null) return {};
    if (volume.spec.attachTo)
      throw new CsiError('FailedPrecondition', `the volume ${volumeId} is published to ${volume.spec.attachTo}: unpublish it first`);
    const { uid } = volume.metadata;
    await kube.remove(objectPath('volumes', volumeId), uid);
    const isGone = () => (views.volumes.isCurrent && views.volumes.objects.get(volumeId)?.metadata.uid !== uid ? true : null);
    if (await waiting.until(isGone, call.signal)) return {};
    const left = views.volumes.objects.get(volumeId) ?? volume;
    throw new CsiError('Aborted', `the volume ${volumeId} is being deleted: ${reasonOf(left, 'Ready')}`);
  };

  /** The claim may use the new size when the node has seen it, too. A volume that nobody serves grows when it is attached. */
  controllerExpandVolume: Volumes['controllerExpandVolume'] = async ({ volumeId, capacityRange, volumeCapability }, call) => {
    const problems: string[] = volumeId === '' ? ['volume_id: must be given'] : [];
    if (!capacityRange?.requiredBytes && !capacityRange?.limitBytes) problems.push('capacity_range: must be given');
    if (volumeCapability)
      problems.push(...[unsupported(volumeCapability)].flatMap((problem) => (problem ? [`volume_capability.${problem}`] : [])));
    const range = capacityRange ?? { requiredBytes: 0, limitBytes: 0 };
    const sizeBytes = askedBytes(range, problems);
    if (problems.length > 0) throw invalid(problems);
    refuseSize(sizeBytes, range.limitBytes);
    const { kube } = this.#ports;
    await mustFindVolume(kube, volumeId);
    const asked = await change<VolumeObject>(kube, 'volumes', volumeId, call.trace, (volume) =>
      sizeOf(volume) >= sizeBytes ? null : { ...volume, spec: { ...volume.spec, size: formatExact(sizeBytes) } },
    );
    if (asked === null) throw new CsiError('NotFound', `there is no volume ${volumeId} any more`);
    const grown = await this.#grown(asked, call);
    return { capacityBytes: grown, nodeExpansionRequired: true };
  };

  controllerModifyVolume: Volumes['controllerModifyVolume'] = async ({ volumeId, mutableParameters }, call) => {
    const { value, problems } = parseMutable(mutableParameters);
    if (volumeId === '') throw invalid(['volume_id: must be given', ...problems]);
    if (value === null) throw invalid(problems);
    if (!isObjectName(volumeId)) throw new CsiError('NotFound', `there is no volume ${JSON.stringify(volumeId)}`);
    const { iops, bytesPerSecond, ...counts } = value;
    const limits = { ...(iops === undefined ? {} : { iops }), ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }) };
    const changed = await change<VolumeObject>(this.#ports.kube, 'volumes', volumeId, call.trace, (volume) => {
      const spec: VolumeSpec = { ...volume.spec, ...counts, limits: { ...volume.spec.limits, ...limits } };
      return JSON.stringify(spec) === JSON.stringify(volume.spec) ? null : { ...volume, spec };
    });
    if (changed === null) throw new CsiError('NotFound', `there is no volume ${JSON.stringify(volumeId)}`);
    return {};
  };

  validateVolumeCapabilities: Volumes['validateVolumeCapabilities'] = async (request) => {
    const { volumeId, volumeCapabilities, volumeContext, parameters, mutableParameters } = request;
    const problems = volumeId === '' ? ['volume_id: must be given'] : [];
    if (volumeCapabilities.length === 0) problems.push('volume_capabilities: must be given');
    if (problems.length > 0) throw invalid(problems);
    await mustFindVolume(this.#ports.kube, volumeId);
    const wrong = [...capabilityProblems(volumeCapabilities), ...parseClass(parameters, mutableParameters).problems];
    return wrong.length > 0
      ? { message: wrong.join('; ') }
      : { confirmed: { volumeContext, volumeCapabilities, parameters, mutableParameters } };
  };

  async #make({ name, requested, sizeBytes, source, spec, node }: Wanted, { trace }: Call): Promise<VolumeObject> {
    const { kube } = this.#ports;
    await this.#checkSource(source, sizeBytes);
    const annotations = {
      [NAME_ANNOTATION]: requested,
      [CONTEXT_ANNOTATION]: JSON.stringify(node),
      [TRACEPARENT_ANNOTATION]: formatTraceparent(trace),
    };
    const object = {
      apiVersion: API_VERSION,
      kind: 'Volume',
      metadata: { name, annotations, labels: { [LABEL.key]: LABEL.value } },
      spec: { ...spec, size: formatExact(sizeBytes), ...(source ? { source } : {}) },
    };
    return createOrFind(kube, 'volumes', object, name);
  }

  async #checkSource(source: VolumeSpec['source'], sizeBytes: number): Promise<void> {
    if (source === undefined) return;
    const { kube } = this.#ports;
    const origin =
      source.snapshot === undefined ? await find(kube, 'volumes', source.volume ?? '') : await find(kube, 'snapshots', source.snapshot);
    const word = source.snapshot === undefined ? `volume ${source.volume}` : `snapshot ${source.snapshot}`;
    if (origin === null) throw new CsiError('NotFound', `volume_content_source: there is no ${word}`);
    const originBytes = parseQuantity(origin.status?.size ?? '') ?? 0;
    if (sizeBytes < originBytes)
      throw new CsiError(
        'OutOfRange',
        `capacity_range: the ${word} has ${formatExact(originBytes)}, what begins as that may not be smaller`,
      );
  }

  /** Until its replicas are made. */
  async #settled(there: VolumeObject, { signal }: Call): Promise<VolumeObject> {
    const { views, waiting } = this.#ports;
    const { name, uid } = there.metadata;
    const current = () => {
      const seen = views.volumes.objects.get(name);
      return seen?.metadata.uid === uid ? seen : null;
    };
    const made = await waiting.until(() => {
      const volume = current();
      const phase = volume?.status?.phase ?? 'Pending';
      if (volume && phase === 'Failed') throw new CsiError('Internal', `the volume ${name} failed: ${reasonOf(volume, 'Ready')}`);
      return phase === 'Pending' || phase === 'Creating' ? null : volume;
    }, signal);
    if (made !== null) return made;
    // The object stays and waits for a place; asked again, it is found by its name.
    throw new CsiError('Aborted', `the volume ${name} waits: ${reasonOf(current() ?? there, 'Ready')}`);
  }

  async #grown(asked: VolumeObject, { signal }: Call): Promise<number> {
    const { views, waiting } = this.#ports;
    const { name } = asked.metadata;
    const wantedBytes = parseQuantity(asked.spec.size) ?? 0;
    const latest = () => views.volumes.objects.get(name) ?? asked;
    const resizing = () => seenStatus(latest())?.conditions?.find(({ type }) => type === 'Resizing');
    const grown = await waiting.until(() => {
      const status = seenStatus(latest());
      if (status === null || (latest().metadata.generation ?? 0) < (asked.metadata.generation ?? 0)) return null;
      if (resizing()?.reason === 'NoRoom')
        throw new CsiError('ResourceExhausted', `the volume ${name} cannot grow: ${resizing()?.message}`);
      return (parseQuantity(status.size ?? '') ?? 0) >= wantedBytes || resizing()?.reason === 'NotAttached' ? wantedBytes : null;
    }, signal);
    if (grown !== null) return grown;
    throw new CsiError('Aborted', `the volume ${name} grows: ${resizing()?.message ?? reasonOf(latest(), 'Ready')}`);
  }
}
