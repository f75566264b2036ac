/** What there is, page by page, and how it is. Straight from the API server, whose tokens are ours: nothing is remembered between pages. */
import { CsiError, invalid } from '../../edge/csi/codes.ts';
import type { ControllerService, Loose, VolumeCondition } from '../../edge/csi/generated/csi.ts';
import { collectionPath, type KubeObject, type Resource, type VolumeObject } from '../api.ts';
import { Gone, KubeRefusal, type Page } from '../ports.ts';
import { mustFindVolume, reasonOf } from './objects.ts';
import type { Call, CsiKube, CsiPorts } from './ports.ts';
import { csiVolume } from './volumes.ts';

type Listing = Pick<ControllerService<Call>, 'listVolumes' | 'controllerGetVolume'>;

/** CSI: a token that cannot be gone on from is answered with Aborted, and the caller begins anew. */
export async function pageOf<Object extends KubeObject>(
  kube: CsiKube,
  resource: Resource,
  maxEntries: number,
  token: string,
  selector = '',
): Promise<Page<Object>> {
  if (maxEntries < 0) throw invalid([`max_entries: may not be negative (is ${maxEntries})`]);
  try {
    return await kube.page<Object>(collectionPath(resource), maxEntries, token, selector);
  } catch (error) {
    const isToken = error instanceof Gone || (error instanceof KubeRefusal && error.statusCode === 400);
    if (isToken && token !== '') throw new CsiError('Aborted', 'starting_token: the list cannot be gone on with from there, begin anew');
    throw error;
  }
}

/** Abnormal is what somebody may have to look at: fewer copies than asked for, or not served although it shall be. */
export function conditionOf(volume: VolumeObject): Loose<VolumeCondition> {
  const phase = volume.status?.phase ?? 'Pending';
  const abnormal = phase === 'Degraded' || phase === 'Unavailable' || phase === 'Failed';
  return { abnormal, message: `${phase}: ${reasonOf(volume, 'Ready')}` };
}

const entryOf = (volume: VolumeObject) => ({
  volume: csiVolume(volume),
  status: { publishedNodeIds: volume.spec.attachTo ? [volume.spec.attachTo] : [], volumeCondition: conditionOf(volume) },
});

export class CsiListing implements Listing {
  readonly #ports: CsiPorts;

  constructor(ports: CsiPorts) {
    this.#ports = ports;
  }

  listVolumes: Listing['listVolumes'] = async ({ maxEntries, startingToken }) => {
    const { items, next } = await pageOf<VolumeObject>(this.#ports.kube, 'volumes', maxEntries, startingToken);
    return { entries: items.map(entryOf), nextToken: next };
  };

  controllerGetVolume: Listing['controllerGetVolume'] = async ({ volumeId }) => {
    if (volumeId === '') throw invalid(['volume_id: must be given']);
    return entryOf(await mustFindVolume(this.#ports.kube, volumeId));
  };
}
