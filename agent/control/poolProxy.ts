/**
 * One pool as control sees it, through its worker.
 *
 *   opening --opened--> open --close, closed--> closed
 *      |--the disk does not let itself be used--> unusable
 *   opening, open --no answer for POOL_SILENT_MS--> the same, and hung until the agent is started again
 *
 * A disk that hangs holds up its worker, or one of the threads that its syncs have; either is noticed by pings. Must never wait for the worker: what is asked
 * of a pool that has hung is answered here, with the reason.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { ReplicaId, VolumeUid } from '../../core/ids.ts';
import type { PoolInventory } from '../../core/inventory.ts';
import type { Log } from '../../core/log.ts';
import type { PoolReport } from '../../core/machine.ts';
import type { PoolSpec } from '../../core/task.ts';
import type { Channel } from '../workers/channel.ts';
import type { FromPool, FromWorker, HeldReplica, ToPool } from '../workers/messages.ts';
import type { TellInForce } from './askers.ts';
import { Pulse } from './pulse.ts';

/** A disk that answers nothing for so long is given up: its replicas are replaced, and nothing new comes to it. One that is only busy has been seen to take 10 s. */
export const POOL_SILENT_MS = 20_000;
const PING_MS = 1_000;
/** One alone may come from before the whole process stood still. */
const SLOW_PONGS = 2;
/** Each is a copy of all that is known of thousands of replicas. */
const INVENTORIES_AT_ONCE_MAX = 2;

export type PoolProxyOptions = {
  name: string;
  tags: string[];
  channel: Channel<ToPool, FromPool>;
  /** What others dial, by the port that was bound. */
  addressOf: (port: number) => string;
  clock: Clock;
  log: Log;
  /** The agent must end, with this sentence. */
  refused: (problem: string) => void;
  /** Somebody seals a replica in it under that epoch: `tell` is called once with the config in force. */
  inForce: (uid: VolumeUid, epoch: number, tell: TellInForce) => void;
  /** Its worker, or a thread of its disk, may be stuck for ever. */
  hung: (reason: string) => void;
  common: (message: FromWorker, worker: string) => void;
};

export class PoolProxy {
  readonly name: string;
  readonly #options: PoolProxyOptions;
  readonly #log: Log;
  #state: 'opening' | 'open' | 'unusable' | 'closed' = 'opening';
  #report: PoolReport;
  #address: string | null = null;
  readonly #held = new Map<ReplicaId, HeldReplica>();
  /** How many replicas of each volume lie in it. */
  readonly #volumes = new Map<VolumeUid, number>();
  /** Why nothing on it is trusted to answer; the first reason stays. */
  #hung: string | null = null;
  /** Those that the worker has not been given yet: the latest of each volume. */
  #configs = new Map<VolumeUid, VolumeConfig>();
  #observeOut: number | null = null;
  readonly #pulse: Pulse;
  #oldestCallMs = 0;
  #slowPongs = 0;
  readonly #asking = new Map<number, (found: PoolInventory | string) => void>();
  readonly #performing = new Map<number, (problem: string | null) => void>();
  #nextId = 1;
  #isClosing = false;

  constructor(options: PoolProxyOptions) {
    this.name = options.name;
    this.#options = options;
    this.#log = options.log.child({ pool: options.name });
    this.#pulse = new Pulse({ askEveryMs: PING_MS, ask: (id) => options.channel.post({ type: 'ping', id }) });
    const space = { capacityBytes: 0, usedBytes: 0, allocatedBytes: 0 };
    const reason = 'it is still being opened';
    this.#report = { name: options.name, ...space, tags: options.tags, reflink: false, state: 'quarantined', reason };
    options.channel.listen((message) => this.#heard(message));
  }

  /** As it was when the worker last told; asks no disk. */
  get report(): PoolReport {
    const address = this.#address === null ? {} : { address: this.#address };
    if (this.#hung === null) return { ...this.#report, ...address };
    return { ...this.#report, ...address, state: 'quarantined', reason: this.#hung };
  }

  /** What lies in it is known, or never will be. */
  get isSettled(): boolean {
    return this.#state !== 'opening' || this.#hung !== null;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  get isClosed(): boolean {
    return this.#state === 'closed' || this.#state === 'unusable';
  }

  /** Null, or why nothing on it can be served any more; names the pool. */
  get trouble(): string | null {
    const trouble = this.#hung ?? (this.#state === 'unusable' ? (this.#report.reason ?? null) : null);
    return trouble === null ? null : this.#named(trouble);
  }

  /** For how long it has not answered. */
  get silentMs(): number {
    return Math.max(this.#pulse.silentMs, this.#oldestCallMs);
  }

  get held(): ReadonlyMap<ReplicaId, HeldReplica> {
    return this.#held;
  }

  /** A replica of this volume lies in it, or may: what does is not known yet. */
  mayHold(volume: VolumeUid): boolean {
    return this.#state === 'opening' || this.#volumes.has(volume);
  }

  observe(config: VolumeConfig): void {
    if (this.#state === 'unusable' || this.#hung !== null || this.#isClosing) return;
    this.#configs.set(config.uid, config);
    this.#sendConfigs();
  }

  /** Null, or what went wrong in words; answered also by a pool that hangs. */
  perform(spec: PoolSpec, config: VolumeConfig | null): Promise<string | null> {
    const refusal = this.#refusalOf(spec);
    if (refusal !== null) return Promise.resolve(this.#named(refusal));
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#performing.set(id, resolve);
      this.#options.channel.post({ type: 'perform', id, spec, config });
    });
  }

  /** All that lies in it, or why nobody can say. A pool that hangs is answered for when it is known to hang. */
  inventory(): Promise<PoolInventory | string> {
    const refusal = this.#isClosing ? 'the agent is stopping' : (this.#hung ?? (this.#state === 'open' ? null : 'it is not open'));
    if (refusal !== null) return Promise.resolve(this.#named(refusal));
    if (this.#asking.size >= INVENTORIES_AT_ONCE_MAX) return Promise.resolve(this.#named('it is being asked by others already'));
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#asking.set(id, resolve);
      this.#options.channel.post({ type: 'inventory', id });
    });
  }

  /** `isClosed` says when. */
  close(): void {
    this.#isClosing = true;
    this.#options.channel.post({ type: 'close' });
  }

  tick(): void {
    if (!this.isClosed && this.#pulse.tick(this.#options.clock.monotonicMs()) >= POOL_SILENT_MS) this.#becomeHung();
  }

  /** All else that it does is an answer to what it hears. */
  get dueAtMs(): number {
    return this.isClosed ? Number.POSITIVE_INFINITY : this.#pulse.dueAtMs;
  }

  /** A deletion may be tried on one that hung and answers again: the leader wants the space back. */
  #refusalOf(spec: PoolSpec): string | null {
    if (this.#isClosing) return 'the agent is stopping';
    if (this.#state !== 'open') return this.#hung ?? this.#report.reason ?? 'it is not open';
    const isAnswering = this.#pulse.hasAnswered && this.#slowPongs === 0;
    return this.#hung !== null && (spec.kind !== 'delete-replica' || !isAnswering) ? this.#hung : null;
  }

  #heard(message: FromPool): void {
    switch (message.type) {
      case 'opened':
        return this.#opened(message);
      case 'refused':
        return this.#options.refused(message.problem);
      case 'unusable':
        return this.#unusable(message.problem);
      case 'report':
        this.#report = message.report;
        return;
      case 'held':
        return this.#hold(message.held, message.gone);
      case 'observed':
        this.#observeOut = null;
        return this.#sendConfigs();
      case 'performed':
        return this.#performed(message.id, message.problem);
      case 'appointment':
        return this.#tellInForce(message);
      case 'inventory':
        return this.#inventoryTold(message.id, message.found ?? this.#named(message.problem));
      case 'pong':
        return this.#answered(message);
      case 'closed':
        this.#state = 'closed';
        return;
      case 'log':
      case 'metrics':
        return this.#options.common(message, `pool-${this.name}`);
    }
  }

  #opened({ port, report, held }: Extract<FromPool, { type: 'opened' }>): void {
    this.#state = 'open';
    this.#report = report;
    this.#address = this.#options.addressOf(port);
    this.#hold(held, []);
    this.#log.info('pool opened', { replicas: held.length, address: this.#address });
    if (this.#hung !== null) this.#options.channel.post({ type: 'giveUp', reason: this.#hung });
    this.#sendConfigs();
  }

  #hold(held: readonly HeldReplica[], gone: readonly ReplicaId[]): void {
    for (const replica of [...held.map((one) => one.replica), ...gone]) this.#forget(replica);
    for (const one of held) {
      this.#held.set(one.replica, one);
      if (one.volume !== null) this.#volumes.set(one.volume, (this.#volumes.get(one.volume) ?? 0) + 1);
    }
  }

  #forget(replica: ReplicaId): void {
    const volume = this.#held.get(replica)?.volume ?? null;
    this.#held.delete(replica);
    if (volume === null) return;
    const count = (this.#volumes.get(volume) ?? 0) - 1;
    if (count > 0) this.#volumes.set(volume, count);
    else this.#volumes.delete(volume);
  }

  /** Also to one that hangs: it is its own thread that answers Seals. */
  #tellInForce({ uid, epoch }: Extract<FromPool, { type: 'appointment' }>): void {
    const { inForce, channel } = this.#options;
    inForce(uid, epoch, (told) => channel.post({ type: 'appointment', uid, ...told }));
  }

  #unusable(problem: string): void {
    this.#state = 'unusable';
    this.#report = { ...this.#report, reason: problem };
    this.#configs.clear();
    this.#log.error('pool cannot be used and is quarantined, the others go on', { reason: problem });
  }

  #answered({ id, oldestCallMs }: Extract<FromPool, { type: 'pong' }>): void {
    this.#pulse.answered(id);
    this.#oldestCallMs = oldestCallMs;
    this.#slowPongs = oldestCallMs >= POOL_SILENT_MS ? this.#slowPongs + 1 : 0;
    if (this.#slowPongs >= SLOW_PONGS) this.#becomeHung();
  }

  /** For good: a disk that hung once hangs again, and its replicas are being replaced already. */
  #becomeHung(): void {
    if (this.#hung !== null) return;
    this.#hung = `its disk has not answered for ${POOL_SILENT_MS / 1000} s; it stays quarantined until this agent is started again`;
    this.#log.error('pool is quarantined: its disk does not answer', { reason: this.#hung, replicas: this.#held.size });
    this.#options.hung(this.#hung);
    this.#options.channel.post({ type: 'giveUp', reason: this.#hung });
    this.#configs.clear();
    for (const id of [...this.#asking.keys()]) this.#inventoryTold(id, this.#named(this.#hung));
    for (const id of [...this.#performing.keys()]) this.#performed(id, this.#named(this.#hung));
  }

  /** What could not be opened has its name already. */
  #named(reason: string): string {
    const name = `pool ${this.name}: `;
    return reason.startsWith(name) ? reason : `${name}${reason}`;
  }

  #inventoryTold(id: number, found: PoolInventory | string): void {
    const resolve = this.#asking.get(id);
    this.#asking.delete(id);
    resolve?.(found);
  }

  #performed(id: number, problem: string | null): void {
    const resolve = this.#performing.get(id);
    this.#performing.delete(id);
    resolve?.(problem);
  }

  #sendConfigs(): void {
    if (this.#state !== 'open' || this.#observeOut !== null || this.#configs.size === 0) return;
    const configs = [...this.#configs.values()];
    this.#configs.clear();
    this.#observeOut = this.#nextId++;
    this.#options.channel.post({ type: 'observe', id: this.#observeOut, configs });
  }
}
