/**
 * The primary workers as control sees them: which volume's primary runs in which, what is said to it and heard of it. Must never wait for a worker.
 */
import { assert } from '../../core/assert.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { NodeName, VolumeUid } from '../../core/ids.ts';
import type { ServingReport } from '../../core/machine.ts';
import type { ScrubState } from '../../core/scrub.ts';
import type { Settings } from '../../core/settings.ts';
import type { SnapshotRequest } from '../ports.ts';
import type { SnapshotDone } from '../primary/snapshot.ts';
import type { Channel } from '../workers/channel.ts';
import { type Address, type FromPrimary, type FromWorker, keyText, type PrimaryKey, type ToPrimary } from '../workers/messages.ts';
import type { PrimaryEnd } from './engines.ts';
import { Pulse } from './pulse.ts';

/** Told to one primary in its worker. */
export interface PrimaryHandle {
  observe(config: VolumeConfig): void;
  letGo(): void;
  /** `done` is told once. */
  snapshot(request: SnapshotRequest, done: SnapshotDone): void;
  /** At once: from when the worker hears it, not a byte more to anybody. */
  stop(): void;
}

/** Heard of it, in the order in which it was said; nothing after `over`. */
export interface PrimaryListener {
  report(report: ServingReport): void;
  scrub(state: ScrubState): void;
  propose(known: VolumeConfig, next: VolumeConfig): void;
  recheck(): void;
  ended(why: PrimaryEnd, reason: string): void;
  over(): void;
}

export interface PrimariesPort {
  /** `scrub`: how far the primary before had compared the replicas. */
  start(config: VolumeConfig, scrub: ScrubState | null, listener: PrimaryListener): PrimaryHandle;
}

export type PrimariesOptions = {
  workers: readonly Channel<ToPrimary, FromPrimary>[];
  settings: () => Settings;
  /** `answered` is called with what is known, and perhaps again when more is. */
  resolve: (node: NodeName, pool: string, asker: string, answered: (address: Address | null, isNew?: boolean) => void) => void;
  /** A thread does not answer any more: all that is served there hangs, and goes on elsewhere only when this agent has ended. */
  stuck: (sentence: string) => void;
  /** Logs and metrics. */
  common: (message: FromWorker, worker: string) => void;
};

const HASH_FACTOR = 31;
/** Far longer than any collection or burst. */
export const WORKER_SILENT_MS = 20_000;
const PING_MS = 2_000;
const nameOf = (index: number): string => `primaries-${index}`;

/** Always the same worker for a volume, so that its epochs follow each other in one thread. */
export function workerOf(uid: VolumeUid, workers: number): number {
  let hash = 0;
  for (let index = 0; index < uid.length; index++) hash = (Math.imul(hash, HASH_FACTOR) + uid.charCodeAt(index)) >>> 0;
  return hash % workers;
}

export class Primaries implements PrimariesPort {
  readonly #options: PrimariesOptions;
  readonly #listeners = new Map<string, PrimaryListener>();
  readonly #pulses: readonly Pulse[];
  #told: Settings | null = null;
  /** Asked for and not ended. As many as there are tasks in work. */
  readonly #snapshots = new Map<number, SnapshotDone>();
  #nextId = 1;

  constructor(options: PrimariesOptions) {
    assert(options.workers.length > 0, 'no worker for primaries');
    this.#options = options;
    this.#pulses = options.workers.map((worker) => new Pulse({ askEveryMs: PING_MS, ask: (id) => worker.post({ type: 'ping', id }) }));
    for (const [index, worker] of options.workers.entries()) worker.listen((message) => this.#heard(message, index));
  }

  tick(nowMs: number): void {
    this.#tellSettings();
    // One without primaries has nothing that could hang, and is let sleep.
    if (this.#listeners.size === 0) return;
    for (const [index, pulse] of this.#pulses.entries()) {
      const silentMs = pulse.tick(nowMs);
      if (silentMs > WORKER_SILENT_MS) this.#options.stuck(`${nameOf(index)} has not answered for ${Math.round(silentMs / 1_000)} s`);
    }
  }

  /** When a tick finds something to do, unless something is heard before. */
  get dueAtMs(): number {
    return this.#listeners.size === 0 ? Number.POSITIVE_INFINITY : Math.min(...this.#pulses.map(({ dueAtMs }) => dueAtMs));
  }

  /** To every worker, when they changed. */
  #tellSettings(): void {
    const settings = this.#options.settings();
    if (settings === this.#told) return;
    this.#told = settings;
    for (const worker of this.#options.workers) worker.post({ type: 'settings', settings });
  }

  start(config: VolumeConfig, scrub: ScrubState | null, listener: PrimaryListener): PrimaryHandle {
    const { uid, epoch } = config;
    const key: PrimaryKey = { uid, epoch };
    const { workers } = this.#options;
    const worker = workers[workerOf(uid, workers.length)];
    assert(worker, `a worker for volume ${uid}`);
    assert(!this.#listeners.has(keyText(key)), `a second primary of volume ${uid} in epoch ${epoch}`);
    this.#listeners.set(keyText(key), listener);
    // Before the first primary, also when the loop has not ticked yet.
    this.#tellSettings();
    worker.post({ type: 'start', config, scrub });
    return {
      observe: (later) => worker.post({ type: 'observe', ...key, config: later }),
      letGo: () => worker.post({ type: 'letGo', ...key }),
      snapshot: (request, done) => {
        const id = this.#nextId++;
        this.#snapshots.set(id, done);
        worker.post({ type: 'snapshot', id, request, ...key });
      },
      stop: () => worker.post({ type: 'stop', ...key }),
    };
  }

  #heard(message: FromPrimary, index: number): void {
    switch (message.type) {
      case 'log':
      case 'metrics':
        this.#options.common(message, nameOf(index));
        return;
      case 'pong':
        this.#pulses[index]?.answered(message.id);
        return;
      case 'resolve': {
        const { node, pool } = message;
        const answer = this.#options.workers[index];
        this.#options.resolve(node, pool, nameOf(index), (address, isNew = false) =>
          answer?.post({ type: 'address', node, pool, address, isNew }),
        );
        return;
      }
      case 'snapshotEnded': {
        const done = this.#snapshots.get(message.id);
        this.#snapshots.delete(message.id);
        done?.(message.outcome);
        return;
      }
      default:
        this.#toListener(message);
    }
  }

  #toListener(message: Extract<FromPrimary, PrimaryKey>): void {
    const listener = this.#listeners.get(keyText(message));
    assert(listener, `nothing is said of a primary that is over: ${message.type} ${keyText(message)}`);
    switch (message.type) {
      case 'report':
        return listener.report(message.report);
      case 'scrub':
        return listener.scrub(message.state);
      case 'propose':
        return listener.propose(message.known, message.next);
      case 'recheck':
        return listener.recheck();
      case 'ended':
        return listener.ended(message.why, message.reason);
      case 'over':
        this.#listeners.delete(keyText(message));
        return listener.over();
    }
  }
}
