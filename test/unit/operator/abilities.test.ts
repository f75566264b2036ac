/** The whole control loop in memory: lives of striped volumes, snapshots, clones, and volumes that change while they are used. */
import { expect } from 'chai';
import { collectionPath } from '../../../operator/api.ts';
import { GiB, KEYS, pool } from '../../support/operator/builders.ts';
import { Rig } from '../../support/operator/rig.ts';

const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';
const keysLeft = (rig: Rig): string[] =>
  [...rig.store.entriesOf(KEYS.root).keys()].filter(
    (key) => !key.startsWith(KEYS.machines) && !key.startsWith(KEYS.deleted) && ![KEYS.leader, KEYS.settings, KEYS.schema].includes(key),
  );
const reasons = (rig: Rig): string[] => rig.api.objectsOf(EVENTS).map((event) => (event as unknown as { reason: string }).reason);

const REFLINK = { pools: [pool({ reflink: true })] };
const partsOf = (rig: Rig): number => rig.disks.allSnapshots.length;

describe('operator: lives of shards, snapshots and clones, in memory', function () {
  this.timeout(60_000);

  async function rigWith(letters: string, machines: Parameters<Rig['start']>[1] = {}): Promise<Rig> {
    const rig = new Rig();
    for (const letter of letters) rig.start(letter, machines);
    rig.elect();
    await rig.until('nodes are known', () => rig.api.objectsOf(collectionPath('storagenodes')).length === letters.length);
    return rig;
  }
  const rigWithReflink = (letters: string): Promise<Rig> => rigWith(letters, REFLINK);

  it('makes a volume of many shards, spread over all nodes, and deletes it', async () => {
    const rig = await rigWithReflink('abcde');
    await rig.create('wide', { size: '256Gi', shards: 64, replicas: 3, attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('wide') === 'Healthy');
    const counts = [...'abcde'].map((letter) => rig.disks.of(`node-${letter}`).size);
    expect(counts.reduce((sum, count) => sum + count)).to.equal(192);
    expect(Math.max(...counts) - Math.min(...counts), `replicas a node: ${counts}`).to.be.at.most(1);
    expect(rig.volume('wide')?.status).to.deep.include({ inSync: '3/3', size: '256Gi' });
    rig.api.delete(rig.path('wide'));
    await rig.until('gone', () => rig.volume('wide') === null);
    await rig.until('no key is left', () => keysLeft(rig).length === 0);
    expect(rig.disks.all).to.deep.equal([]);
  });

  it('rebuilds what a dead node held on many others, a few shards at a time', async () => {
    const rig = new Rig();
    rig.replaceAfterMs = 3_000;
    for (const letter of 'abcde') rig.start(letter);
    rig.elect();
    await rig.create('wide', { size: '10Gi', shards: 10, replicas: 2, attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('wide') === 'Healthy');
    const lost = rig.disks.of('node-e').size;
    expect(lost).to.equal(4);
    const before = new Map([...'abcd'].map((letter) => [letter, rig.disks.of(`node-${letter}`).size]));
    rig.kill('e');
    await rig.until('degraded', () => rig.phase('wide') === 'Degraded');
    await rig.until('healthy', () => rig.phase('wide') === 'Healthy');
    const gained = [...'abcd'].map((letter) => rig.disks.of(`node-${letter}`).size - (before.get(letter) ?? 0));
    expect(gained.filter((count) => count > 0).length, `taken by many: ${gained}`).to.be.at.least(3);
  });

  it('grows while it is used, and when it is attached again', async () => {
    const rig = await rigWithReflink('abc');
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    rig.change('pgdata', { size: '2Gi', limits: { iops: 100, bytesPerSecond: 0 } });
    await rig.until('larger', () => rig.volume('pgdata')?.status?.size === '2Gi');
    expect(rig.config('pgdata')).to.deep.include({ sizeBytes: 2 * GiB, limits: { iops: 100, bytesPerSecond: 0 } });
    rig.change('pgdata', { attachTo: '' });
    await rig.until('detached', () => rig.config('pgdata')?.primary === null);
    rig.change('pgdata', { size: '3Gi', limits: { iops: 0, bytesPerSecond: 0 } });
    const resizing = () => rig.volume('pgdata')?.status?.conditions?.find(({ type }) => type === 'Resizing');
    await rig.until('it says so', () => resizing()?.message === 'it grows from 2Gi to 3Gi when it is attached');
    expect(rig.config('pgdata')).to.not.have.property('limits');
    rig.change('pgdata', { attachTo: 'node-b' });
    await rig.until('larger', () => rig.volume('pgdata')?.status?.size === '3Gi');
    expect(resizing()).to.equal(undefined);
    expect(reasons(rig).filter((reason) => reason === 'Resized').length).to.equal(2);
    rig.change('pgdata', { size: '300Gi' });
    await rig.until('refused', () => resizing()?.status === 'False');
    expect(resizing()?.message).to.equal('it stays at 3Gi, 300Gi asked: node-a/default: 95Gi usable after reserve, 300Gi needed');
  });

  for (const attachTo of ['node-a', '']) {
    const says = attachTo === '' ? 'that nobody uses' : 'in use';
    it(`takes a snapshot of a volume ${says}, starts another from it, and both go in any order`, async () => {
      const rig = await rigWithReflink('abcd');
      await rig.create('pgdata', { attachTo, shards: 2 });
      await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
      await rig.createSnapshot('nightly', 'pgdata');
      await rig.until('ready', () => rig.snapshot('nightly')?.status?.ready === true);
      expect(rig.snapshot('nightly')?.status).to.deep.include({ phase: 'Ready', size: '1Gi' });
      expect(partsOf(rig)).to.equal(6);
      await rig.until('the task is put away', () => rig.store.entriesOf(KEYS.tasks).size === 0);
      await rig.create('copy', { size: '2Gi', shards: 2, source: { snapshot: 'nightly' } });
      await rig.until('healthy', () => rig.phase('copy') === 'Healthy');
      expect(rig.config('copy')).to.deep.include({ minInSync: 2, sizeBytes: 2 * GiB });
      rig.api.delete(rig.path('pgdata'));
      await rig.until('the volume is gone', () => rig.volume('pgdata') === null);
      expect(rig.snapshot('nightly')?.status?.ready).to.equal(true);
      rig.api.delete(rig.snapshotPath('nightly'));
      await rig.until('the snapshot is gone', () => rig.snapshot('nightly') === null);
      await rig.until('no task is left', () => rig.store.entriesOf(KEYS.tasks).size === 0);
      expect([partsOf(rig), rig.store.entriesOf(KEYS.snapshots).size]).to.deep.equal([0, 0]);
      expect(reasons(rig)).to.include('SnapshotReady');
    });
  }

  it('starts a volume from another: its own snapshot is made first and goes afterwards', async () => {
    const rig = await rigWithReflink('abcd');
    await rig.create('pgdata', { replicas: 2, attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    await rig.create('copy', { replicas: 3, source: { volume: 'pgdata' } });
    await rig.until('healthy', () => rig.phase('copy') === 'Healthy');
    await rig.until('its snapshot is gone', () => rig.store.entriesOf(KEYS.snapshots).size === 0);
    await rig.until('no task is left', () => rig.store.entriesOf(KEYS.tasks).size === 0);
    expect(partsOf(rig)).to.equal(0);
    expect(rig.volume('copy')?.status?.inSync).to.equal('3/3');
  });

  it('says why a snapshot cannot be taken, tries again what failed, and takes it in the end', async () => {
    const rig = await rigWith('abc');
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    await rig.createSnapshot('nightly', 'pgdata');
    const error = () => rig.snapshot('nightly')?.status?.error;
    await rig.until('it says so', () => error()?.startsWith('snapshots:') === true);
    expect(error()).to.equal('snapshots: unsupported on pool node-a/default (its file system cannot share blocks)');
    for (const letter of 'abc') rig.start(letter, REFLINK).failSnapshotsWith = 'writes could not be held up';
    await rig.until('it fails', () => rig.snapshot('nightly')?.status?.phase === 'Failed');
    expect(error()).to.equal('writes could not be held up; tried again after a while');
    for (const letter of 'abc') rig.agent(letter).failSnapshotsWith = null;
    await rig.until('ready', () => rig.snapshot('nightly')?.status?.ready === true);
    expect(reasons(rig)).to.include.members(['SnapshotWaits', 'SnapshotFailed', 'SnapshotReady']);
  });

  it('moves a snapshot to the next primary, and forgets it when its volume goes first', async () => {
    const rig = await rigWithReflink('abc');
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    rig.agent('a').failSnapshotsWith = 'not now';
    await rig.createSnapshot('nightly', 'pgdata');
    await rig.until('it fails', () => rig.snapshot('nightly')?.status?.phase === 'Failed');
    rig.kill('a');
    rig.change('pgdata', { attachTo: 'node-b' });
    await rig.until('ready', () => rig.snapshot('nightly')?.status?.ready === true);
    expect(rig.snapshot('nightly')?.status?.nodes).to.deep.equal(['node-b', 'node-c']);
    await rig.createSnapshot('late', 'gone');
    await rig.until('it says so', () => rig.snapshot('late')?.status?.error === 'there is no Volume gone');
    rig.api.delete(rig.snapshotPath('late'));
    await rig.until('gone', () => rig.snapshot('late') === null);
  });

  it('deletes what is left of a snapshot that somebody removed by force, and only then', async () => {
    const rig = await rigWithReflink('abc');
    await rig.create('pgdata', { attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    await rig.createSnapshot('nightly', 'pgdata');
    await rig.until('ready', () => rig.snapshot('nightly')?.status?.ready === true);
    rig.api.deleteByForce(rig.snapshotPath('nightly'));
    await rig.until('it is gone', () => rig.store.entriesOf(KEYS.snapshots).size === 0 && partsOf(rig) === 0);
    await rig.until('no task is left', () => rig.store.entriesOf(KEYS.tasks).size === 0);
  });

  it('changes how many replicas there are, both ways, while it is used', async () => {
    const rig = await rigWithReflink('abcde');
    await rig.create('pgdata', { replicas: 1, shards: 3, attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    for (const replicas of [3, 2, 5, 1]) {
      rig.change('pgdata', { replicas });
      await rig.until(
        `${replicas} in sync`,
        () => rig.phase('pgdata') === 'Healthy' && rig.volume('pgdata')?.status?.inSync === `${replicas}/${replicas}`,
      );
      await rig.until('minInSync follows', () => rig.config('pgdata')?.minInSync === Math.floor(replicas / 2) + 1);
      await rig.until('none is left over', () => rig.disks.all.length === 3 * replicas);
    }
    expect(rig.config('pgdata')?.epoch, 'nobody was fenced for it').to.equal(1);
  });

  it('moves replicas out of a quarantined pool, and never uses one', async () => {
    const rig = await rigWithReflink('abcde');
    await rig.create('pgdata', { shards: 4, replicas: 2, attachTo: 'node-a' });
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    rig.start('b', { pools: [pool({ reflink: true, state: 'quarantined', reason: 'fdatasync failed' })] });
    await rig.until('it holds nothing any more', () => rig.disks.of('node-b').size === 0);
    await rig.until('healthy', () => rig.phase('pgdata') === 'Healthy');
    expect(rig.config('pgdata')?.shards.flatMap(({ members }) => members.map(({ node }) => node))).to.not.include('node-b');
  });
});
