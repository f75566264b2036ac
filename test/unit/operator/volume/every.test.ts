/**
 * Every situation of a volume with three replicas, and of one with two shards of two: machines, in-sync sets, primary, what is asked for. What must hold in
 * each of them.
 */
import { expect } from 'chai';
import { nodesOf, type PrimaryMode, type PrimaryRole, type Shard, type VolumeConfig } from '../../../../core/config.ts';
import type { MachineState } from '../../../../core/machine.ts';
import { MOVE_ANNOTATION } from '../../../../operator/api.ts';
import type { ObservedVolume } from '../../../../operator/observe/observed.ts';
import type { PlacementNode } from '../../../../operator/placement/checks.ts';
import { decideVolume } from '../../../../operator/volume/decide.ts';
import type { Decision, Transaction, World } from '../../../../operator/volume/decision.ts';
import {
  config,
  instance,
  KEYS,
  machine,
  member,
  nodeOf,
  observedVolume,
  replica,
  storageNode,
  UID,
  volumeObject,
  world,
} from '../../../support/operator/builders.ts';

type MachineFate = 'alive' | 'gone' | 'restarted';
const FATES: readonly MachineFate[] = ['alive', 'gone', 'restarted'];
const MODES: readonly PrimaryMode[] = ['serve', 'background', 'release'];
const LETTERS = ['a', 'b', 'c'] as const;
const IN_SYNC = ['a', 'b', 'c', 'ab', 'ac', 'bc', 'abc'];

const PRIMARIES: readonly (PrimaryRole | null)[] = [
  null,
  ...['a', 'b', 'e'].flatMap((letter) => MODES.map((mode) => ({ node: nodeOf(letter), instance: instance(letter), mode }))),
];

function machinesOf(fates: readonly MachineFate[], failed: string): MachineState[] {
  const states = LETTERS.flatMap((letter, index) => {
    const fate = fates[index];
    if (fate === 'gone') return [];
    const failedReplicas = failed.startsWith(letter) ? [{ volume: UID, replica: replica(failed), reason: 'broken' }] : [];
    return [machine(letter, { failedReplicas, ...(fate === 'restarted' ? { instance: instance(`${letter}2`) } : {}) })];
  });
  return [...states, machine('d'), machine('e')];
}

const transactionOf = (decision: Decision): Transaction | null => {
  const commits = decision.actions.flatMap((action) => (action.kind === 'commit' ? [action.transaction] : []));
  expect(commits.length, 'transactions').to.be.at.most(1);
  return commits[0] ?? null;
};

type Change = { before: VolumeConfig; after: VolumeConfig; world: World; volume: ObservedVolume };

const isAlive = (primary: PrimaryRole, around: World): boolean => around.machines.get(primary.node)?.instance === primary.instance;
const isSame = (one: PrimaryRole, other: PrimaryRole | null): boolean => one.node === other?.node && one.instance === other.instance;

type ShardChange = { before: Shard; after: Shard };
const ofEachShard =
  (holds: (change: ShardChange) => boolean) =>
  ({ before, after }: Change): boolean =>
    before.shards.every((shard, index) => holds({ before: shard, after: after.shards[index] ?? { members: [], inSync: [] } }));

/** Named rules: the name is what a failure shows. */
const RULES: Record<string, (change: Change) => boolean> = {
  'the version rises by one': ({ before, after }) => after.version === before.version + 1,
  'the epoch never falls, and rises by one at most': ({ before, after }) =>
    after.epoch === before.epoch || after.epoch === before.epoch + 1,
  'the leader never changes the in-sync set': ({ before, after }) =>
    JSON.stringify(before.shards.map(({ inSync }) => inSync)) === JSON.stringify(after.shards.map(({ inSync }) => inSync)),
  'a primary that lives stays, whatever is asked of it': ({ before, after, world: around }) =>
    before.primary === null || !isAlive(before.primary, around) || isSame(before.primary, after.primary),
  'one that lives is never fenced': ({ before, after, world: around }) =>
    before.primary === null || !isAlive(before.primary, around) || after.epoch === before.epoch,
  'every change of the primary is a new epoch': ({ before, after }) =>
    after.epoch === before.epoch + 1 || (after.primary === null ? before.primary === null : isSame(after.primary, before.primary)),
  'a new epoch is only for a change of the primary': ({ before, after }) =>
    after.epoch === before.epoch || after.primary === null || !isSame(after.primary, before.primary),
  'a primary is a process that lives': ({ after, before, world: around }) =>
    after.primary === null || isSame(after.primary, before.primary) || isAlive(after.primary, around),
  'it serves only where it is asked for': ({ after, before, volume }) =>
    after.primary?.mode !== 'serve' || before.primary?.mode === 'serve' || volume.object?.spec.attachTo === after.primary.node,
  'a volume that goes is not served any more': ({ after, volume }) =>
    !volume.object?.metadata.deletionTimestamp || after.primary === null || after.primary.mode === 'release',
  'only one that has left is removed': ofEachShard(({ before, after }) =>
    before.members.every(
      (one) =>
        after.members.some((other) => other.replica === one.replica) || (one.leaving === true && !before.inSync.includes(one.replica)),
    ),
  ),
  'nobody comes back from leaving': ofEachShard(({ before, after }) =>
    after.members.every((one) => one.leaving === true || !before.members.some((other) => other.replica === one.replica && other.leaving)),
  ),
  'no two that stay are on one node': ofEachShard(({ after }) => {
    const nodes = after.members.filter((one) => !one.leaving).map(({ node }) => node);
    return new Set(nodes).size === nodes.length;
  }),
  'somebody in sync stays, or a replacement is made': ofEachShard(
    ({ before, after }) =>
      !before.members.some((one) => !one.leaving && before.inSync.includes(one.replica)) ||
      after.members.some((one) => after.inSync.includes(one.replica) && (!one.leaving || after.members.length !== before.members.length)),
  ),
  'one shard at a time changes its members': ({ before, after }) =>
    before.shards.filter((shard, index) => JSON.stringify(shard) !== JSON.stringify(after.shards[index])).length <= 1,
  'shards neither come nor go': ({ before, after }) => before.shards.length === after.shards.length,
};

function checkPointers({ before, after }: Change, transaction: Transaction): void {
  const pointers = transaction.changes.filter((change) => ('put' in change ? change.put : change.delete).startsWith(KEYS.pointers));
  const put = pointers.flatMap((change) => ('put' in change ? [`${change.put}=${change.value}`] : []));
  const deleted = pointers.flatMap((change) => ('delete' in change ? [change.delete] : []));
  expect(put).to.have.members(nodesOf(after).map((node) => `${KEYS.pointer(node, UID)}=${after.version}`));
  expect(deleted).to.have.members(
    nodesOf(before)
      .filter((node) => !nodesOf(after).includes(node))
      .map((node) => KEYS.pointer(node, UID)),
  );
}

function check(volume: ObservedVolume, around: World): number {
  const transaction = transactionOf(decideVolume(volume, around));
  const before = volume.config?.value;
  if (transaction === null || before === undefined) return 0;
  const keys = transaction.changes.map((change) => ('put' in change ? change.put : change.delete));
  expect(new Set(keys).size, 'each key once').to.equal(keys.length);
  expect(transaction.conditions).to.deep.include({ key: KEYS.volume(UID), is: 'revision', revision: '50' });
  const written = transaction.changes.find((change) => 'put' in change && change.put === KEYS.volume(UID));
  if (!written || !('value' in written)) {
    expect(keys, 'only the last step of a deletion leaves the config unwritten').to.include(KEYS.volume(UID));
    expect([before.primary, volume.object?.metadata.deletionTimestamp !== undefined]).to.deep.equal([null, true]);
    return 1;
  }
  const change = { before, after: JSON.parse(written.value) as VolumeConfig, world: around, volume };
  for (const [rule, holds] of Object.entries(RULES)) {
    if (!holds(change))
      expect.fail(`${rule}: ${JSON.stringify({ spec: volume.object?.spec, before: change.before, after: change.after })}`);
  }
  checkPointers(change, transaction);
  return 1;
}

function* fatesOfThree(): Generator<MachineFate[]> {
  for (const a of FATES) for (const b of FATES) for (const c of FATES) yield [a, b, c];
}

function* volumes(): Generator<ObservedVolume> {
  for (const inSync of IN_SYNC) {
    for (const primary of PRIMARIES) {
      for (const leaving of ['', 'b']) {
        const members = LETTERS.map((letter) => member(letter, letter === leaving ? { leaving: true } : {}));
        const value = config({ primary, shards: [{ members, inSync: [...inSync].map(replica) }] });
        for (const attachTo of ['', 'node-a', 'node-b', 'node-e']) {
          for (const replicas of [2, 3]) yield observedVolume({ config: value, object: volumeObject({ attachTo, replicas }) });
          yield observedVolume({ config: value, object: volumeObject({ attachTo }, { deletionTimestamp: '2026-01-01T00:00:00Z' }) });
        }
      }
    }
  }
}

/** Shard 0 on a and b, shard 1 on b and c: a node may matter to one shard, or to both. */
function* stripes(): Generator<Shard[]> {
  const shardOf = (letters: string, index: number, inSync: string, leaving: string): Shard => ({
    members: [...letters].map((letter) =>
      member(`${letter}${index}`, { node: nodeOf(letter), ...(letter === leaving ? { leaving: true } : {}) }),
    ),
    inSync: [...inSync].map((letter) => replica(`${letter}${index}`)),
  });
  for (const first of ['a', 'b', 'ab']) {
    for (const second of ['b', 'c', 'bc']) {
      for (const leaving of ['', 'b']) yield [shardOf('ab', 0, first, leaving), shardOf('bc', 1, second, leaving)];
    }
  }
}

function* striped(): Generator<ObservedVolume> {
  const deletionTimestamp = '2026-01-01T00:00:00Z';
  for (const shards of stripes()) {
    for (const primary of PRIMARIES) {
      const value = config({ primary, minInSync: 1, shards });
      for (const attachTo of ['', 'node-b', 'node-e']) {
        const spec = { attachTo, shards: 2, minInSync: 1 };
        for (const replicas of [1, 2]) yield observedVolume({ config: value, object: volumeObject({ ...spec, replicas }) });
        yield observedVolume({ config: value, object: volumeObject(spec, { deletionTimestamp }) });
      }
    }
  }
}

/** All of a to e: also those that are silent. */
const nodesWhereOneLeaves = (machines: readonly MachineState[], letter: string, how: 'evict' | 'removed' | 'asked'): PlacementNode[] =>
  [...'abcde'].map((one) => {
    const state = machines.find(({ node }) => node === nodeOf(one)) ?? null;
    const isIt = one === letter;
    const { spec } = storageNode(one, { evict: isIt && how === 'evict' });
    return { node: nodeOf(one), machine: state, spec, labels: {}, isRemoved: isIt && how === 'removed' };
  });

const wished = (volume: ObservedVolume, move: string): ObservedVolume =>
  volume.object === null
    ? volume
    : { ...volume, object: { ...volume.object, metadata: { ...volume.object.metadata, annotations: { [MOVE_ANNOTATION]: move } } } };

describe('operator: every situation of a volume with three replicas', function () {
  this.timeout(120_000);

  it('is decided by the rules where it has two shards', () => {
    let situations = 0;
    let transactions = 0;
    for (const fates of fatesOfThree()) {
      for (const failed of ['', 'b0', 'b1']) {
        const machines = machinesOf(fates, failed);
        for (const volume of striped()) {
          transactions += check(volume, world({ machines }));
          situations++;
        }
      }
    }
    expect(situations).to.equal(27 * 3 * 3 * 3 * 2 * 10 * 3 * 3);
    expect(transactions).to.be.greaterThan(situations / 2);
  });

  it('is decided by the rules', () => {
    let situations = 0;
    let transactions = 0;
    for (const fates of fatesOfThree()) {
      for (const failed of ['', 'b']) {
        const machines = machinesOf(fates, failed);
        for (const volume of volumes()) {
          transactions += check(volume, world({ machines }));
          situations++;
        }
      }
    }
    expect(situations).to.equal(27 * 2 * 7 * 10 * 2 * 4 * 3);
    expect(transactions).to.be.greaterThan(situations / 2);
  });

  it('is decided by the rules where a node is to be emptied or removed, silent or not', () => {
    let situations = 0;
    let transactions = 0;
    // At most one of them is not as it should be: the others say nothing new here, and take long.
    const few = [...fatesOfThree()].filter((fates) => fates.filter((fate) => fate !== 'alive').length <= 1);
    for (const fates of few) {
      const machines = machinesOf(fates, '');
      for (const leaves of ['evict', 'removed', 'asked'] as const) {
        const around = { ...world({ machines }), nodes: nodesWhereOneLeaves(machines, 'b', leaves) };
        for (const volume of volumes()) {
          transactions += check(leaves === 'asked' ? wished(volume, 'node-b=node-d') : volume, around);
          situations++;
        }
      }
    }
    expect(situations).to.equal(7 * 3 * 7 * 10 * 2 * 4 * 3);
    expect(transactions).to.be.greaterThan(situations / 2);
  });
});
