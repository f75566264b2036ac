/** A task in the hands of a real agent process that stands still: somebody else's turn comes, and what the late one ends changes nothing. */
import { expect } from 'chai';
import { snapshotUid, volumeUid } from '../../../core/ids.ts';
import type { Claim, Task } from '../../../core/task.ts';
import { type AgentProcess, Agents, keys, LeaderStandIn } from '../../support/agents.ts';
import { until } from '../../support/until.ts';

/** Longer than the agent waits for a primary that never comes. */
const ENDS_BOUND_MS = 40_000;

describe('agent: a task while its agent stands still', function () {
  this.timeout(120_000);
  let agents: Agents;
  let leader: LeaderStandIn;
  let agent: AgentProcess;

  before(async () => {
    agents = await Agents.open();
    leader = new LeaderStandIn(agents);
    agent = await agents.start('node-a');
  });
  after(() => agents?.remove());

  const claimOf = (task: Task): Promise<Claim | null> => agents.read<Claim>(keys.claim(task.id));
  const linesAbout = (task: Task, attempt: number) => agent.lines.filter((line) => line.task === task.id && line.attempt === attempt);

  it('is filed again when its claim is gone, and the late end of the first attempt does not count', async () => {
    // Of a volume that nobody serves: it waits, claimed, long enough to be caught in the middle.
    const spec = { kind: 'snapshot', volume: volumeUid('nobody'), snapshot: snapshotUid('nobody') } as const;
    const filed = await leader.file('node-a', spec);
    await until('it is claimed', async () => (await claimOf(filed))?.attempt === 1);
    agent.child.kill('SIGSTOP');
    await until('its claim is gone', async () => (await claimOf(filed)) === null, ENDS_BOUND_MS);
    await leader.refile(filed);
    expect(await leader.task(filed)).to.deep.include({ attempt: 2, state: 'filed' });
    agent.child.kill('SIGCONT');
    const ended = await leader.ended(filed, ENDS_BOUND_MS);
    expect([ended.attempt, ended.state, ended.error]).to.deep.equal([2, 'failed', 'the volume’s primary is not on this node']);
    expect(await claimOf(filed)).to.equal(null);
    expect(linesAbout(filed, 1).map(({ message }) => message)).to.include('task was taken over, its end here does not count');
    expect(linesAbout(filed, 2).map(({ message }) => message)).to.deep.equal(['task claimed', 'task failed']);
    const traces = new Set([...linesAbout(filed, 1), ...linesAbout(filed, 2)].map(({ traceId }) => traceId));
    expect([...traces]).to.deep.equal([filed.traceId]);
  });
});
