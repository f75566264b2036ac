/** The replicas of a node: served, made, removed, failed. */
import { expect } from 'chai';
import { type FoundReplica, type PoolPort, Replicas } from '../../../../agent/control/replicas.ts';
import type { ReplicaMeta, ReplicaStore } from '../../../../agent/ports.ts';
import type { ReplicaLink } from '../../../../agent/replication/link.ts';
import type { VolumeConfig } from '../../../../core/config.ts';
import { type ReplicaId, replicaId, volumeUid } from '../../../../core/ids.ts';
import { silentLog } from '../../../../core/log.ts';
import type { TaskSpec } from '../../../../core/task.ts';
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
  problem: string | null = null;

  constructor(name = 'default') {
    this.name = name;
  }

  report(): never {
    throw new Error('not asked here');
  }

  async create({ replica }: { replica: ReplicaId }): Promise<{ store: ReplicaStore } | { problem: string }> {
    if (this.problem !== null) return { problem: this.problem };
    this.there.add(replica);
    return { store: storeOf(replica) };
  }

  async remove(replica: ReplicaId): Promise<string | null> {
    if (this.problem === null) this.there.delete(replica);
    return this.problem;
  }

  quarantine(reason: string): void {
    this.quarantines.push(reason);
  }
}

function setUp(found: (pool: FakePool) => FoundReplica[] = () => []) {
  const pool = new FakePool();
  const other = new FakePool('fast');
  const engines: FakeReplica[] = [];
  let config: VolumeConfig | null = null;
  const replicas = new Replicas({
    pools: new Map([
      ['default', pool],
      ['fast', other],
    ]),
    makeReplica: (options) => {
      const engine = new FakeReplica(options);
      engine.failed = options.store.meta.failed;
      engines.push(engine);
      return engine;
    },
    expected: () => [],
    clock: new ManualClock(),
    log: silentLog,
    configOf: () => config,
    volumeOf: (replica) => (config?.shards[0]?.members.some((member) => member.replica === replica) ? config.uid : null),
    protocolError: () => undefined,
  });
  replicas.found(found(pool));
  const seen = (latest: VolumeConfig) => {
    config = latest;
  };
  return { pool, other, engines, replicas, seen };
}

const create = (replica = R1, pool = 'default'): TaskSpec => ({
  kind: 'create-replica',
  volume: UID,
  replica,
  pool,
  sizeBytes: 4096,
  volumeName: 'pgdata',
});
const remove = (replica = R1, pool = 'default'): TaskSpec => ({ kind: 'delete-replica', volume: UID, replica, pool });

function knock(replicas: Replicas, replica: ReplicaId): FromReplica[] {
  const said: FromReplica[] = [];
  const link: ReplicaLink = { peer: 'agent:node-b', send: (message) => said.push(message), close: () => undefined };
  const config = configWith();
  const seal: Seal = { type: 'seal', volume: UID, replica, epoch: 1, instance: INSTANCE, config };
  replicas.accept(seal, link);
  return said;
}

describe('the replicas of a node', () => {
  it('that are sound are served, each hears its Seals and its configs', () => {
    const { engines, replicas } = setUp((pool) => [
      { pool, replica: R1, volume: UID, store: storeOf(R1) },
      { pool, replica: R2, volume: volumeUid('other'), store: storeOf(R2, { volume: volumeUid('other') }) },
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

  it('damaged ones refuse with the reason and are told, as soon as it is known whose they are', () => {
    const { replicas, engines, seen } = setUp((pool) => [
      { pool, replica: R1, volume: UID, damage: 'intents: it is cut short' },
      { pool, replica: R2, volume: null, damage: 'meta: it is missing' },
    ]);
    expect(engines).to.deep.equal([]);
    expect(knock(replicas, R1)[0]).to.include({ type: 'refused', code: 'failed', message: 'intents: it is cut short' });
    expect(replicas.failed()).to.deep.equal([{ volume: UID, replica: R1, reason: 'intents: it is cut short' }]);
    seen(configWith());
    expect(replicas.failed().map(({ replica }) => replica)).to.deep.equal([R1, R2]);
    expect(replicas.count()).to.deep.equal({ served: 0, failed: 2 });
  });

  it('one that fails while it runs is told, and its pool is quarantined', () => {
    const { replicas, engines, pool } = setUp((its) => [{ pool: its, replica: R1, volume: UID, store: storeOf(R1) }]);
    engines[0]?.fail('fdatasync: EIO');
    expect(replicas.failed()).to.deep.equal([{ volume: UID, replica: R1, reason: 'fdatasync: EIO' }]);
    expect(pool.quarantines).to.deep.equal(['fdatasync: EIO']);
  });

  it('a made one gets its engine and the latest config at once, and making it again is done already', async () => {
    const { replicas, engines, seen } = setUp();
    seen(configWith());
    expect(await replicas.perform(create())).to.equal(null);
    expect(engines[0]?.observed.length).to.equal(1);
    expect(await replicas.perform(create())).to.equal(null);
    expect(engines.length).to.equal(1);
    expect(knock(replicas, R1)).to.deep.equal([]);
  });

  it('what cannot be made says why', async () => {
    const { replicas, pool } = setUp();
    pool.problem = 'pool default has 1 GiB free of 2 GiB';
    expect(await replicas.perform(create())).to.equal('pool default has 1 GiB free of 2 GiB');
    expect(await replicas.perform(create(R1, 'slow'))).to.equal("pool slow is not one of this agent's (default, fast)");
    expect(knock(replicas, R1)[0]).to.include({ code: 'unknownReplica' });
  });

  it('one id is never in two pools, nor of two volumes', async () => {
    const { replicas } = setUp();
    await replicas.perform(create());
    expect(await replicas.perform(create(R1, 'fast'))).to.match(/is here already, in pool default/);
    expect(await replicas.perform({ ...create(), volume: volumeUid('other') } as TaskSpec)).to.match(/is another/);
    expect(await replicas.perform(remove(R1, 'fast'))).to.match(/is in pool default, not in fast/);
  });

  it('a removed one is closed first, then its files go, and its id is unknown', async () => {
    const { replicas, engines, pool } = setUp();
    await replicas.perform(create());
    expect(await replicas.perform(remove())).to.equal(null);
    expect(engines[0]?.isClosed).to.equal(true);
    expect([...pool.there]).to.deep.equal([]);
    expect(knock(replicas, R1)[0]).to.include({ code: 'unknownReplica' });
    expect(await replicas.perform(remove()), 'what is not there is removed already').to.equal(null);
  });

  it('while it is removed it serves nobody and is not told as failed', async () => {
    const { replicas } = setUp();
    await replicas.perform(create());
    const removing = replicas.perform(remove());
    expect(knock(replicas, R1)[0]).to.include({ code: 'failed' });
    expect(replicas.failed()).to.deep.equal([]);
    await removing;
  });

  it('a damaged one is removed too', async () => {
    const { replicas } = setUp((pool) => [{ pool, replica: R1, volume: null, damage: 'meta: it is missing' }]);
    expect(await replicas.perform(remove())).to.equal(null);
    expect(replicas.count()).to.deep.equal({ served: 0, failed: 0 });
  });

  it('one that cannot be removed is told as failed, and may be tried again', async () => {
    const { replicas, pool } = setUp();
    await replicas.perform(create());
    pool.problem = 'EIO';
    expect(await replicas.perform(remove())).to.equal('EIO');
    expect(replicas.failed()[0]?.reason).to.match(/could not be removed: EIO/);
    pool.problem = null;
    expect(await replicas.perform(remove())).to.equal(null);
  });

  it('when the agent stops all are closed, and no Seal is answered', async () => {
    const { replicas, engines } = setUp();
    for (let index = 1; index <= 5; index++) await replicas.perform(create(replicaId(String(index).padStart(16, '0'))));
    const closing = replicas.close();
    expect(knock(replicas, replicaId('1'.padStart(16, '0')))[0]).to.include({ code: 'unknownReplica' });
    await closing;
    expect(engines.every(({ isClosed }) => isClosed)).to.equal(true);
  });
});
