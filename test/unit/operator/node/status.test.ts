/** What people see of a node whose agent runs, is silent, or is not wanted for anything new. */
import { expect } from 'chai';
import { newStorageNode, nodeStatusOf } from '../../../../operator/node/status.ts';
import { machine } from '../../../support/operator/builders.ts';

const NOW = { monotonicMs: 0, wallMs: Date.parse('2026-01-02T03:04:05Z') };
const conditions = (status: ReturnType<typeof nodeStatusOf>): string[] =>
  status.conditions?.map(({ type, status: holds, message }) => `${type} ${holds}: ${message}`) ?? [];

describe('operator: the status of a node', () => {
  const node = newStorageNode('node-a');
  const running = nodeStatusOf(node, machine('a'), 2, NOW);

  it('says that its agent runs and that replicas may be placed there', () => {
    expect(conditions(running)).to.deep.equal([
      `Ready True: its agent runs version ${machine('a').version}`,
      'Schedulable True: new replicas may be placed here',
    ]);
  });

  it('keeps what a silent agent last told, and says that nothing is placed there', () => {
    const silent = nodeStatusOf({ ...node, status: running }, null, 2, NOW);
    expect(silent).to.include({ capacity: running.capacity, used: running.used, version: running.version });
    expect(conditions(silent)).to.deep.equal(['Ready False: its agent is not heard of', 'Schedulable False: its agent is not heard of']);
  });

  it('says first what people asked for', () => {
    const excluded = { ...node, spec: { ...node.spec, schedulable: false } };
    expect(conditions(nodeStatusOf(excluded, null, 2, NOW))[1]).to.equal('Schedulable False: excluded by spec.schedulable');
  });
});
