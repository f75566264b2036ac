/** Whom a replica knows as the primary that it promised to, and of whom somebody else must be asked. */
import { expect } from 'chai';
import { configOf, ReplicaBench, sealOf } from '../../../support/replicaBench.ts';

describe('A replica and the sender of a Seal', () => {
  let bench: ReplicaBench;
  beforeEach(() => {
    bench = new ReplicaBench();
  });

  const ofNode = (node: string, seal = sealOf(3)) => ({
    ...seal,
    config: { ...seal.config, primary: { node, instance: seal.instance, mode: 'serve' as const } },
  });

  it('knows nobody of an epoch that it has not promised, and changes nothing by saying so', () => {
    expect(bench.replica.judge(sealOf(3))).to.equal('unknown');
    expect([bench.waiting, bench.replica.judge(sealOf(2))]).to.deep.equal([[], 'unknown']);
  });

  it('knows whom it has promised, also after a restart: no other node with its epoch and instance, and none of a later epoch', () => {
    bench.open(3);
    for (const restart of [() => undefined, () => bench.restart()]) {
      restart();
      const seals = [sealOf(3), sealOf(3, 1, 9), ofNode('node-c'), sealOf(4)];
      expect(seals.map((seal) => bench.replica.judge(seal))).to.deep.equal(['promised', 'promised', 'unknown', 'unknown']);
    }
  });

  it('knows whom the config named that its agent saw', () => {
    bench.replica.observe(configOf(3, 3));
    expect([bench.replica.judge(sealOf(3)), bench.replica.judge(ofNode('node-c'))]).to.deep.equal(['promised', 'unknown']);
    bench.complete();
    bench.restart();
    expect(bench.replica.judge(sealOf(3))).to.equal('promised');
  });

  it('knows nobody of an epoch that was begun for nobody', () => {
    bench.replica.observe({ ...configOf(3, 3), primary: null });
    bench.complete();
    expect(bench.replica.judge(sealOf(3))).to.equal('unknown');
    bench.restart();
    expect(bench.replica.judge(sealOf(3))).to.equal('unknown');
  });

  it('forgets, with a restart, whom it promised, once he has let go', () => {
    bench.open(3);
    bench.replica.observe({ ...configOf(3, 4), primary: null });
    bench.complete();
    bench.restart();
    expect(bench.replica.judge(sealOf(3, 1, 4))).to.equal('unknown');
  });

  it('says of what it refuses in any case that it does', () => {
    bench.open(3);
    expect([sealOf(2, 1, 9), sealOf(3, 2, 9), sealOf(3, 1, 2)].map((seal) => bench.replica.judge(seal))).to.deep.equal([
      'refused',
      'refused',
      'refused',
    ]);
  });
});
