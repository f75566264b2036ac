/** Reading and changing one object: always on the version that was read, tried again when somebody was faster. Must never write what it did not read. */
import { isOperatingError } from '../../core/errors.ts';
import { formatTraceparent, type Trace } from '../../core/trace.ts';
import { CsiError } from '../../edge/csi/codes.ts';
import {
  collectionPath,
  type KubeObject,
  objectPath,
  type Resource,
  type SnapshotObject,
  TRACEPARENT_ANNOTATION,
  type VolumeObject,
} from '../api.ts';
import { KubeRefusal } from '../ports.ts';
import { isObjectName } from './names.ts';
import type { CsiKube } from './ports.ts';

/** The leader writes other fields of the same object, so conflicts are common and short. */
const CHANGE_ATTEMPTS_MAX = 8;

type KindOf = { volumes: VolumeObject; snapshots: SnapshotObject };

/** Null: there is none, or the id is none of ours. */
export async function find<Kind extends keyof KindOf>(kube: CsiKube, resource: Kind, id: string): Promise<KindOf[Kind] | null> {
  return isObjectName(id) ? kube.get<KindOf[Kind]>(objectPath(resource, id)) : null;
}

export async function mustFindVolume(kube: CsiKube, id: string): Promise<VolumeObject> {
  const volume = await find(kube, 'volumes', id);
  if (volume === null) throw new CsiError('NotFound', `there is no volume ${JSON.stringify(id)}`);
  return volume;
}

/** The object that is there, made by this call or by one before. */
export async function createOrFind<Kind extends keyof KindOf>(
  kube: CsiKube,
  resource: Kind,
  object: object,
  name: string,
): Promise<KindOf[Kind]> {
  try {
    return await kube.create<KindOf[Kind]>(collectionPath(resource), object as KindOf[Kind]);
  } catch (error) {
    if (error instanceof KubeRefusal) throw refused(error);
    const there = isOperatingError(error, 'Conflict') ? await kube.get<KindOf[Kind]>(objectPath(resource, name)) : null;
    if (there === null) throw error;
    return there;
  }
}

/** The API server's own sentence, which names the rule that was broken. */
export const refused = ({ statusCode, message }: KubeRefusal): CsiError =>
  new CsiError(statusCode === 403 ? 'PermissionDenied' : 'InvalidArgument', message);

/** `change` gives what is to be written, or null when nothing is; null: there is no such object. */
export async function change<Object extends KubeObject>(
  kube: CsiKube,
  resource: Resource,
  name: string,
  trace: Trace,
  decide: (object: Object) => Object | null,
): Promise<Object | null> {
  const path = objectPath(resource, name);
  for (let attempt = 1; ; attempt++) {
    const object = await kube.get<Object>(path);
    if (object === null) return null;
    const wanted = decide(object);
    if (wanted === null) return object;
    try {
      return await kube.replace<Object>(path, traced(wanted, trace));
    } catch (error) {
      if (error instanceof KubeRefusal) throw refused(error);
      if (!isOperatingError(error, 'Conflict') || attempt >= CHANGE_ATTEMPTS_MAX) throw error;
    }
  }
}

export const traced = <Object extends KubeObject>(object: Object, trace: Trace): Object => ({
  ...object,
  metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, [TRACEPARENT_ANNOTATION]: formatTraceparent(trace) } },
});

/** What the leader says of the spec that stands now; null: it has not seen it yet. */
export const seenStatus = ({ metadata, status }: VolumeObject): NonNullable<VolumeObject['status']> | null =>
  status !== undefined && (status.observedGeneration ?? 0) >= (metadata.generation ?? 0) ? status : null;

/** Why it is not as it shall be, in the leader's words. */
export function reasonOf({ status }: VolumeObject, type: string): string {
  const condition = status?.conditions?.find((one) => one.type === type);
  return condition?.message ?? 'no operator has looked at it yet: does one lead?';
}
