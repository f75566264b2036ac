/**
 * Waiting for something to happen: one answer as soon as there is something to tell, or an empty one when the time is over. A poll holds one watch on the API
 * server, with the caller's token; how many there may be is bounded where requests come in. Must never tell less than what happened since the version given.
 */
import { HttpError } from '../../edge/http/errors.ts';
import { collectionPath, type KubeObject, objectPath, type Resource, type VolumeObject } from '../api.ts';
import type { WatchEvent } from '../ports.ts';
import { concernsNode, listQuery, nameOf, type Objects } from './objects.ts';
import { type ApiAnswer, type ApiPorts, type ApiRequest, type KubeRequest, numberOf, textOf } from './ports.ts';
import { resultOf } from './refusals.ts';

/** The API server ends the watch; this is for one that does not. */
const GRACE_MS = 2_000;

type Change = { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: KubeObject };

export class LongPolls {
  readonly #ports: ApiPorts;

  constructor(ports: ApiPorts) {
    this.#ports = ports;
  }

  /** The first change after `resourceVersion`. What comes with it is told by the next poll, from the version that is answered. */
  async changes(resource: Resource, objects: Objects, { parameters, caller, signal }: ApiRequest): Promise<ApiAnswer> {
    const since = textOf(parameters, 'resourceVersion');
    if (since === undefined)
      throw new HttpError(400, 'BadRequest', 'resourceVersion must be given with watch=true: that of the list to go on from', {
        problems: [{ field: 'resourceVersion', message: 'must be given with watch=true' }],
      });
    const seconds = numberOf(parameters, 'timeoutSeconds') ?? 1;
    const node = textOf(parameters, 'node');
    let resourceVersion = since;
    const found: Change[] = [];
    await this.#watch(
      `${collectionPath(resource)}?${watchQuery(listQuery(parameters), since, seconds)}`,
      caller.token,
      seconds,
      signal,
      (event) => {
        resourceVersion = event.object.metadata.resourceVersion;
        if (event.type === 'BOOKMARK' || (node !== undefined && !concernsNode(event.object, node))) return 'more';
        found.push({ type: event.type, object: event.object });
        return 'enough';
      },
    );
    const shown = await objects.decorated(found.map(({ object }) => object));
    const changes = found.map(({ type }, index) => ({ type, object: shown[index] }));
    return { status: 200, body: { changes, resourceVersion } };
  }

  /** Until the volume is in the phase, as the leader says of the spec that stands now. */
  async phase(objects: Objects, { parameters, caller, signal }: ApiRequest): Promise<ApiAnswer> {
    const name = nameOf(parameters);
    const phase = textOf(parameters, 'phase') ?? 'Healthy';
    const seconds = numberOf(parameters, 'timeoutSeconds') ?? 1;
    const request: KubeRequest = { method: 'GET', path: objectPath('volumes', name) };
    let volume = resultOf<VolumeObject>(await this.#ports.kube.call(caller.token, request, signal), request);
    const isReached = (): boolean =>
      volume.status?.phase === phase && (volume.status?.observedGeneration ?? 0) >= (volume.metadata.generation ?? 0);
    if (!isReached()) {
      const query = watchQuery(new URLSearchParams({ fieldSelector: `metadata.name=${name}` }), volume.metadata.resourceVersion, seconds);
      await this.#watch(`${collectionPath('volumes')}?${query}`, caller.token, seconds, signal, (event) => {
        if (event.type === 'BOOKMARK') return 'more';
        if (event.type === 'DELETED') throw new HttpError(404, 'NotFound', `the volume ${name} was deleted meanwhile`);
        volume = event.object as VolumeObject;
        return isReached() ? 'enough' : 'more';
      });
    }
    const [shown] = await objects.decorated([volume]);
    return { status: 200, body: { reached: isReached(), volume: shown }, version: volume.metadata.resourceVersion };
  }

  async #watch(
    path: string,
    token: string,
    seconds: number,
    signal: AbortSignal,
    onEvent: (event: WatchEvent) => 'more' | 'enough',
  ): Promise<void> {
    const { timers } = this.#ports;
    const ending = new AbortController();
    const late = timers.sleep(seconds * 1_000 + GRACE_MS, ending.signal).then(() => ending.abort());
    try {
      await this.#ports.kube.watch(token, path, onEvent, AbortSignal.any([signal, ending.signal]));
    } finally {
      ending.abort();
      await late;
    }
  }
}

function watchQuery(query: URLSearchParams, since: string, seconds: number): URLSearchParams {
  query.set('watch', 'true');
  query.set('allowWatchBookmarks', 'true');
  query.set('resourceVersion', since);
  query.set('timeoutSeconds', String(seconds));
  return query;
}
