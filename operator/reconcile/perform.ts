/**
 * Does what was decided about one volume or snapshot: its actions in order, up to the first that does not succeed. Whatever did not happen is decided anew by the next
 * pass, on what is then observed.
 */
import type { Clock } from '../../core/clock.ts';
import { isOperatingError, messageOf } from '../../core/errors.ts';
import type { SnapshotUid } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import {
  collectionPath,
  FINALIZER,
  KIND_OF,
  type KubeObject,
  objectPath,
  SNAPSHOT_FINALIZER,
  type SnapshotObject,
  type VolumeObject,
} from '../api.ts';
import type { Leadership } from '../election/generation.ts';
import type { OperatorMetrics } from '../metrics.ts';
import { type Memory, withSetback } from '../observe/memory.ts';
import type { Overlay } from '../observe/overlay.ts';
import type { KubeApi, KubeView } from '../ports.ts';
import type { Action, Transaction } from '../volume/decision.ts';
import type { ObjectEvent } from '../volume/events.ts';
import type { Events } from './events.ts';
import type { KubeWrites } from './kubeWrites.ts';

export type PerformPorts = {
  api: KubeApi;
  kube: { volumes: KubeView<VolumeObject>; snapshots: KubeView<SnapshotObject> };
  writes: KubeWrites;
  events: Events;
  overlay: Overlay;
  clock: Clock;
  metrics: OperatorMetrics;
  log: Log;
};

/** What a decision is about. */
export type Subject = { resource: 'volumes' | 'snapshots'; uid: string; object: KubeObject | null };

export const objectKey = ({ resource }: Pick<Subject, 'resource'>, name: string): string => `${resource}/${name}`;
const FINALIZER_OF = { volumes: FINALIZER, snapshots: SNAPSHOT_FINALIZER } as const;

/** One term of leadership. */
export class Performer {
  readonly #ports: PerformPorts;
  readonly #leadership: Leadership;
  readonly #isOver: () => boolean;
  memory: Memory;

  constructor(ports: PerformPorts, leadership: Leadership, isOver: () => boolean, memory: Memory) {
    this.#ports = ports;
    this.#leadership = leadership;
    this.#isOver = isOver;
    this.memory = memory;
  }

  /** Whether anything was changed in etcd: then there may be more to do at once. */
  async perform(subject: Subject, decision: { actions: readonly Action[] }): Promise<boolean> {
    let hasCommitted = false;
    for (const action of decision.actions) {
      if (this.#isOver() || !(await this.#act(subject, action))) return hasCommitted;
      if (action.kind === 'commit') hasCommitted = true;
    }
    return hasCommitted;
  }

  /** False: the actions after it must not happen. */
  async #act(subject: Subject, action: Action): Promise<boolean> {
    switch (action.kind) {
      case 'commit':
        return this.#commit(subject, action.transaction);
      case 'confirmAbsent':
        return this.#isAbsent(subject, action.name);
      case 'confirmNobodyWants':
        return this.#isUnwanted(action.uid);
      case 'noteSetback':
        this.memory = withSetback(this.memory, action.what, action.signature, this.#ports.clock.monotonicMs());
        return true;
      case 'tell':
        if (subject.object) this.#ports.events.tell(KIND_OF[subject.resource], subject.object, action.event);
        return true;
      case 'addFinalizer':
        return this.#writeFinalizers(subject, (finalizers, ours) => [...finalizers, ours]);
      case 'removeFinalizer':
        return this.#writeFinalizers(subject, (finalizers, ours) => finalizers.filter((finalizer) => finalizer !== ours));
      case 'removeAnnotation':
        return this.#removeAnnotation(subject, action.annotation, action.event);
    }
  }

  async #commit(subject: Subject, { operation, traceId, conditions, changes }: Transaction): Promise<boolean> {
    const { clock, overlay, metrics, log } = this.#ports;
    const startedMs = clock.monotonicMs();
    const fields = {
      operation,
      traceId,
      [subject.resource === 'volumes' ? 'volume' : 'snapshot']: subject.object?.metadata.name ?? subject.uid,
    };
    try {
      const result = await this.#leadership.commit(conditions, changes);
      metrics.commits.inc({ outcome: result.kind });
      const durationMs = Math.round(clock.monotonicMs() - startedMs);
      if (result.kind !== 'committed') {
        log.info(`the transaction was not made: ${result.kind}`, { ...fields, durationMs });
        return false;
      }
      overlay.record(changes, result.revision, clock.monotonicMs());
      const { generation } = this.#leadership;
      log.info('transaction made', { ...fields, generation, revision: result.revision, durationMs });
      return true;
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      metrics.commits.inc({ outcome: 'unanswered' });
      log.warn('the outcome of a transaction is not known', { ...fields, error: error.message });
      return false;
    }
  }

  /** By the API server itself, not by the view: what follows cannot be undone. */
  async #isAbsent({ uid }: Subject, name: string): Promise<boolean> {
    try {
      const object = await this.#ports.api.get<VolumeObject>(objectPath('volumes', name));
      const isAbsent = object === null || object.metadata.uid !== uid;
      if (isAbsent) this.#ports.log.warn('keys of a volume whose object is gone are removed', { volume: name, uid });
      else this.#ports.kube.volumes.accept(object);
      return isAbsent;
    } catch (error) {
      this.#ports.log.warn('could not find out whether a volume is gone', { volume: name, error: messageOf(error) });
      return false;
    }
  }

  /** Neither as a Snapshot nor as a volume that starts from another: what follows cannot be undone. */
  async #isUnwanted(uid: SnapshotUid): Promise<boolean> {
    const { api, log } = this.#ports;
    try {
      const lists = await Promise.all(
        (['snapshots', 'volumes'] as const).map((resource) => api.list<KubeObject>(collectionPath(resource))),
      );
      const isUnwanted = lists.every(({ items }) => items.every(({ metadata }) => metadata.uid !== uid));
      if (isUnwanted) log.warn('a snapshot that nobody asks for any more is deleted', { uid });
      return isUnwanted;
    } catch (error) {
      log.warn('could not find out whether a snapshot is still wanted', { uid, error: messageOf(error) });
      return false;
    }
  }

  #writeFinalizers(subject: Subject, change: (finalizers: string[], ours: string) => string[]): boolean {
    const finalizers = change(subject.object?.metadata.finalizers ?? [], FINALIZER_OF[subject.resource]);
    return this.#writeMetadata(subject, 'change the finalizers', { finalizers });
  }

  /** A crash before it leaves the annotation: what it asked for is found to be done, or refused, once more. */
  #removeAnnotation(subject: Subject, annotation: string, event: ObjectEvent): boolean {
    const { [annotation]: _, ...annotations } = subject.object?.metadata.annotations ?? {};
    return this.#writeMetadata(subject, `take away the annotation ${annotation}`, { annotations }, (object) =>
      this.#ports.events.tell(KIND_OF[subject.resource], object, event),
    );
  }

  #writeMetadata(
    { resource, object }: Subject,
    operation: string,
    change: Partial<KubeObject['metadata']>,
    onWritten: (object: KubeObject) => void = () => undefined,
  ): boolean {
    if (!object) return false;
    const { name } = object.metadata;
    const body = { ...object, metadata: { ...object.metadata, ...change } };
    const view: KubeView<KubeObject> = this.#ports.kube[resource] as KubeView<never>;
    return this.#ports.writes.offer(objectKey({ resource }, name), operation, async () => {
      const written = await this.#ports.api.replace(objectPath(resource, name), body);
      if (written === null) return;
      view.accept(written);
      onWritten(written);
    });
  }
}
