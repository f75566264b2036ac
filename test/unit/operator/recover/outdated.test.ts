/** etcd was restored from a backup: the leader must not raise an epoch over what replicas have promised, nor do anything else by a config that is over. */
import { expect } from 'chai';
import type { AheadReport } from '../../../../core/machine.ts';
import type { ObservedVolume } from '../../../../operator/observe/observed.ts';
import { statusOf } from '../../../../operator/volume/status.ts';
import { config, observedVolume, serving, without, world } from '../../../support/operator/builders.ts';
import { attached, decide, kinds, primary } from '../../../support/operator/decisions.ts';

const ahead: AheadReport = { node: 'node-b', epoch: 8, version: 30 };
const object = attached('a');
const held = config({ epoch: 5, version: 20, primary: primary('a') });

const reported = (change: Partial<AheadReport> = {}): ObservedVolume =>
  observedVolume({
    object,
    config: held,
    serving: serving('a', { epoch: 5, state: 'sealing', socket: null, ahead: { ...ahead, ...change } }),
  });
const shown = (epoch: number): ObservedVolume & { object: NonNullable<ObservedVolume['object']> } => {
  const known = { ...object, status: { phase: 'Failed' as const, epoch } };
  return { ...observedVolume({ object: known, config: held }), object: known };
};

describe('operator: etcd was restored from a backup', () => {
  const rows: [says: string, volume: ObservedVolume, isOutdated: boolean][] = [
    ['a replica has promised a later epoch', reported({ version: 20 }), true],
    ['a replica has seen a later config', reported({ epoch: 5 }), true],
    ['what a replica knows stands in etcd by now', reported({ epoch: 5, version: 20 }), false],
    ['people were shown a later epoch', shown(6), true],
    ['people were shown this epoch', shown(5), false],
  ];
  const worlds = [undefined, without('a')].flatMap((machines) =>
    [false, true].map((isCaretaker) => world({ ...(machines ? { machines } : {}), isCaretaker })),
  );
  for (const [says, volume, isOutdated] of rows) {
    it(`${isOutdated ? 'does nothing' : 'goes on'} when ${says}, whether the primary lives or not, as a caretaker too`, () => {
      for (const around of worlds) {
        const decision = decide(volume, around);
        expect(decision.state === 'outdated', decision.reason).to.equal(isOutdated);
        expect(isOutdated && kinds(decision).length > 0, 'it acts').to.equal(false);
      }
    });
  }

  it('says what is to be done, and keeps the highest epoch when nobody reports it any more', () => {
    const volume = reported();
    const decision = decide(volume);
    expect(decision.reason).to.equal(
      'the replica on node-b has promised epoch 8 and seen version 30 of the config, and etcd holds epoch 5, version 20: it was restored from a backup; ' +
        'nothing is done to the volume until `kubectl holdfast recover --amend` has rebuilt its config from the disks',
    );
    const status = statusOf({ ...volume, object }, decision, world());
    expect([status.phase, status.epoch, status.conditions?.find(({ type }) => type === 'Ready')?.reason]).to.deep.equal([
      'Failed',
      8,
      'StoreOutdated',
    ]);
    const later = shown(8);
    expect(statusOf(later, decide(later, world({ machines: without('a') })), world()).epoch).to.equal(8);
  });

  it('is over when recover has written a later config', () => {
    const known = { ...object, status: { phase: 'Failed' as const, epoch: 8 } };
    const volume = observedVolume({ object: known, config: config({ epoch: 1008, version: 1030, primary: null }) });
    expect(decide(volume).state).to.equal('attaching');
  });
});
