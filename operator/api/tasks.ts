/** Tasks as they stand in etcd, filed, running and ended, read linearizably. Must never change one. */

import type { Claim, Task } from '../../core/task.ts';
import { HttpError } from '../../edge/http/errors.ts';
import { objectPath, type VolumeObject } from '../api.ts';
import { decodeClaim, decodeTask } from '../observe/decode.ts';
import type { Access } from './access.ts';
import { type ApiAnswer, type ApiPorts, type ApiRequest, numberOf, textOf } from './ports.ts';
import { resultOf } from './refusals.ts';

export type ShownTask = Task & {
  /** Who does it now; null: nobody. */
  claimedBy: { node: string; instance: string } | null;
  /** It has ended, and is kept for a while. */
  isHistory: boolean;
};

const byId = (one: { id: string }, other: { id: string }): number => (one.id < other.id ? -1 : one.id > other.id ? 1 : 0);

export class Tasks {
  readonly #ports: ApiPorts;
  readonly #access: Access;

  constructor(ports: ApiPorts, access: Access) {
    this.#ports = ports;
    this.#access = access;
  }

  async list(request: ApiRequest): Promise<ApiAnswer> {
    const { parameters, caller, signal } = request;
    await this.#access.authorize(caller, 'list', 'tasks', signal);
    const after = textOf(parameters, 'continue') ?? '';
    const limit = numberOf(parameters, 'limit') ?? 1;
    const state = textOf(parameters, 'state');
    const node = textOf(parameters, 'node');
    const volume = await this.#volume(request);
    const tasks = (await this.#all()).filter(
      (task) =>
        task.id > after &&
        (state === undefined || task.state === state) &&
        (node === undefined || task.node === node) &&
        (volume === null || volume(task)),
    );
    const items = tasks.slice(0, limit);
    return {
      status: 200,
      body: { items, continue: tasks.length > limit ? (items.at(-1)?.id ?? null) : null, remaining: tasks.length - items.length },
    };
  }

  /**
   * First those that live, then the ended: what is put away in between is found twice and never not at all. Claims come first of all, and count only for the
   * attempt that they name.
   */
  async #all(): Promise<ShownTask[]> {
    const { store, keys } = this.#ports;
    const claims = new Map<string, Claim>();
    for (const entry of (await store.list(keys.claims)).entries) {
      const { value } = decodeClaim(entry);
      if (value !== null) claims.set(entry.key.slice(keys.claims.length), value);
    }
    const all = new Map<string, ShownTask>();
    for (const entry of (await store.list(keys.tasks)).entries) {
      const { value } = decodeTask(entry);
      if (value !== null) all.set(value.id, shownTask(value, claims.get(value.id), false));
    }
    for (const entry of (await store.list(keys.history)).entries) {
      const { value } = decodeTask(entry);
      if (value !== null && !all.has(value.id)) all.set(value.id, shownTask(value, undefined, true));
    }
    return [...all.values()].sort(byId);
  }

  /** By uid, or by the name of a volume that is there and that the caller may see. */
  async #volume({ parameters, caller, signal }: ApiRequest): Promise<((task: Task) => boolean) | null> {
    const given = textOf(parameters, 'volume');
    if (given === undefined) return null;
    const request = { method: 'GET', path: objectPath('volumes', given) } as const;
    const answer = await this.#ports.kube.call(caller.token, request, signal);
    const uid = answer.status === 404 || answer.status === 403 ? given : resultOf<VolumeObject>(answer, request).metadata.uid;
    return ({ spec }) => spec.volume === uid || ('volumeName' in spec && spec.volumeName === given);
  }

  async get({ parameters, caller, signal }: ApiRequest): Promise<ApiAnswer> {
    await this.#access.authorize(caller, 'get', 'tasks', signal);
    const id = textOf(parameters, 'id') ?? '';
    const task = (await this.#all()).find((one) => one.id === id);
    if (task === undefined) throw new HttpError(404, 'NotFound', `there is no task ${id}; ended ones are kept for an hour`);
    return { status: 200, body: task };
  }
}

const shownTask = (task: Task, claim: Claim | undefined, isHistory: boolean): ShownTask => ({
  ...task,
  claimedBy: claim?.attempt === task.attempt ? { node: claim.node, instance: claim.instance } : null,
  isHistory,
});
