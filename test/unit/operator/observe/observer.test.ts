/** What is put together from what changed is what is put together from everything. */
import { expect } from 'chai';
import fc from 'fast-check';
import type { VolumeUid } from '../../../../core/ids.ts';
import { emptyMemory } from '../../../../operator/observe/memory.ts';
import { Observer, observe } from '../../../../operator/observe/observe.ts';
import type { Observed, ObservedVolume } from '../../../../operator/observe/observed.ts';
import { WALL_MS } from '../../../support/operator/builders.ts';
import { ChangingSources, steps } from '../../../support/operator/changingSources.ts';

/** In whatever order things were heard of. */
const ordered = ({ volumes, damages, machines, storageNodes, memory }: Observed) => ({
  volumes: [...volumes.values()]
    .map((volume) => ({
      ...volume,
      tasks: [...volume.tasks].sort((a, b) => (a.task.key < b.task.key ? -1 : 1)),
      history: [...volume.history].sort(),
    }))
    .sort((a, b) => (a.uid < b.uid ? -1 : 1)),
  damages: [...damages].sort(),
  machines: [...machines.keys()].sort(),
  storageNodes: [...storageNodes.keys()].sort(),
  memory: [memory.machineGoneSinceMs, memory.taskSinceMs, memory.releasingSinceMs].map((map) => [...map.keys()].sort()),
});

const kept = ({ volumes }: Pick<Observed, 'volumes'>, changed: ReadonlySet<VolumeUid>): Map<VolumeUid, unknown> =>
  new Map([...volumes].filter(([uid]) => !changed.has(uid)));

const isOn = (node: string, { config: known, object }: ObservedVolume): boolean =>
  object?.spec.attachTo === node ||
  known?.value.primary?.node === node ||
  (known?.value.shards.some(({ members }) => members.some((member) => member.node === node)) ?? false);
const volumesOn = (node: string, { volumes }: Observed): VolumeUid[] =>
  [...volumes.values()]
    .filter((volume) => isOn(node, volume))
    .map(({ uid }) => uid)
    .sort();

describe('operator: observing what changed', () => {
  it('gives what observing everything gives, and keeps what did not change', () => {
    fc.assert(
      fc.property(fc.array(steps, { minLength: 1, maxLength: 8 }), (rounds) => {
        const sources = new ChangingSources();
        const observer = new Observer(sources.all);
        let before: Observed['volumes'] = new Map();
        for (const [round, changes] of rounds.entries()) {
          for (const change of changes) sources.apply(change);
          const now = { monotonicMs: round, wallMs: WALL_MS };
          const { observed, difference } = observer.observe(emptyMemory, now);
          expect(ordered(observed)).to.deep.equal(ordered(observe(sources.all, emptyMemory, now)));
          expect(kept(observed, difference.volumes)).to.deep.equal(kept({ volumes: before }, difference.volumes));
          for (const node of ['node-a', 'node-b', 'node-x'])
            expect([...observer.volumesOn(node)].sort()).to.deep.equal(volumesOn(node, observed));
          before = new Map(observed.volumes);
          expect(observer.observe(emptyMemory, now).difference.volumes.size).to.be.at.most(sources.overlay.size);
        }
      }),
      { numRuns: 200 },
    );
  });
});
