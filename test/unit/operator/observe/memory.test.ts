import { expect } from 'chai';
import { emptyMemory, remember, sightingOf, waitMs, withSetback } from '../../../../operator/observe/memory.ts';
import { observedTask } from '../../../support/operator/builders.ts';

describe('operator: what a leader remembers', () => {
  const task = observedTask('create', 'a', 'filed').task.value;

  it('is since when something is so, until it is not', () => {
    const first = remember(emptyMemory, { missingNodes: ['node-a'], tasks: [task], releases: ['r#1'] }, 100);
    const second = remember(
      first,
      { missingNodes: ['node-a', 'node-b'], tasks: [{ ...task, state: 'running' }], releases: ['r#1', 'r#2'] },
      200,
    );
    expect([...second.machineGoneSinceMs]).to.deep.equal([
      ['node-a', 100],
      ['node-b', 200],
    ]);
    expect([...second.releasingSinceMs]).to.deep.equal([
      ['r#1', 100],
      ['r#2', 200],
    ]);
    expect([...second.taskSinceMs]).to.deep.equal([[sightingOf({ ...task, state: 'running' }), 200]]);
    expect(remember(second, { missingNodes: [], tasks: [], releases: [] }, 300)).to.deep.equal(emptyMemory);
  });

  it('makes waits that double up to a bound, for the same situation only', () => {
    let memory = emptyMemory;
    const waits = Array.from({ length: 9 }, () => {
      memory = withSetback(memory, 'x', 'same', 1_000);
      return waitMs(memory, 'x', 'same', 1_000);
    });
    expect(waits).to.deep.equal([5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]);
    expect(waitMs(memory, 'x', 'same', 301_000)).to.equal(0);
    expect(waitMs(memory, 'x', 'other', 1_000)).to.equal(0);
    expect(waitMs(withSetback(memory, 'x', 'other', 1_000), 'x', 'other', 1_000)).to.equal(5_000);
  });

  it('forgets setbacks that are long over', () => {
    const memory = withSetback(emptyMemory, 'x', '', 0);
    expect(remember(memory, { missingNodes: [], tasks: [], releases: [] }, 3_599_999).setbacks.size).to.equal(1);
    expect(remember(memory, { missingNodes: [], tasks: [], releases: [] }, 3_600_000).setbacks.size).to.equal(0);
  });
});
