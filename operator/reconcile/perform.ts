/**
 * Does what was decided about one volume: its actions in order, up to the first that does not succeed. Whatever did not happen is decided anew by the next
 * pass, on what is then observed.
 */
import type { Clock } from '../../core/clock.ts';
import { isOperatingError, messageOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { FINALIZER, objectPath, type VolumeObject } from '../api.ts';
import type { Leadership } from '../election/generation.ts';
import type { OperatorMetrics } from '../metrics.ts';
import { type Memory, withSetback } from '../observe/memory.ts';
import type { ObservedVolume } from '../observe/observed.ts';
import type { Overlay } from '../observe/overlay.ts';
import type { KubeApi, KubeView } from '../ports.ts';
import type { Action, Decision, Transaction } from '../volume/decision.ts';
import type { Events } from './events.ts';
import type { KubeWrites } from './kubeWrites.ts';

export type PerformPorts = {
  api: KubeApi;
  volumes: KubeView<VolumeObject>;
  writes: KubeWrites;
  events: Events;
  overlay: Overlay;
  clock: Clock;
  metrics: OperatorMetrics;
  log: Log;
};

export const volumeKey = (name: string): string => `volumes/${name}`;

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
  async perform(volume: ObservedVolume, decision: Decision): Promise<boolean> {
    let hasCommitted = false;
    for (const action of decision.actions) {
      if (this.#isOver() || !(await this.#act(volume, action))) return hasCommitted;
      if (action.kind === 'commit') hasCommitted = true;
    }
    return hasCommitted;
  }

  /** False: the actions after it must not happen. */
  async #act(volume: ObservedVolume, action: Action): Promise<boolean> {
    switch (action.kind) {
      case 'commit':
        return this.#commit(volume, action.transaction);
      case 'confirmAbsent':
        return this.#isAbsent(volume, action.name);
      case 'noteSetback':
        this.memory = withSetback(this.memory, action.what, action.signature, this.#ports.clock.monotonicMs());
        return true;
      case 'tell':
        if (volume.object) this.#ports.events.tell(volume.object, action.event);
        return true;
      case 'addFinalizer':
        return this.#writeFinalizers(volume, (finalizers) => [...finalizers, FINALIZER]);
      case 'removeFinalizer':
        return this.#writeFinalizers(volume, (finalizers) => finalizers.filter((finalizer) => finalizer !== FINALIZER));
    }
  }

  async #commit(volume: ObservedVolume, { operation, traceId, conditions, changes }: Transaction): Promise<boolean> {
    const { clock, overlay, metrics, log } = this.#ports;
    const startedMs = clock.monotonicMs();
    const fields = { operation, traceId, volume: volume.object?.metadata.name ?? volume.uid };
    try {
      const result = await this.#leadership.commit(conditions, changes);
      metrics.commits.inc({ outcome: result.kind });
      const durationMs = Math.round(clock.monotonicMs() - startedMs);
      if (result.kind !== 'committed') {
        log.info(`the transaction was not made: ${result.kind}`, { ...fields, durationMs });
        return false;
      }
      overlay.record(changes, result.revision, clock.monotonicMs());
      log.info('transaction made', { ...fields, durationMs });
      return true;
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      metrics.commits.inc({ outcome: 'unanswered' });
      log.warn('the outcome of a transaction is not known', { ...fields, error: error.message });
      return false;
    }
  }

  /** By the API server itself, not by the view: what follows cannot be undone. */
  async #isAbsent(volume: ObservedVolume, name: string): Promise<boolean> {
    try {
      const object = await this.#ports.api.get<VolumeObject>(objectPath('volumes', name));
      const isAbsent = object === null || object.metadata.uid !== volume.uid;
      if (isAbsent) this.#ports.log.warn('keys of a volume whose object is gone are removed', { volume: name, uid: volume.uid });
      else this.#ports.volumes.accept(object);
      return isAbsent;
    } catch (error) {
      this.#ports.log.warn('could not find out whether a volume is gone', { volume: name, error: messageOf(error) });
      return false;
    }
  }

  #writeFinalizers(volume: ObservedVolume, change: (finalizers: string[]) => string[]): boolean {
    const { object } = volume;
    if (!object) return false;
    const { name, finalizers = [] } = object.metadata;
    const body = { ...object, metadata: { ...object.metadata, finalizers: change(finalizers) } };
    return this.#ports.writes.offer(volumeKey(name), 'change the finalizers', async () => {
      const written = await this.#ports.api.replace(objectPath('volumes', name), body);
      if (written) this.#ports.volumes.accept(written);
    });
  }
}
