/** A store that was lost must never be taken for a cluster that is new: nothing is placed over what the disks hold. */
import { expect } from 'chai';
import { snapshotUid } from '../../../../core/ids.ts';
import { snapshotStatusOf } from '../../../../operator/snapshot/status.ts';
import { statusOf } from '../../../../operator/volume/status.ts';
import { observedVolume, snapshotObject, volumeObject, world } from '../../../support/operator/builders.ts';
import { decide, kinds } from '../../../support/operator/decisions.ts';

describe('operator: what etcd has lost', () => {
  const object = { ...volumeObject(), status: { phase: 'Healthy' as const, epoch: 3 } };
  const volume = observedVolume({ config: null, object });

  it('is not placed anew when it was served before, however often it is looked at', () => {
    const decision = decide(volume);
    expect([decision.state, kinds(decision)]).to.deep.equal(['unrecorded', []]);
    const status = statusOf({ ...volume, object }, decision, world());
    expect([status.phase, status.epoch]).to.deep.equal(['Failed', 3]);
    expect(status.conditions?.find(({ type }) => type === 'Ready')?.reason).to.equal('ConfigLost');
    expect(decide(observedVolume({ config: null, object: { ...object, status } })).state).to.equal('unrecorded');
  });

  it('is placed when it never was', () => {
    const fresh = { ...volumeObject(), status: { phase: 'Creating' as const } };
    expect(decide(observedVolume({ config: null, object: fresh })).state).to.equal('placing');
  });

  it('keeps of a snapshot that was ready what says so', () => {
    const status = { phase: 'Ready' as const, ready: true, size: '1Gi', createdAt: '2026-01-01T00:00:00Z', nodes: ['node-a'] };
    const snapshot = { ...snapshotObject('nightly', 'pgdata', snapshotUid('snap')), status };
    const subject = {
      uid: 'snap',
      object: snapshot,
      clone: null,
      volumeName: 'pgdata',
      source: null,
      record: null,
      tasks: [],
      isInUse: false,
    };
    const after = snapshotStatusOf(snapshot, subject as never, { state: 'blocked', reason: 'lost', actions: [] });
    expect(after).to.deep.include({ phase: 'Pending', ready: false, size: '1Gi', createdAt: '2026-01-01T00:00:00Z', nodes: ['node-a'] });
  });
});
