/** What a pass leaves out would be left as it is. */
import { expect } from 'chai';
import fc from 'fast-check';
import type { VolumeUid } from '../../../../core/ids.ts';
import { emptyMemory, type Memory } from '../../../../operator/observe/memory.ts';
import { Observer } from '../../../../operator/observe/observe.ts';
import { Attention } from '../../../../operator/reconcile/attention.ts';
import { type ControllerPorts, worldOf } from '../../../../operator/reconcile/controller.ts';
import { Standing, standingOf } from '../../../../operator/reconcile/standing.ts';
import type { Unsettled } from '../../../../operator/reconcile/statuses.ts';
import { type SnapshotIndex, snapshotIndex } from '../../../../operator/snapshot/subjects.ts';
import { decideAll } from '../../../../operator/volume/decide.ts';
import type { Decision } from '../../../../operator/volume/decision.ts';
import { GiB, KEYS, machine, pool, storageNode, volumeObject, WALL_MS } from '../../../support/operator/builders.ts';
import { ChangingSources, type Step, steps } from '../../../support/operator/changingSources.ts';
import { uidOf } from '../../../support/operator/fullWorld.ts';
import { SeededRandom } from '../../../support/seededRandom.ts';

const ports = {
  sources: { keys: KEYS } as unknown as ControllerPorts['sources'],
  limits: { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 },
  random: new SeededRandom(1),
  replaceAfterMs: 20_000,
};

/** The very volumes, as they are now. */
const sourcesOf = ({ byUid }: SnapshotIndex): unknown =>
  new Map([...byUid].map(([uid, { source, volumeName }]) => [uid, { source, volumeName }]));

class Passes {
  readonly sources = new ChangingSources();
  readonly observer = new Observer(this.sources.all);
  readonly standing = new Standing();
  readonly attention = new Attention();
  readonly last = new Map<VolumeUid, Decision>();
  memory: Memory = emptyMemory;
  unsettled: ReadonlyMap<VolumeUid, Unsettled> = new Map();
  nowMs = 1_000_000;

  wait(forMs: number): void {
    this.nowMs += forMs;
  }

  machine(letter: string, change: Parameters<typeof pool>[0]): void {
    const state = machine(letter, { pools: [pool({ allocatedBytes: 2 * GiB, ...change })] });
    this.sources.put('machines', KEYS.machine(`node-${letter}`), state, false);
  }

  /** Which volumes were decided; of all others nothing may be to do. */
  pass(): VolumeUid[] {
    const now = { monotonicMs: this.nowMs, wallMs: WALL_MS };
    const { observed, difference } = this.observer.observe(this.memory, now);
    this.memory = observed.memory;
    const hasFreed = this.standing.update(observed, difference);
    const world = worldOf(observed, now, ports, 7, this.standing);
    const due = this.attention.due(observed, difference, (node) => this.observer.volumesOn(node), hasFreed, world);
    const decisions = decideAll(due, world);
    for (const [uid, decision] of decisions) this.last.set(uid, decision);
    this.attention.note(decisions, this.unsettled, observed, world);
    const whole = worldOf(observed, now, ports, 7, standingOf(observed));
    expect(sourcesOf(world.snapshots)).to.deep.equal(sourcesOf(snapshotIndex(observed)));
    expect(world.snapshots.volumesByName).to.deep.equal(whole.snapshots.volumesByName);
    for (const [uid, { state, actions }] of decideAll(observed.volumes.values(), whole)) {
      // One without a place is asked again by and by; and it was in vain a moment ago.
      if (decisions.has(uid) || this.last.get(uid)?.state === 'unschedulable') continue;
      expect({ uid, state, actions }).to.deep.equal({ uid, state: this.last.get(uid)?.state, actions: [] });
    }
    return [...decisions.keys()];
  }
}

const at = (what: Step['what'], index: number, letter: string, isGone = false): Step => ({ what, index, letter, isGone });

describe('operator: which volumes a pass looks at', () => {
  it('leaves out only those that would be left as they are, whatever changes and however long it takes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(steps, fc.integer({ min: 100, max: 30_000 })), { minLength: 1, maxLength: 10 }), (rounds) => {
        const passes = new Passes();
        for (const letter of 'abc') passes.sources.apply(at('machine', 0, letter));
        for (const index of [0, 1, 2, 3]) passes.sources.rest(index);
        passes.pass();
        for (const [changes, forMs] of rounds) {
          // Few at a time: most of what there is stays at rest.
          for (const change of changes.slice(0, 3)) passes.sources.apply(change);
          passes.pass();
          passes.nowMs += forMs;
          passes.pass();
        }
      }),
      { numRuns: 100 },
    );
  });

  it('is none when nothing happens, and each once in a while all the same', () => {
    const passes = new Passes();
    for (const letter of 'abc') passes.sources.apply(at('machine', 0, letter));
    for (const index of [0, 1]) passes.sources.rest(index);
    expect(passes.pass()).to.have.members([uidOf(0), uidOf(1)]);
    passes.nowMs += 100;
    expect(passes.pass()).to.deep.equal([]);
    const seen = new Set<VolumeUid>();
    for (let second = 0; second < 310; second++) {
      passes.nowMs += 1_000;
      for (const uid of passes.pass()) seen.add(uid);
    }
    expect([...seen]).to.have.members([uidOf(0), uidOf(1)]);
  });

  it('is one of which people do not see all: soon, but in the very next pass while a write of before is under way', () => {
    const passes = new Passes();
    for (const letter of 'abc') passes.sources.apply(at('machine', 0, letter));
    for (const index of [0, 1]) passes.sources.rest(index);
    passes.unsettled = new Map([
      [uidOf(0), 'heldUp'],
      [uidOf(1), 'written'],
    ]);
    passes.pass();
    passes.nowMs += 100;
    expect(passes.pass()).to.deep.equal([uidOf(0)]);
    passes.unsettled = new Map();
    passes.nowMs += 1_000;
    expect(passes.pass()).to.deep.equal([uidOf(0)]);
    passes.nowMs += 1_000;
    expect(passes.pass()).to.deep.equal([uidOf(1)]);
  });

  it('is those on a node that went, at once', () => {
    const passes = new Passes();
    for (const letter of 'abc') passes.sources.apply(at('machine', 0, letter));
    passes.sources.rest(0);
    passes.pass();
    passes.nowMs += 100;
    passes.sources.apply(at('machine', 0, 'b', true));
    expect(passes.pass()).to.deep.equal([uidOf(0)]);
  });

  it('is one at rest from which a new one starts: a snapshot of it is made first', () => {
    const passes = new Passes();
    for (const letter of 'abc') passes.sources.apply(at('machine', 0, letter));
    passes.sources.rest(1);
    passes.pass();
    passes.nowMs += 100;
    expect(passes.pass()).to.deep.equal([]);
    passes.nowMs += 100;
    passes.sources.kube.volumes.set('v0', volumeObject({ size: '10Gi', source: { volume: 'v1' } }, { name: 'v0', uid: uidOf(0) }));
    expect(passes.pass()).to.have.members([uidOf(0), uidOf(1)]);
  });

  describe('one without a place is asked again', () => {
    /** v0 fits nowhere, v1 is placed on a, b and c. */
    const waiting = (): Passes => {
      const passes = new Passes();
      for (const letter of 'abc') passes.machine(letter, {});
      passes.sources.rest(1);
      passes.sources.kube.volumes.set('v0', volumeObject({ size: '1Ti' }, { name: 'v0', uid: uidOf(0) }));
      passes.pass();
      passes.nowMs += 100;
      expect(passes.pass()).to.deep.equal([]);
      expect(passes.last.get(uidOf(0))?.state).to.equal('unschedulable');
      return passes;
    };
    const rows: [when: string, change: (passes: Passes) => void][] = [
      ['a machine comes', (passes) => passes.machine('d', {})],
      ['a pool grows', (passes) => passes.machine('a', { capacityBytes: 200 * GiB })],
      ['an agent deleted what was there', (passes) => passes.machine('a', { allocatedBytes: GiB })],
      ['a volume is deleted', (passes) => passes.sources.put('volumes', KEYS.volume(uidOf(1)), {}, true)],
      ['a node may be used', (passes) => passes.sources.kube.storagenodes.set('node-a', storageNode('a'))],
      ['it is some while later', (passes) => passes.wait(10_000)],
    ];
    for (const [when, change] of rows) {
      it(`when ${when}`, () => {
        const passes = waiting();
        change(passes);
        expect(passes.pass()).to.include(uidOf(0));
      });
    }

    it('but not when a client wrote something', () => {
      const passes = waiting();
      passes.machine('a', { usedBytes: GiB, allocatedBytes: 2 * GiB });
      expect(passes.pass()).to.deep.equal([]);
    });
  });
});
