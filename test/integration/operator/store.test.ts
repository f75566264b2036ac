/** etcd looked after, by the keeper over a real etcd with hardly any room: who is defragmented when, what happens when it is full, and who is told what. */
import { expect } from 'chai';
import { systemClock } from '../../../core/clock.ts';
import { silentLog } from '../../../core/log.ts';
import { connectStore, type StoreConnection } from '../../../edge/etcd/connect.ts';
import { createMetrics } from '../../../edge/metrics.ts';
import { operatorMetrics } from '../../../operator/metrics.ts';
import type { UpkeepLimits } from '../../../operator/store/decide.ts';
import { Keeper } from '../../../operator/store/keeper.ts';
import type { ObjectEvent } from '../../../operator/volume/events.ts';
import { type EtcdProcess, startEtcd } from '../../support/etcd.ts';
import { until } from '../../support/until.ts';

const KIBIBYTE = 1024;
const QUOTA_BYTES = 8 * KIBIBYTE * KIBIBYTE;
const VALUE = 'x'.repeat(200 * KIBIBYTE);
const LOOK_MS = 20;

/** As for `systemClock`, and a test may let hours pass. */
class JumpingClock {
  aheadMs = 0;
  monotonicMs(): number {
    return systemClock.monotonicMs() + this.aheadMs;
  }
  wallMs(): number {
    return systemClock.wallMs() + this.aheadMs;
  }
}

describe('operator: etcd is looked after', function () {
  this.timeout(60_000);
  let members: EtcdProcess[];
  let connection: StoreConnection;
  let clock: JumpingClock;
  let keeper: Keeper;
  let told: ObjectEvent[];
  let defragmented: string[];
  let looks = 0;
  let beat: NodeJS.Timeout | undefined;

  /** As agents do: what a member tells of its free pages is as of its last writes. */
  const startBeating = (): void => {
    let count = 0;
    beat = setInterval(() => void connection.store.commit([], [{ put: '/beat', value: `${count++}` }]).catch(() => undefined), 100);
  };
  const moreLooks = async (count: number): Promise<void> => {
    const before = looks;
    await until(`${count} more looks`, () => looks >= before + count);
  };

  const keep = (limits: Partial<UpkeepLimits> = {}): void => {
    const { upkeep } = connection;
    const recorded = {
      ...upkeep,
      members: () => {
        looks++;
        return upkeep.members();
      },
      defragment: async (url: string) => {
        const now = await upkeep.members();
        const silent = now.filter(({ status }) => status === null);
        expect(silent, 'members that are silent').to.deep.equal([]);
        defragmented.push(url);
        await upkeep.defragment(url);
      },
    };
    keeper = new Keeper({
      upkeep: recorded,
      clock,
      timers: { sleep: (forMs, signal) => sleepAtMost(Math.min(forMs, LOOK_MS), signal) },
      log: silentLog,
      metrics: operatorMetrics(createMetrics({ processMetrics: false })),
      limits: { acts: true, wasteRatio: 0.5, wasteBytesMin: KIBIBYTE * KIBIBYTE, historyMs: 1_800_000, ...limits },
      tell: (event) => void told.push(event),
      fail: (error) => {
        throw error;
      },
    });
    keeper.begin();
  };
  const sleepAtMost = (forMs: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, forMs);
      signal?.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  const conditionOf = (type: string) => keeper.conditions.find((condition) => condition.type === type);
  const isWritable = (): boolean => conditionOf('StoreWritable')?.status === 'True';
  const dbBytes = async (): Promise<number[]> => (await connection.upkeep.members()).map(({ status }) => status?.dbBytes ?? 0);
  /** Until etcd takes no more: it says so itself. */
  const fill = async (key: string): Promise<void> => {
    for (let index = 0; ; index++) {
      expect(index).to.be.below(1_000);
      try {
        await connection.store.commit([], [{ put: key, value: `${index}${VALUE}` }]);
      } catch (error) {
        expect(String(error)).to.contain('database space exceeded');
        return;
      }
    }
  };

  beforeEach(async () => {
    members = await startEtcd({ members: 3, flags: [`--quota-backend-bytes=${QUOTA_BYTES}`] });
    connection = connectStore({ endpoints: members.map(({ url }) => url), certificates: null, leaseTtlSeconds: 3 }, silentLog);
    clock = new JumpingClock();
    told = [];
    defragmented = [];
  });
  afterEach(async () => {
    clearInterval(beat);
    keeper?.end();
    await keeper?.idle();
    await connection.close();
    await Promise.all(members.map((member) => member.remove()));
  });

  it('keeps a part of its history, compacts what is older, and defragments each member once', async () => {
    startBeating();
    keep();
    await until('it was looked at', isWritable);
    for (let index = 0; index < 15; index++) await connection.store.commit([], [{ put: '/same', value: `${index}${VALUE}` }]);
    const fullBytes = 15 * VALUE.length;
    // A member tells of its file as of its last batch of writes.
    await until('all have grown', async () => (await dbBytes()).every((bytes) => bytes >= fullBytes));
    clock.aheadMs += 120_000;
    await moreLooks(3);
    expect(defragmented).to.deep.equal([]);
    clock.aheadMs += 1_800_000;
    // Physically compacted: what is used of each file is small, the files are not.
    const usedBytes = async () => (await connection.upkeep.members()).map(({ status }) => status?.usedBytes ?? fullBytes);
    await until('history is let go', async () => (await usedBytes()).every((bytes) => bytes < fullBytes / 2));
    expect(defragmented, 'before all had let go').to.deep.equal([]);
    clock.aheadMs += 10_000;
    await until('all were defragmented', () => defragmented.length === 3);
    await until('all are small', async () => (await dbBytes()).every((bytes) => bytes < fullBytes / 2));
    expect(new Set(defragmented).size).to.equal(3);
    // Followers come first of those that tell of waste at a look, which the unit tests show: each tells when it tells, so there is no order to be seen from here.
    expect((await connection.store.get('/same'))?.value).to.equal(`14${VALUE}`);
  });

  it('leaves all as they are while one gives no answer', async () => {
    for (let index = 0; index < 15; index++) await connection.store.commit([], [{ put: '/same', value: `${index}${VALUE}` }]);
    await connection.upkeep.compact(await connection.upkeep.revision());
    startBeating();
    await members[2]?.kill();
    keep();
    await until('it was looked at', isWritable);
    await moreLooks(3);
    expect(defragmented).to.deep.equal([]);
    await members[2]?.start();
    await until('all were defragmented', () => new Set(defragmented).size === 3, 30_000);
  });

  it('has space again by itself when history filled it, and people are told of both', async () => {
    keep();
    await until('it was looked at', isWritable);
    await fill('/same');
    await until('it takes writes again', () => connection.store.commit([], [{ put: '/after', value: 'v' }]).catch(() => null), 30_000);
    await until('that is told', () => told.some(({ reason }) => reason === 'StoreHasSpace'));
    // That it is nearly full may be told before, by chance: a look may come just then.
    const ofSpace = told.filter(({ reason }) => reason !== 'StoreNearlyFull');
    expect(ofSpace.map(({ reason, type }) => [reason, type])).to.deep.equal([
      ['StoreNoSpace', 'Warning'],
      ['StoreHasSpace', 'Normal'],
    ]);
    expect(await connection.upkeep.alarms()).to.deep.equal([]);
    expect((await dbBytes()).every((bytes) => bytes <= 0.9 * QUOTA_BYTES)).to.equal(true);
  });
});
