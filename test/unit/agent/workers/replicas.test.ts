/** The replicas of a pool: served, made, removed, failed. */
import { expect } from 'chai';
import type { ReplicaMeta, ReplicaStore } from '../../../../agent/ports.ts';
import type { ReplicaLink } from '../../../../agent/replication/link.ts';
import { type FoundReplica, type PoolPort, Replicas } from '../../../../agent/workers/replicas.ts';
import type { VolumeConfig } from '../../../../core/config.ts';
import { type ReplicaId, replicaId, type SnapshotUid, snapshotUid, volumeUid } from '../../../../core/ids.ts';
import { silentLog } from '../../../../core/log.ts';
import type { CloneSource, PoolSpec } from '../../../../core/task.ts';
import type { FromReplica, Seal } from '../../../../core/wire/messages.ts';
import { configWith, INSTANCE, REPLICAS, UID } from '../../../support/configs.ts';
import { FakeReplica } from '../../../support/fakeEngines.ts';
import { ManualClock } from '../../../support/manualClock.ts';

const R1 = REPLICAS[0] as ReplicaId;
const R2 = REPLICAS[1] as ReplicaId;

const storeOf = (replica: ReplicaId, change: Partial<ReplicaMeta> = {}) =>
  ({
    meta: { format: 1, volume: UID, volumeName: 'pgdata', replica, sizeBytes: 4096, failed: null, config: null, ...change },
  }) as ReplicaStore;

class FakePool implements PoolPort {
  readonly name: string;
  readonly there = new Set<ReplicaId>();
  readonly quarantines: string[] = [];
  readonly removedSnapshots: SnapshotUid[] = [];
  readonly sources: (CloneSource | undefined)[] = [];
  problem: string | null = null;

  constructor(name = 'default') {
    this.name = name;
  }

  report(): never {
    throw new Error('not asked here');
  }

  inventory(): never {
    throw new Error('not asked here');
  }

  async create({ replica, source }: { replica: ReplicaId; source?: CloneSource }): Promise<{ store: ReplicaStore } | { problem: string }> {
    if (this.problem !== null) return { problem: this.problem };
    this.there.add(replica);
    this.sources.push(source);
    return { store: storeOf(replica) };
  }

  async remove(replica: ReplicaId): Promise<string | null> {
    if (this.problem === null) this.there.delete(replica);
    return this.problem;
  }

  async removeSnapshot(snapshot: SnapshotUid): Promise<string | null> {
    this.removedSnapshots.push(snapshot);
    return this.problem;
  }

  quarantine(reason: string): void {
    this.quarantines.push(reason);
  }
}

function setUp(found: (pool: FakePool) => FoundReplica[] = () => []) {
  const pool = new FakePool();
  const engines: FakeReplica[] = [];
  let changes = 0;
  const replicas = new Replicas({
    pool,
    makeReplica: (options) => {
      const engine = new FakeReplica(options);
      engine.failed = options.store.meta.failed;
      engines.push(engine);
      return engine;
    },
    clock: new ManualClock(),
    log: silentLog,
    protocolError: () => undefined,
    changed: () => changes++,
  });
  replicas.found(found(pool));
  const failures = () => replicas.held().flatMap(({ replica, failure }) => (failure === null ? [] : [{ replica, failure }]));
  const perform = (spec: PoolSpec, config: VolumeConfig | null = null) => replicas.perform(spec, config);
  return { pool, engines, replicas, failures, perform, changes: () => changes };
}

const create = (replica = R1, pool = 'default'): PoolSpec => ({
  kind: 'create-replica',
  volume: UID,
  replica,
  pool,
  sizeBytes: 4096,
  volumeName: 'pgdata',
});
const remove = (replica = R1, pool = 'default'): PoolSpec => ({ kind: 'delete-replica', volume: UID, replica, pool });

function knock(replicas: Replicas, replica: ReplicaId): FromReplica[] {
  const said: FromReplica[] = [];
  const link: ReplicaLink = { peer: 'agent:node-b', send: (message) => said.push(message), close: () => undefined };
  const config = configWith();
  const seal: Seal = { type: 'seal', volume: UID, replica, epoch: 1, instance: INSTANCE, config };
  replicas.accept(seal, link);
  return said;
}

describe('the replicas of a pool', () => {
  it('that are sound are served, each hears its Seals and its configs', () => {
    const { replicas, engines } = setUp(() => [
      { replica: R1, volume: UID, store: storeOf(R1) },
      { replica: R2, volume: volumeUid('other'), store: storeOf(R2, { volume: volumeUid('other') }) },
    ]);
    expect(knock(replicas, R1)).to.deep.equal([]);
    expect(engines.map(({ seals }) => seals.length)).to.deep.equal([1, 0]);
    replicas.observe(configWith());
    expect(engines.map(({ observed }) => observed.length)).to.deep.equal([1, 0]);
  });

  it('a Seal for one that is not here is refused', () => {
    const { replicas } = setUp();
    expect(knock(replicas, R1)[0]).to.include({ type: 'refused', code: 'unknownReplica' });
  });

  it('damaged ones refuse with the reason and are told', () => {
    const { replicas, engines, failures } = setUp(() => [
      { replica: R1, volume: UID, damage: 'intents: it is cut short' },
      { replica: R2, volume: null, damage: 'meta: it is missing' },
    ]);
    expect(engines).to.deep.equal([]);
    expect(knock(replicas, R1)[0]).to.include({ type: 'refused', code: 'failed', message: 'intents: it is cut short' });
    expect(failures()).to.deep.equal([
      { replica: R1, failure: 'intents: it is cut short' },
      { replica: R2, failure: 'meta: it is missing' },
    ]);
  });

  it('one that fails while it runs is told, and its pool is quarantined', () => {
    const { engines, pool, failures, changes } = setUp(() => [{ replica: R1, volume: UID, store: storeOf(R1) }]);
    const before = changes();
    engines[0]?.fail('fdatasync: EIO');
    expect(changes()).to.be.greaterThan(before);
    expect(failures()).to.deep.equal([{ replica: R1, failure: 'fdatasync: EIO' }]);
    expect(pool.quarantines).to.deep.equal(['fdatasync: EIO']);
  });

  it('a made one gets its engine and the latest config at once, and making it again is done already', async () => {
    const { replicas, engines, perform } = setUp();
    expect(await perform(create(), configWith())).to.equal(null);
    expect(engines[0]?.observed.length).to.equal(1);
    expect(await perform(create())).to.equal(null);
    expect(engines.length).to.equal(1);
    expect(knock(replicas, R1)).to.deep.equal([]);
  });

  it('a made one also hears of a config that was seen while it was made', async () => {
    const { replicas, engines, perform } = setUp();
    const making = perform(create(), configWith());
    replicas.observe(configWith({ version: 9, epoch: 4 }));
    replicas.observe(configWith({ version: 8, epoch: 3 }));
    await making;
    expect(engines[0]?.observed.map(({ version }) => version)).to.deep.equal([9]);
  });

  it('one that is made from a snapshot is given its source; a snapshot goes with all that the pool has of it', async () => {
    const { perform, pool } = setUp();
    const source: CloneSource = { snapshot: snapshotUid('snap-1'), attempt: 9, replica: R2 };
    expect(await perform({ ...create(), source } as PoolSpec)).to.equal(null);
    expect(pool.sources).to.deep.equal([source]);
    const deletion: PoolSpec = { kind: 'delete-snapshot', volume: UID, snapshot: snapshotUid('snap-1'), pool: 'default' };
    expect(await perform(deletion)).to.equal(null);
    pool.problem = 'unlink: EIO';
    expect(await perform(deletion)).to.equal('unlink: EIO');
    expect(pool.removedSnapshots).to.deep.equal([snapshotUid('snap-1'), snapshotUid('snap-1')]);
  });

  it('what cannot be made says why', async () => {
    const { replicas, pool, perform } = setUp();
    pool.problem = 'pool default has 1 GiB free of 2 GiB';
    expect(await perform(create())).to.equal('pool default has 1 GiB free of 2 GiB');
    expect(knock(replicas, R1)[0]).to.include({ code: 'unknownReplica' });
  });

  it('one id is never of two volumes', async () => {
    const { perform } = setUp();
    await perform(create());
    expect(await perform({ ...create(), volume: volumeUid('other') } as PoolSpec)).to.match(/is another/);
  });

  it('a removed one is closed first, then its files go, and its id is unknown', async () => {
    const { replicas, engines, pool, perform } = setUp();
    await perform(create());
    expect(await perform(remove())).to.equal(null);
    expect(engines[0]?.isClosed).to.equal(true);
    expect([...pool.there]).to.deep.equal([]);
    expect(knock(replicas, R1)[0]).to.include({ code: 'unknownReplica' });
    expect(await perform(remove()), 'what is not there is removed already').to.equal(null);
  });

  it('while it is removed it serves nobody and is told as being removed', async () => {
    const { replicas, perform } = setUp();
    await perform(create());
    const removing = perform(remove());
    expect(knock(replicas, R1)[0]).to.include({ code: 'failed' });
    expect(replicas.held().map(({ isBeingRemoved }) => isBeingRemoved)).to.deep.equal([true]);
    await removing;
  });

  it('a damaged one is removed too', async () => {
    const { replicas, perform } = setUp(() => [{ replica: R1, volume: null, damage: 'meta: it is missing' }]);
    expect(await perform(remove())).to.equal(null);
    expect(replicas.held()).to.deep.equal([]);
  });

  it('one that cannot be removed is told as failed, and may be tried again', async () => {
    const { pool, failures, perform } = setUp();
    await perform(create());
    pool.problem = 'EIO';
    expect(await perform(remove())).to.equal('EIO');
    expect(failures()[0]?.failure).to.match(/could not be removed: EIO/);
    pool.problem = null;
    expect(await perform(remove())).to.equal(null);
  });

  it('when the agent stops all are closed, and no Seal is answered', async () => {
    const { replicas, engines, perform } = setUp();
    for (let index = 1; index <= 5; index++) await perform(create(replicaId(String(index).padStart(16, '0'))));
    const closing = replicas.close();
    expect(knock(replicas, replicaId('1'.padStart(16, '0')))[0]).to.include({ code: 'unknownReplica' });
    await closing;
    expect(engines.every(({ isClosed }) => isClosed)).to.equal(true);
  });
});
