/**
 * Volumes, nodes and snapshots: each request becomes one or two of the API server, with the caller's own token and without any cache between, so that what is
 * answered is what is. Must never write an object that somebody else changed meanwhile when the caller said on which version the change is based.
 */

import type { MachineState } from '../../core/machine.ts';
import { Turns } from '../../core/turns.ts';
import { HttpError } from '../../edge/http/errors.ts';
import { collectionPath, type KubeObject, objectPath, type Resource, type VolumeObject } from '../api.ts';
import { decodeMachine } from '../observe/decode.ts';
import { newObject, patchOf } from './bodies.ts';
import {
  type ApiAnswer,
  type ApiPorts,
  type ApiRequest,
  type Caller,
  type KubeRequest,
  numberOf,
  type Parameters,
  textOf,
} from './ports.ts';
import { resultOf } from './refusals.ts';

/** Shown as the writer in managedFields. */
const WRITER = 'fieldManager=holdfast-api&fieldValidation=Strict';
/** The API server tries a patch without a version a few times itself; many writers at once need more. */
const PATCH_ATTEMPTS_MAX = 5;

type List = { items?: KubeObject[]; metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number } };
/** What etcd tells of a node's agent; null: it is not heard of. */
export type NodeAgent = Pick<MachineState, 'instance' | 'version' | 'settingsVersion' | 'bootId'> | null;

/** The bookkeeping of who set which field says nothing to people. */
function shown<Object extends KubeObject>(object: Object): Object {
  const { managedFields: _, ...metadata } = object.metadata as Object['metadata'] & { managedFields?: unknown };
  return { ...object, metadata };
}

export class Objects {
  readonly #ports: ApiPorts;
  readonly #resource: Resource;
  readonly #turns = new Turns();

  constructor(ports: ApiPorts, resource: Resource) {
    this.#ports = ports;
    this.#resource = resource;
  }

  async list({ parameters, caller, signal }: ApiRequest): Promise<ApiAnswer> {
    const query = listQuery(parameters);
    query.set('limit', String(numberOf(parameters, 'limit')));
    const next = textOf(parameters, 'continue');
    if (next !== undefined) query.set('continue', next);
    const request: KubeRequest = { method: 'GET', path: `${collectionPath(this.#resource)}?${query}` };
    const { items = [], metadata } = await this.#ask<List>(caller, request, signal);
    const node = textOf(parameters, 'node');
    const wanted = node === undefined ? items : items.filter((object) => concernsNode(object, node));
    return {
      status: 200,
      body: {
        items: await this.decorated(wanted),
        resourceVersion: metadata.resourceVersion,
        continue: metadata.continue || null,
        remaining: metadata.remainingItemCount ?? (metadata.continue ? null : 0),
      },
    };
  }

  async get({ parameters, caller, signal }: ApiRequest): Promise<ApiAnswer> {
    return this.#answer(200, await this.#read(caller, nameOf(parameters), signal));
  }

  async create({ body, caller, trace, signal }: ApiRequest): Promise<ApiAnswer> {
    const object = newObject(body, this.#resource, trace);
    const request: KubeRequest = { method: 'POST', path: `${collectionPath(this.#resource)}?${WRITER}`, body: object };
    return this.#answer(201, await this.#ask<KubeObject>(caller, request, signal));
  }

  async patch({ parameters, body, caller, trace, signal, ifMatch }: ApiRequest): Promise<ApiAnswer> {
    const { patch, version } = patchOf(body, this.#resource, trace, ifMatch);
    return this.#answer(200, await this.#patch(caller, nameOf(parameters), patch, version, signal));
  }

  /**
   * The trace is put on the object first, since that is where the operator finds it. A crash in between leaves an object with another trace.
   * Who may delete and not change is served all the same.
   */
  async delete({ parameters, caller, trace, signal, ifMatch }: ApiRequest): Promise<ApiAnswer> {
    const name = nameOf(parameters);
    const { patch } = patchOf({}, this.#resource, trace, ifMatch);
    const marked = await this.#patch(caller, name, patch, ifMatch, signal).catch((error: unknown) => {
      if (error instanceof HttpError && error.status === 403) return null;
      throw error;
    });
    const preconditions =
      marked === null
        ? { ...(ifMatch === null ? {} : { resourceVersion: ifMatch }) }
        : { uid: marked.metadata.uid, ...(ifMatch === null ? {} : { resourceVersion: marked.metadata.resourceVersion }) };
    const request: KubeRequest = { method: 'DELETE', path: objectPath(this.#resource, name), body: { preconditions } };
    const left = await this.#ask<KubeObject>(caller, request, signal).catch((error) =>
      this.#explained(error, caller, name, ifMatch, signal),
    );
    return left.kind === 'Status' ? { status: 204 } : this.#answer(202, left);
  }

  /** For nodes: with what etcd tells of their agents. */
  async decorated(objects: readonly KubeObject[]): Promise<object[]> {
    if (this.#resource !== 'storagenodes') return objects.map(shown);
    const agents = await this.#agents();
    return objects.map((object) => ({ ...shown(object), agent: agents.get(object.metadata.name) ?? null }));
  }

  async #answer(status: number, object: KubeObject): Promise<ApiAnswer> {
    const [body] = await this.decorated([object]);
    return { status, body, version: object.metadata.resourceVersion };
  }

  #read(caller: Caller, name: string, signal: AbortSignal): Promise<KubeObject> {
    return this.#ask<KubeObject>(caller, { method: 'GET', path: objectPath(this.#resource, name) }, signal);
  }

  async #patch(caller: Caller, name: string, patch: unknown, version: string | null, signal: AbortSignal): Promise<KubeObject> {
    const request: KubeRequest = { method: 'PATCH', path: `${objectPath(this.#resource, name)}?${WRITER}`, body: patch };
    return this.#turns.take(name, () => this.#patchNow(caller, name, request, version, signal), signal);
  }

  /** Side by side, changes of one object would only make each other fail, and be tried again by the API server till their time is over. */
  async #patchNow(caller: Caller, name: string, request: KubeRequest, version: string | null, signal: AbortSignal): Promise<KubeObject> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#ask<KubeObject>(caller, request, signal);
      } catch (error) {
        const isConflict = error instanceof HttpError && error.code === 'Conflict';
        if (isConflict && version === null && attempt < PATCH_ATTEMPTS_MAX) continue;
        return await this.#explained(error, caller, name, version, signal);
      }
    }
  }

  /** A conflict, with both versions. */
  async #explained(error: unknown, caller: Caller, name: string, version: string | null, signal: AbortSignal): Promise<never> {
    if (!(error instanceof HttpError) || error.code !== 'Conflict' || version === null) throw error;
    const { metadata } = await this.#read(caller, name, signal);
    const versions = { given: version, current: metadata.resourceVersion };
    throw new HttpError(409, 'Conflict', `${name} has changed: the change is based on version ${version}, now it is ${versions.current}`, {
      versions,
    });
  }

  async #ask<Result>({ token }: Caller, request: KubeRequest, signal: AbortSignal): Promise<Result> {
    return resultOf<Result>(await this.#ports.kube.call(token, request, signal), request);
  }

  async #agents(): Promise<Map<string, NodeAgent>> {
    const { entries } = await this.#ports.store.list(this.#ports.keys.machines);
    const machines = entries.flatMap((entry) => decodeMachine(entry).value ?? []);
    return new Map(
      machines.map(({ node, instance, version, settingsVersion, bootId }) => [node, { instance, version, settingsVersion, bootId }]),
    );
  }
}

export const nameOf = (parameters: Parameters): string => textOf(parameters, 'name') ?? '';

/** What the API server selects by; `node` it cannot. */
export function listQuery(parameters: Parameters): URLSearchParams {
  const query = new URLSearchParams();
  const selector = textOf(parameters, 'labelSelector');
  if (selector !== undefined) query.set('labelSelector', selector);
  const fields: [parameter: string, field: string][] = [
    ['phase', 'status.phase'],
    ['volume', 'spec.volume'],
  ];
  const selected = fields.flatMap(([parameter, field]) => {
    const value = textOf(parameters, parameter);
    return value === undefined ? [] : [`${field}=${value}`];
  });
  if (selected.length > 0) query.set('fieldSelector', selected.join(','));
  return query;
}

/** A volume that has a replica there, is served there or shall be; a snapshot with a part there. */
export function concernsNode(object: KubeObject, node: string): boolean {
  const { spec, status } = object as VolumeObject & { status?: { nodes?: string[] } };
  return (
    spec?.attachTo === node ||
    status?.attachment?.node === node ||
    (status?.replicas ?? []).some((replica) => replica.node === node) ||
    (status?.nodes ?? []).includes(node)
  );
}
