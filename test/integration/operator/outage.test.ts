/**
 * The leader leads on while the API server cannot be reached, by itself or by anybody: what it does for volumes then, that nobody else's writes come in between, and that
 * it stops as soon as etcd names another. Real etcd, API server and operators, with relays between them; agents that the test plays.
 */
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { commitsIn, LeaderHistory } from '../../support/operator/leaderHistory.ts';
import { FIRST_START_MS, RealCluster } from '../../support/operator/realCluster.ts';
import { Routes } from '../../support/operator/routes.ts';
import { until } from '../../support/until.ts';

/** A Lease lasts 6 s and is looked at every 1.5 s. */
const TAKE_OVER_BOUND_MS = 20_000;
const CARETAKER_BOUND_MS = 10_000;
/** Longer than the Lease lasts, and than anybody waits before taking it over. */
const OUTAGE_MS = 15_000;

describe('operator: the API server cannot be reached', function () {
  this.timeout(120_000);
  let real: RealCluster;
  let history: LeaderHistory;
  const routes = new Routes();

  before(async function () {
    this.timeout(FIRST_START_MS);
    real = await RealCluster.start({ operators: 0, operatorRoute: (...of) => routes.of(...of) });
    history = await LeaderHistory.open(real.cluster.etcd, real.keys.leader);
    await real.cluster.grow(0, 2);
    for (const letter of 'abc') real.play(letter);
    await real.create('pgdata', { size: '1Gi', attachTo: 'node-a' });
    await real.untilPhase('pgdata', 'Healthy');
  });
  after(async () => {
    routes.mend();
    await history?.close();
    await real?.stop();
    routes.close();
  });

  const isCaretaker = async (operator: string): Promise<boolean> => (await real.metric(operator, 'holdfast_leader_caretaker_count')) === 1;
  const leads = async (operator: string): Promise<boolean> => (await real.metric(operator, 'holdfast_leader_count')) === 1;
  const epoch = async (): Promise<number> => (await real.config('pgdata'))?.epoch ?? 0;
  const cutOff = (...operators: string[]): void => {
    for (const operator of operators) routes.cut(operator, ['apiserver'], 'both');
  };
  /** The agent that serves is killed and started: a new process, which has to be promoted. */
  const restarted = async (): Promise<void> => {
    await real.kill('a');
    const { instance } = real.play('a');
    const isPrimary = async (): Promise<boolean> => (await real.config('pgdata'))?.primary?.instance === instance;
    await until('the new process is the primary', isPrimary, CARETAKER_BOUND_MS);
  };

  it('by nobody: the leader leads on in its term, promotes an agent that was started again, and people see it afterwards', async () => {
    const leader = await real.leader();
    const [generation, before] = [await real.generation(), await epoch()];
    cutOff(...real.cluster.operators);
    const beganMs = performance.now();
    await until('it is a caretaker', () => isCaretaker(leader), CARETAKER_BOUND_MS);
    await restarted();
    await until('the outage was long enough', () => performance.now() - beganMs > OUTAGE_MS, 2 * OUTAGE_MS);
    expect(await leads(leader), 'it leads on').to.equal(true);
    expect((await real.volume('pgdata'))?.status?.epoch, 'nobody can have told people').to.equal(before);
    routes.mend();
    const now = await epoch();
    await until('people see it', async () => (await real.volume('pgdata'))?.status?.epoch === now, TAKE_OVER_BOUND_MS);
    await real.untilPhase('pgdata', 'Healthy');
    expect([await real.generation(), await real.leader()]).to.deep.equal([generation, leader]);
  });

  it('by the leader only: another leads, and the first stops without having written or heard anything', async () => {
    const leader = await real.leader();
    const generation = await real.generation();
    cutOff(leader);
    await until('another leads', async () => (await real.generation()) > generation, TAKE_OVER_BOUND_MS);
    await until('the first has stopped', async () => !(await leads(leader)), 5_000);
    await restarted();
    routes.mend();
    await real.untilPhase('pgdata', 'Healthy');
    expect(await real.leader()).to.not.equal(leader);
  });

  it('and no two leaders’ writes came between each other', () => {
    const commits = real.cluster.operators.flatMap((name) =>
      commitsIn(name, readFileSync(real.cluster.process(`operator/${name}`).logFile, 'utf8')),
    );
    expect(commits.length, 'transactions that were told of').to.be.greaterThan(3);
    expect(history.faults(commits)).to.deep.equal([]);
  });
});
