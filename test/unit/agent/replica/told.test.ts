/** What a replica notes of configs that it has not seen, before it takes anything that is of them. */
import { expect } from 'chai';
import type { Operation } from '../../../../core/wire/messages.ts';
import { configOf, ReplicaBench } from '../../../support/replicaBench.ts';

const BLOCK = 4096;

describe('A replica and operations of a config that it has not seen', () => {
  let bench: ReplicaBench;
  beforeEach(() => {
    bench = new ReplicaBench();
  });

  const later = (sequence: number, version = 9): Operation => ({
    type: 'zero',
    sequence,
    settled: 0,
    version,
    offsetBytes: 0,
    lengthBytes: BLOCK,
    free: false,
  });

  it('notes its version durably before it applies the first, and no second time', () => {
    const session = bench.open();
    session.send(later(1));
    expect([session.types(), bench.waiting]).to.deep.equal([['sealed'], ['meta']]);
    bench.complete('meta');
    expect([bench.platter.meta.toldVersion, bench.platter.meta.config?.version]).to.deep.equal([9, 1]);
    bench.complete();
    session.send(later(2));
    expect([session.types().at(-1), bench.waiting]).to.deep.equal(['applied 2', []]);
  });

  it('notes also one that stamps nothing, and applies in order what came behind it', () => {
    const session = bench.open();
    session.send({ type: 'restamp', sequence: 1, settled: 0, version: 8, extents: [] }, later(2, 8));
    expect(session.types()).to.deep.equal(['sealed']);
    bench.complete();
    expect([session.types().at(-1), bench.platter.meta.toldVersion]).to.deep.equal(['applied 2', 8]);
  });

  it('notes nothing of one that its agent has seen', () => {
    const session = bench.open();
    bench.replica.observe(configOf(1, 9));
    bench.complete();
    session.send(later(1));
    expect(bench.waiting).to.not.include('meta');
  });
});
