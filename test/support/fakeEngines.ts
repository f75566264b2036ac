/** Stands behind the interfaces of the two engines and the NBD server: records what it is told, and says what a test tells it to say. */
import type {
  ListenOnSocket,
  PrimaryEngine,
  PrimaryOptions,
  PrimaryReport,
  ReplicaEngine,
  ReplicaOptions,
  SealJudgement,
  SocketServer,
} from '../../agent/control/engines.ts';
import type { BlockClient, BlockDevice, SnapshotRequest } from '../../agent/ports.ts';
import type { SnapshotDone } from '../../agent/primary/snapshot.ts';
import type { ReplicaLink, ReplicaSession } from '../../agent/replication/link.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import type { ScrubState } from '../../core/scrub.ts';
import type { Seal } from '../../core/wire/messages.ts';

export class FakePrimary implements PrimaryEngine {
  readonly options: PrimaryOptions;
  readonly observed: VolumeConfig[] = [];
  readonly device: BlockDevice;
  /** Asked for; the test says what became of them. */
  readonly snapshots: { request: SnapshotRequest; done: SnapshotDone }[] = [];
  ticks = 0;
  isEnded = false;
  readonly isResting = false;
  hasLetGo = false;
  readonly reachables: NodeName[] = [];
  state: PrimaryReport = { state: 'serving', replicas: [] };
  scrub: ScrubState | null;

  constructor(options: PrimaryOptions) {
    this.options = options;
    this.scrub = options.scrub ?? null;
    const client = { close: () => undefined } as BlockClient;
    this.device = { name: options.config.name, uid: options.config.uid, sizeBytes: options.config.sizeBytes, connect: () => client };
  }

  /** As the real one: a config that names another ends it. */
  observe(config: VolumeConfig): void {
    this.observed.push(config);
    const { epoch, primary } = config;
    const { node, instance } = this.options;
    if (epoch === this.options.config.epoch && primary?.node === node && primary.instance === instance) return;
    this.end(this.hasLetGo && primary === null ? 'released' : 'fenced');
  }

  tick(): void {
    this.ticks++;
  }

  report(): PrimaryReport {
    return this.state;
  }

  snapshot(request: SnapshotRequest, done: SnapshotDone): void {
    this.snapshots.push({ request, done });
  }

  reachable(node: NodeName): void {
    this.reachables.push(node);
  }

  letGo(): void {
    this.hasLetGo = true;
  }

  stop(): void {
    this.end('lost');
  }

  end(why: 'released' | 'fenced' | 'lost'): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.options.events.closed(why, `told to end: ${why}`);
  }

  /** Proposes `primary: null`. */
  release(): void {
    const known = this.observed.at(-1) ?? this.options.config;
    this.options.configPort.propose(known, { ...known, version: known.version + 1, primary: null });
  }
}

export class FakeReplica implements ReplicaEngine {
  readonly options: ReplicaOptions;
  readonly observed: VolumeConfig[] = [];
  readonly seals: Seal[] = [];
  failed: string | null = null;
  readonly isResting = true;
  isClosed = false;

  constructor(options: ReplicaOptions) {
    this.options = options;
  }

  /** What it makes of any Seal. */
  judgement: SealJudgement = 'unknown';

  judge(): SealJudgement {
    return this.judgement;
  }

  accept(seal: Seal, _link: ReplicaLink): ReplicaSession {
    this.seals.push(seal);
    return { message: () => undefined, burstEnd: () => undefined, closed: () => undefined };
  }

  observe(config: VolumeConfig): void {
    this.observed.push(config);
  }

  tick(): void {
    return;
  }

  fail(reason: string): void {
    this.failed = reason;
    this.options.events.failed(reason);
  }

  close(done: () => void): void {
    this.isClosed = true;
    setImmediate(done);
  }
}

/** Sockets that open and close when a test says so. */
export class FakeSockets {
  readonly servers: FakeServer[] = [];
  #pending: { resolve: (server: SocketServer) => void; reject: (error: Error) => void; path: string }[] = [];
  isManual = false;
  /** The next openings fail with it. */
  problem: string | null = null;

  readonly listen: ListenOnSocket = (_device, path) =>
    new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject, path });
      if (!this.isManual) setImmediate(() => this.proceed());
    });

  proceed(): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const { resolve, reject, path } of pending) {
      if (this.problem !== null) {
        reject(new Error(this.problem));
        continue;
      }
      const server = new FakeServer(path);
      this.servers.push(server);
      resolve(server);
    }
  }

  get pending(): number {
    return this.#pending.length;
  }

  get open(): string[] {
    return this.servers.filter(({ state }) => state === 'open').map(({ path }) => path);
  }
}

export class FakeServer implements SocketServer {
  readonly path: string;
  state: 'open' | 'closing' | 'closed' | 'dropped' = 'open';
  #closed: (() => void) | null = null;

  constructor(path: string) {
    this.path = path;
  }

  close(): Promise<void> {
    if (this.state === 'open') this.state = 'closing';
    return new Promise((resolve) => {
      this.#closed = resolve;
    });
  }

  stopAnswering(): void {
    this.state = 'dropped';
    this.#closed?.();
  }

  lastConnectionLeft(): void {
    if (this.state === 'closing') this.state = 'closed';
    this.#closed?.();
  }
}
