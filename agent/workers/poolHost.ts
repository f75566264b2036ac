/**
 * One pool's side of the conversation with control: opens it, serves its replicas, does what control asks, tells what changed. Runs in the pool's own
 * thread, so that a disk that hangs holds up nobody else. Must never let a call of control go unanswered, save by hanging.
 *
 *   opening --opened--> open --close--> closing --all closed--> closed
 *      |--the disk does not let itself be used--> unusable
 *      |--anything else--> refused (the agent ends)
 */
import type { Clock } from '../../core/clock.ts';
import { messageOf } from '../../core/errors.ts';
import type { ReplicaId, VolumeUid } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import type { MakeReplica } from '../control/engines.ts';
import { DiskError } from '../replica/store/disk.ts';
import type { Accept, Appointed } from '../replication/link.ts';
import { Appointments } from './appointments.ts';
import type { Channel } from './channel.ts';
import type { FromPool, ToPool } from './messages.ts';
import type { OpenedPool, PoolProblem } from './poolPort.ts';
import { Replicas } from './replicas.ts';

/** How full the pool is is asked of the file system, which may take its time. */
const REPORT_MS = 1_000;
/** Nothing in a pool waits for a tick but the cleaning of logs: work comes by messages. */
const POOL_TICK_MS = 200;

/** Where primaries reach the replicas here. */
export type Listening = { port: number; close(): Promise<void> };

export type PoolHostOptions = {
  channel: Channel<FromPool, ToPool>;
  /** A tick is due soon: control is to be told something. */
  hasten: () => void;
  open: (done: (opened: OpenedPool | PoolProblem) => void) => void;
  listen: (accept: Accept, appointed: Appointed) => Promise<Listening>;
  makeReplica: MakeReplica;
  /** How long the disk has not answered its oldest call. */
  oldestCallMs: () => number;
  protocolError: (rule: string) => void;
  clock: Clock;
  log: Log;
};

type Open = { pool: OpenedPool; replicas: Replicas; listening: Listening };

export class PoolHost {
  readonly #options: PoolHostOptions;
  #open: Open | null = null;
  /** Before `#open`: it listens at one place already while the other is being made. */
  #appointments: Appointments | null = null;
  #isClosing = false;
  /** Of which control has not been told how they are now. */
  readonly #changed = new Set<ReplicaId>();
  #reportedAtMs = Number.NEGATIVE_INFINITY;
  #told = '';

  constructor(options: PoolHostOptions) {
    this.#options = options;
    options.channel.listen((message) => this.#heard(message));
    options.open((opened) => {
      if ('problem' in opened) this.#notOpened(opened);
      else this.#opened(opened);
    });
  }

  /** How long the next one may be away. */
  tick(): number {
    this.#appointments?.tick();
    if (this.#open === null || this.#isClosing) return POOL_TICK_MS;
    this.#open.replicas.tick();
    this.#tell(this.#open);
    return this.#open.replicas.areResting && !this.#appointments?.areWaiting ? REPORT_MS : POOL_TICK_MS;
  }

  #notOpened({ problem, isDisk }: PoolProblem): void {
    this.#options.channel.post({ type: isDisk ? 'unusable' : 'refused', problem });
  }

  #opened(pool: OpenedPool): void {
    const { channel, listen, makeReplica, clock, log, protocolError } = this.#options;
    const changed = (replica: ReplicaId) => {
      this.#changed.add(replica);
      this.#options.hasten();
    };
    const replicas = new Replicas({ pool: pool.port, makeReplica, clock, log, protocolError, changed });
    replicas.found(pool.found);
    const appointments = this.#appointmentsOf(replicas);
    this.#appointments = appointments;
    listen(replicas.accept, appointments.appointed).then(
      (listening) => {
        this.#open = { pool, replicas, listening };
        this.#changed.clear();
        const report = pool.port.report();
        this.#told = JSON.stringify(report);
        this.#reportedAtMs = clock.monotonicMs();
        channel.post({ type: 'opened', port: listening.port, report, held: replicas.held() });
        if (this.#isClosing) this.#close();
      },
      (error: unknown) =>
        channel.post({ type: 'refused', problem: `pool ${pool.port.name} cannot listen for replication: ${messageOf(error)}` }),
    );
  }

  #appointmentsOf(replicas: Replicas): Appointments {
    const { channel, hasten, clock } = this.#options;
    const ask = (uid: VolumeUid, epoch: number) => {
      channel.post({ type: 'appointment', uid, epoch });
      // Its bound is looked at by ticks.
      hasten();
    };
    return new Appointments({ judge: replicas.judge, observe: (config) => replicas.observe(config), ask, clock });
  }

  #heard(message: ToPool): void {
    const { channel, oldestCallMs } = this.#options;
    switch (message.type) {
      case 'ping':
        channel.post({ type: 'pong', id: message.id, oldestCallMs: oldestCallMs() });
        return;
      case 'observe':
        for (const config of message.configs) this.#open?.replicas.observe(config);
        channel.post({ type: 'observed', id: message.id });
        return;
      case 'appointment':
        this.#appointments?.told(message.uid, message);
        return;
      case 'perform':
        this.#perform(message);
        return;
      case 'inventory':
        this.#tellInventory(message.id);
        return;
      case 'giveUp':
        this.#open?.pool.port.quarantine(message.reason);
        this.#open?.replicas.giveUp(message.reason);
        return;
      case 'close':
        this.#close();
        return;
    }
  }

  #perform({ id, spec, config }: Extract<ToPool, { type: 'perform' }>): void {
    const { channel } = this.#options;
    const open = this.#open;
    if (open === null || this.#isClosing) {
      channel.post({ type: 'performed', id, problem: this.#isClosing ? 'the agent is stopping' : 'the pool is not open' });
      return;
    }
    // What it throws is a programmer error, and must reach the program's own handler as one.
    void open.replicas.perform(spec, config).then((problem) => {
      // In this order: whoever hears that a task has ended finds its effect told.
      this.#tell(open);
      channel.post({ type: 'performed', id, problem });
    });
  }

  #tellInventory(id: number): void {
    const { channel } = this.#options;
    const open = this.#open;
    try {
      const found = open === null || this.#isClosing ? null : open.pool.port.inventory();
      channel.post({ type: 'inventory', id, found, problem: found === null ? 'it is not open' : '' });
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      channel.post({ type: 'inventory', id, found: null, problem: messageOf(error) });
    }
  }

  #close(): void {
    this.#isClosing = true;
    if (this.#open === null) return;
    const { pool, replicas, listening } = this.#open;
    void replicas
      .close()
      .then(() => listening.close())
      .then(() => pool.close(() => this.#options.channel.post({ type: 'closed' })));
  }

  #tell({ pool, replicas }: Open): void {
    const { channel, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const isChanged = this.#changed.size > 0;
    if (isChanged) {
      const changed = [...this.#changed];
      this.#changed.clear();
      const held = changed.flatMap((replica) => replicas.heldAs(replica) ?? []);
      channel.post({ type: 'held', held, gone: changed.filter((replica) => replicas.heldAs(replica) === null) });
    }
    if (!isChanged && nowMs - this.#reportedAtMs < REPORT_MS) return;
    this.#reportedAtMs = nowMs;
    const report = pool.port.report();
    const text = JSON.stringify(report);
    if (text === this.#told) return;
    this.#told = text;
    channel.post({ type: 'report', report });
  }
}
