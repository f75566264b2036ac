/** A task's age is told from when it was seen as it is; whatever happens to it begins it anew. */
import { expect } from 'chai';
import { replicaId, volumeUid } from '../../../../core/ids.ts';
import { endTask, fileTask, refileIfLost, startTask, type Task } from '../../../../core/task.ts';
import { TaskAges } from '../../../../operator/reconcile/taskAges.ts';

const task = (id: string, node: string): Task => {
  const spec = { kind: 'delete-replica', volume: volumeUid('0'.repeat(32)), replica: replicaId('1'.repeat(16)), pool: 'main' } as const;
  return fileTask(id, node, spec, 1, 'f'.repeat(32));
};

describe('operator: for how long tasks have been as they are', () => {
  it('is the oldest of each node, and nothing of what has ended', () => {
    const ages = new TaskAges();
    const [first, second] = [task('t1', 'node-a'), task('t2', 'node-a')];
    ages.update([first], 1_000);
    expect([...ages.update([first, second], 5_000)]).to.deep.equal([['node-a', 4_000]]);
    expect([...ages.update([endTask(startTask(first), 'no'), second], 6_000)]).to.deep.equal([['node-a', 1_000]]);
    expect([...ages.update([], 7_000)]).to.deep.equal([]);
  });

  it('begins anew when it is begun, and when it is filed again', () => {
    const ages = new TaskAges();
    const filed = task('t1', 'node-a');
    ages.update([filed], 0);
    const running = startTask(filed);
    expect([...ages.update([running], 9_000)]).to.deep.equal([['node-a', 0]]);
    expect([...ages.update([running], 10_000)]).to.deep.equal([['node-a', 1_000]]);
    const again = refileIfLost(running, null, 2);
    if (again === null) throw new Error('was not lost');
    expect([...ages.update([again], 11_000)]).to.deep.equal([['node-a', 0]]);
  });
});
