/** One replica engine on a simulated disk whose completions the test lets go, and links on which it sees every answer. */
import { IoError, type ReplicaMeta } from '../../agent/ports.ts';
import { Replica } from '../../agent/replica/replica.ts';
import type { ReplicaSession } from '../../agent/replication/link.ts';
import type { VolumeConfig } from '../../core/config.ts';
import { instanceId, replicaId, volumeUid } from '../../core/ids.ts';
import type { FromReplica, Seal, ToReplica } from '../../core/wire/messages.ts';
import { Platter } from '../sim/platter.ts';
import { SimulatedStore } from '../sim/store.ts';
import { SeededRandom } from './seededRandom.ts';

export const REPLICA = replicaId('00000000000000aa');
export const VOLUME = volumeUid('volume-1');
export const SIZE_BYTES = 4 * 1024 * 1024;
export const LEASE_MS = 1_000;

export const instance = (number: number) => instanceId(number.toString(16).padStart(16, '0'));

export function configOf(epoch: number, version: number, primary = 1): VolumeConfig {
  return {
    uid: VOLUME,
    name: 'volume',
    sizeBytes: SIZE_BYTES,
    minInSync: 1,
    epoch,
    version,
    primary: { node: 'node-a', instance: instance(primary), mode: 'serve' },
    shards: [{ members: [{ replica: REPLICA, node: 'node-a', pool: 'pool' }], inSync: [REPLICA] }],
  };
}

export function sealOf(epoch: number, primary = 1, version = epoch): Seal {
  return { type: 'seal', volume: VOLUME, replica: REPLICA, epoch, instance: instance(primary), config: configOf(epoch, version, primary) };
}

/** A session as its primary sees it. */
export class BenchSession {
  readonly answers: FromReplica[] = [];
  closedWith: string | null = null;
  #session: ReplicaSession | null = null;

  begin(replica: Replica, seal: Seal): void {
    this.#session = replica.accept(seal, {
      peer: 'node-a',
      send: (message) => this.answers.push(message),
      close: (reason) => {
        this.closedWith = reason;
      },
    });
  }

  send(...messages: ToReplica[]): void {
    for (const message of messages) this.#session?.message(message);
    this.#session?.burstEnd();
  }

  breaks(): void {
    this.#session?.closed();
  }

  types(): string[] {
    return this.answers.map((answer) => (answer.type === 'applied' ? `applied ${answer.sequence}` : answer.type));
  }
}

export class ReplicaBench {
  readonly platter: Platter;
  readonly events: string[] = [];
  replica: Replica;
  nowMs = 10_000;
  flushFails = false;
  /** Why its files cannot grow. */
  growthFails: IoError | null = null;
  /** Why its meta cannot be saved. */
  metaFails: IoError | null = null;
  /** Why snapshots cannot be kept. */
  snapshotFails: string | null = null;
  #completions: { label: string; act: () => void }[] = [];

  constructor() {
    const meta: ReplicaMeta = {
      format: 1,
      volume: VOLUME,
      volumeName: 'volume',
      replica: REPLICA,
      sizeBytes: SIZE_BYTES,
      promisedEpoch: 0,
      promisedInstance: null,
      openBootId: 'boot-1',
      suspect: false,
      failed: null,
      longestLeaseMs: LEASE_MS,
      resync: null,
      config: null,
      // What is asked of it here is mostly of a later config than its Seal named, and notes of that are not what is looked at.
      toldVersion: 7,
    };
    this.platter = new Platter(meta, 0);
    this.replica = this.#start();
  }

  /** A new process: the memory of the old one is gone, the cache is not. */
  restart(): void {
    this.#completions = [];
    this.platter.inProgress.clear();
    this.replica = this.#start();
  }

  seal(seal: Seal): BenchSession {
    const session = new BenchSession();
    session.begin(this.replica, seal);
    return session;
  }

  /** A session that is open: the promise is durable. */
  open(epoch = 1, primary = 1): BenchSession {
    const session = this.seal(sealOf(epoch, primary));
    this.complete();
    return session;
  }

  get waiting(): string[] {
    return this.#completions.map(({ label }) => label);
  }

  /** What the disk was asked for comes to its end; with a label only that. */
  complete(label?: string): void {
    for (let rounds = 0; rounds < 100; rounds++) {
      const index = this.#completions.findIndex((completion) => label === undefined || completion.label === label);
      if (index < 0) return;
      this.#completions.splice(index, 1)[0]?.act();
    }
  }

  /** Its files, as a process that starts now opens them. */
  storeOf(): SimulatedStore {
    const opened = new SimulatedStore(this.platter, {
      random: new SeededRandom(1),
      later: (_delayMs, label, act) => this.#completions.push({ label, act }),
      usualMs: 1,
      completesAtOnce: 0,
      flushFails: () => this.flushFails,
      isFull: () => false,
    });
    // As the store that ships does it: what is asked once it is being closed is refused.
    let isClosing = false;
    const close = opened.close.bind(opened);
    opened.close = (done) => {
      isClosing = true;
      close(done);
    };
    const extend = opened.extend.bind(opened);
    opened.extend = (sizeBytes, done) => (this.growthFails ? done(this.growthFails) : extend(sizeBytes, done));
    const saveMeta = opened.saveMeta.bind(opened);
    opened.saveMeta = (meta, done) => {
      const error = isClosing ? new IoError('shutdown', 'the replica is closed') : this.metaFails;
      if (error) done(error);
      else saveMeta(meta, done);
    };
    const snapshot = opened.snapshot.bind(opened);
    opened.snapshot = (request, done) =>
      this.snapshotFails === null ? snapshot(request, done) : done(new IoError('notSupported', this.snapshotFails));
    return opened;
  }

  #start(): Replica {
    return new Replica({
      store: this.storeOf(),
      nextTurn: (work) => work(),
      clock: { monotonicMs: () => this.nowMs, wallMs: () => this.nowMs },
      events: {
        failed: (reason) => this.events.push(`failed: ${reason}`),
        sessionOpened: (epoch) => this.events.push(`opened ${epoch}`),
        sessionEnded: (reason) => this.events.push(`ended: ${reason}`),
        protocolError: (rule) => this.events.push(`protocol: ${rule}`),
      },
    });
  }
}
