/**
 * The leader is killed, stopped or cut off in each phase of its leading: another leads in time, goes on with what was begun, and by etcd's own history no two
 * leaders' writes interleave. Real etcd, API server and operators, with relays between them.
 */
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { commitsIn, LeaderHistory } from '../../support/operator/leaderHistory.ts';
import { FIRST_START_MS, RealCluster } from '../../support/operator/realCluster.ts';
import { type Dialled, Routes, type Way } from '../../support/operator/routes.ts';
import { until } from '../../support/until.ts';

/** A Lease lasts 6 s, is looked at every 1.5 s, and an operator notices after 5 s that etcd does not answer it. */
const TAKE_OVER_BOUND_MS = 20_000;
/** A free Lease is taken within 1.5 s by one that is fit. */
const TAKE_LEASE_BOUND_MS = 8_000;
const REACH_ATTEMPTS = 4;
const LEASE = ['lease', 'operator.holdfast.dev', '-n', 'holdfast-system'];
const EVERYTHING: readonly Dialled[] = ['etcd', 'apiserver'];

describe('operator: the leader, killed, stopped and cut off in each phase', function () {
  this.timeout(180_000);
  let real: RealCluster;
  let history: LeaderHistory;
  const routes = new Routes();
  let volumes = 0;

  before(async function () {
    this.timeout(FIRST_START_MS);
    real = await RealCluster.start({ operators: 0, operatorRoute: (...of) => routes.of(...of) });
    history = await LeaderHistory.open(real.cluster.etcd, real.keys.leader);
    await real.cluster.grow(0, 2);
    for (const letter of 'abc') real.play(letter);
  });
  after(async () => {
    routes.mend();
    await history?.close();
    await real?.stop();
    routes.close();
  });
  /** Also of terms that are long over: whatever was written, ever. */
  afterEach(function () {
    if (this.currentTest?.state === 'failed') {
      for (const name of real.cluster.operators) process.stdout.write(processOf(name).logTail());
    }
    const commits = real.cluster.operators.flatMap((name) =>
      commitsIn(name, readFileSync(real.cluster.process(`operator/${name}`).logFile, 'utf8')),
    );
    expect(commits.length, 'transactions that were told of').to.be.greaterThan(0);
    expect(history.faults(commits)).to.deep.equal([]);
  });

  const processOf = (operator: string) => real.cluster.process(`operator/${operator}`);
  const start = (operator: string): void => void processOf(operator).start();
  const otherThan = (operator: string): string => real.cluster.operators.find((one) => one !== operator) ?? '';
  const holder = async (): Promise<string> =>
    (await real.cluster.kubectl(['get', ...LEASE, '-o', 'jsonpath={.spec.holderIdentity}'])).split('_')[0] ?? '';
  /** False: its last answer of etcd was old when it was cut off, or the Lease was free late: it counts as unfit by then, rightly, and does not stand. */
  const takesLease = (operator: string): Promise<boolean> =>
    until('it holds the Lease', async () => (await holder()) === operator, TAKE_LEASE_BOUND_MS).catch(() => false);
  const turn = () => history.turns.at(-1) ?? { generation: 0, holder: '' };
  const create = async (): Promise<string> => {
    const name = `v${++volumes}`;
    await real.create(name, { size: '1Gi', replicas: 1 + (volumes % 3) });
    return name;
  };

  /** Each harms that operator and gives what mends it. */
  const FAULTS: Record<string, (operator: string) => Promise<() => Promise<unknown>>> = {
    'is killed': async (operator) => {
      await processOf(operator).kill('SIGKILL');
      return async () => start(operator);
    },
    'stands still': async (operator) => {
      await processOf(operator).kill('SIGSTOP');
      return () => processOf(operator).kill('SIGCONT');
    },
    ...Object.fromEntries(
      (
        [
          ['is cut off from everything', EVERYTHING, 'both'],
          ['is cut off from etcd', ['etcd'], 'both'],
          ['is heard by etcd and hears nothing', ['etcd'], 'answers'],
          ['is heard by the API server and hears nothing', ['apiserver'], 'answers'],
          ['hears the API server and is not heard', ['apiserver'], 'requests'],
        ] as [string, Dialled[], Way][]
      ).map(([what, dialled, way]) => [
        what,
        async (operator: string) => {
          routes.cut(operator, dialled, way);
          return async () => routes.mend();
        },
      ]),
    ),
  };

  /** Each brings the world there, and says who is to be harmed, and what has to be mended beside that. */
  const PHASES: Record<string, () => Promise<{ victim: string; mend: () => Promise<unknown> }>> = {
    'while it renews': async () => ({ victim: await real.leader(), mend: async () => undefined }),
    'in the middle of making volumes': async () => {
      const victim = await real.leader();
      const before = (await real.store.list(real.keys.volumes)).entries.length;
      await Promise.all(Array.from({ length: 6 }, create));
      await until('one of them is placed', async () => (await real.store.list(real.keys.volumes)).entries.length > before);
      return { victim, mend: async () => undefined };
    },
    'as soon as it is elected': async () => {
      const leader = await real.leader();
      const victim = otherThan(leader);
      await processOf(leader).kill('SIGTERM');
      await until('the other has raised the generation', () => turn().holder.startsWith(victim));
      return { victim, mend: async () => start(leader) };
    },
    'before it could raise the generation': async () => {
      for (let attempt = 1; ; attempt++) {
        const leader = await real.leader(TAKE_OVER_BOUND_MS);
        const victim = otherThan(leader);
        routes.cut(victim, ['etcd'], 'both');
        await processOf(leader).kill('SIGTERM');
        const mend = async (): Promise<void> => {
          routes.mend();
          start(leader);
        };
        if (await takesLease(victim)) return { victim, mend };
        if (attempt === REACH_ATTEMPTS)
          throw new Error(`${victim} did not take the Lease within ${TAKE_LEASE_BOUND_MS} ms, ${attempt} times`);
        await mend();
        for (const operator of real.cluster.operators) await real.cluster.waitUntilReady(`operator/${operator}`);
      }
    },
  };

  /** Every fault while it renews; in the other phases those that differ there. `ELECTION=all`: each with each. */
  const few = ['is killed', 'stands still', 'is cut off from everything', 'is heard by etcd and hears nothing'];
  const faultsOf = (when: string): string[] => (when === 'while it renews' || process.env.ELECTION === 'all' ? Object.keys(FAULTS) : few);

  for (const [when, reach] of Object.entries(PHASES)) {
    for (const what of faultsOf(when)) {
      const harm = FAULTS[what];
      if (!harm) throw new Error(`there is no such fault: ${what}`);
      it(`${what} ${when}`, async () => {
        const begun = await create();
        const { victim, mend } = await reach();
        const { generation } = turn();
        const isAlone = when === 'as soon as it is elected' || when === 'before it could raise the generation';
        const heal = await harm(victim);
        // Where the other was stopped to get there, it is started now: somebody has to be left.
        const name = otherThan(victim);
        if (isAlone) start(name);
        await until(`${name} leads`, () => turn().generation > generation && turn().holder.startsWith(name), TAKE_OVER_BOUND_MS);
        await real.untilPhase(begun, 'Healthy');
        await real.untilPhase(await create(), 'Healthy');
        await heal();
        await mend();
        for (const operator of real.cluster.operators) await real.cluster.waitUntilReady(`operator/${operator}`);
        await real.leader(TAKE_OVER_BOUND_MS);
        await real.untilPhase(await create(), 'Healthy');
        await real.cluster.kubectl(['delete', 'hv', '--all', '--timeout=60s']);
        await until('nothing is left', async () => (await real.keysLeft()).length === 0, 30_000);
      });
    }
  }

  it('tells of itself on its Lease', async () => {
    const annotation = await until(
      'etcd’s members were asked',
      async () => {
        const text = await real.cluster.kubectl(['get', ...LEASE, '-o', 'jsonpath={.metadata.annotations.holdfast\\.dev/leader}']);
        return text.includes('"answering"') ? (JSON.parse(text) as Record<string, unknown>) : null;
      },
      30_000,
    );
    expect(annotation).to.deep.include({ name: await real.leader(), generation: turn().generation, etcd: { answering: 1, of: 1 } });
    const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string };
    expect([annotation.version, Date.parse(String(annotation.since)) > 0]).to.deep.equal([version, true]);
  });
});
