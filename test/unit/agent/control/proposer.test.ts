/** A primary's compare-and-set against a store that loses answers. */
import { expect } from 'chai';
import fc from 'fast-check';
import { type KnownConfig, readKnown } from '../../../../agent/control/knownConfig.ts';
import { Proposer } from '../../../../agent/control/proposer.ts';
import { type VolumeConfig, withInSync } from '../../../../core/config.ts';
import { readInForce } from '../../../../core/inForce.ts';
import { keysOf } from '../../../../core/keys.ts';
import { silentLog } from '../../../../core/log.ts';
import { configWith, REPLICAS, UID } from '../../../support/configs.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { atRest, type Fault, ScriptedStore } from '../../../support/scriptedStore.ts';

const keys = keysOf('test');
const KNOWN = configWith();
const NEXT = withInSync(KNOWN, 0, REPLICAS.slice(0, 2));
/** What the leader makes of the volume meanwhile. */
const OTHERS = configWith({ version: KNOWN.version + 1, epoch: 2, primary: null });

class Harness {
  readonly store = new ScriptedStore();
  readonly clock = new ManualClock();
  readonly told: VolumeConfig[] = [];
  readonly proposer: Proposer;
  readonly schema = { version: 2 };
  isGone = false;
  mustTellAgain = 0;
  latest: KnownConfig;

  constructor(known = KNOWN, schemaVersion = 2) {
    this.schema.version = schemaVersion;
    this.store.put(keys.volume(UID), known);
    this.latest = this.read();
    this.proposer = new Proposer({
      store: this.store,
      keys,
      clock: this.clock,
      log: silentLog,
      node: 'node-a',
      schema: this.schema,
      latest: () => this.latest,
      read: () => readKnown({ store: this.store, keys }, UID, 'node-a', this.latest),
      seen: (found) => {
        if (found === null) this.isGone = true;
        else if (!('problem' in found)) this.learn(found);
      },
      tellAgain: () => {
        this.mustTellAgain++;
      },
      recheck: () => undefined,
    });
  }

  read(): KnownConfig {
    const entry = this.store.entry(keys.volume(UID));
    if (entry === null) throw new Error('no config');
    const known = readInForce(keys, UID, entry, (key) => this.store.entry(key));
    if ('problem' in known) throw new Error(known.problem);
    return known;
  }

  learn(known: KnownConfig): void {
    if (known.config.version > this.latest.config.version) this.told.push(known.config);
    if (known.config.version >= this.latest.config.version) this.latest = known;
  }

  /** Ticks until all is said, for at most so long. */
  async run(forMs = 60_000): Promise<void> {
    for (let spentMs = 0; spentMs < forMs && this.told.length === 0 && !this.isGone; spentMs += 100) {
      await atRest();
      this.clock.advance(100);
      this.proposer.tick();
    }
    await atRest();
  }

  get inSync(): readonly string[] {
    return this.read().config.shards[0]?.inSync ?? [];
  }
}

type Case = {
  name: string;
  faults?: Fault[];
  failingReads?: number;
  /** Done after the first answer was lost, before anything is asked again. */
  meanwhile?: (harness: Harness) => void;
  told: VolumeConfig;
  asked: number;
};

const CASES: Case[] = [
  { name: 'an answered one is told', told: NEXT, asked: 1 },
  { name: 'a conflict tells what stands there instead', meanwhile: () => undefined, told: OTHERS, asked: 1 },
  { name: 'one that landed without an answer is found by reading', faults: ['lostAfter'], told: NEXT, asked: 1 },
  { name: 'one that never landed is asked for again', faults: ['lostBefore'], told: NEXT, asked: 2 },
  { name: 'answers lost again and again, it goes on asking', faults: ['lostBefore', 'lostBefore', 'lostAfter'], told: NEXT, asked: 3 },
  { name: 'reads without an answer prove nothing either', faults: ['lostBefore'], failingReads: 3, told: NEXT, asked: 2 },
  {
    name: 'one that lands late, before anything is read, is found by reading',
    faults: ['late', 'held'],
    meanwhile: ({ store }) => store.land(),
    told: NEXT,
    asked: 1,
  },
  {
    name: 'the leader was faster while the answer was lost',
    faults: ['lostBefore'],
    meanwhile: ({ store }) => store.put(keys.volume(UID), OTHERS),
    told: OTHERS,
    asked: 1,
  },
];

function happen(event: string, harness: Harness): void {
  if (event === 'land') harness.store.land();
  if (event === 'failRead') harness.store.failingReads++;
  if (event === 'leader' && harness.read().config.version === KNOWN.version) harness.store.put(keys.volume(UID), OTHERS);
}

describe('a primary proposes a config', () => {
  it('changes nothing of a config that a recovered store has under the very revision of the one that was known', async () => {
    const harness = new Harness();
    harness.store.put(keys.volume(UID), OTHERS);
    harness.latest = { ...harness.latest, entry: { ...harness.latest.entry, revision: harness.read().entry.revision } };
    harness.proposer.propose(KNOWN, NEXT);
    await harness.run();
    expect([harness.told, harness.read().config]).to.deep.equal([[OTHERS], OTHERS]);
  });

  for (const [schema, { name, faults = [], failingReads = 0, meanwhile, told, asked }] of [1, 2].flatMap((schema) =>
    CASES.map((one) => [schema, one] as const),
  )) {
    it(`${name}, under schema ${schema}`, async () => {
      const harness = new Harness(KNOWN, schema);
      harness.store.commitFaults.push(...faults);
      if (told === OTHERS && faults.length === 0) harness.store.put(keys.volume(UID), OTHERS);
      harness.proposer.propose(KNOWN, NEXT);
      await atRest();
      harness.store.failingReads = failingReads;
      meanwhile?.(harness);
      await harness.run();
      expect(harness.told).to.deep.equal([told]);
      expect(harness.read().config).to.deep.equal(told);
      expect(harness.store.asked.length).to.equal(asked);
    });
  }

  it('lands late between the read and the second asking: the second changes nothing, the first is told', async () => {
    const harness = new Harness();
    harness.store.commitFaults.push('late', 'held');
    harness.proposer.propose(KNOWN, NEXT);
    // The first is lost, the old version is read, the second is on its way.
    for (let round = 0; round < 10 && harness.store.asked.length < 2; round++) {
      await atRest();
      harness.clock.advance(200);
      harness.proposer.tick();
    }
    expect(harness.store.asked.length).to.equal(2);
    harness.store.land();
    harness.store.release();
    await harness.run();
    expect(harness.told).to.deep.equal([NEXT]);
    expect(harness.store.landed.length).to.equal(1);
  });

  it('writes under its own node, beside what the leader wrote, and rings for the others', async () => {
    const harness = new Harness();
    harness.proposer.propose(KNOWN, NEXT);
    await harness.run();
    const [{ changes = [] } = {}] = harness.store.landed;
    const written = changes.map((change) => ('put' in change ? change.put : `-${change.delete}`));
    expect(written).to.deep.equal([keys.primary('node-a', UID), keys.bell('node-b', UID), keys.bell('node-c', UID)]);
    expect(harness.store.json(keys.primary('node-a', UID))).to.deep.equal({ base: KNOWN.version, config: NEXT });
    expect(harness.store.json(keys.volume(UID))).to.deep.equal(KNOWN);
    expect(harness.read().config).to.deep.equal(NEXT);
  });

  it('that is out while the schema is raised lands once: both ways compare both keys', async () => {
    for (const [first, second] of [
      [1, 2],
      [2, 1],
    ] as const) {
      const harness = new Harness(KNOWN, first);
      harness.store.commitFaults.push('late', 'held');
      harness.proposer.propose(KNOWN, NEXT);
      harness.schema.version = second;
      for (let round = 0; round < 10 && harness.store.asked.length < 2; round++) {
        await atRest();
        harness.clock.advance(200);
        harness.proposer.tick();
      }
      harness.store.release();
      harness.store.land();
      await harness.run();
      expect(harness.store.landed.length).to.equal(1);
      expect(harness.read().config).to.deep.equal(NEXT);
    }
  });

  it('under the first schema changes the pointers of all that it concerns in the same transaction, and removes that of a node it no longer concerns', async () => {
    const known = configWith({ primary: { node: 'node-x', instance: KNOWN.primary?.instance ?? (REPLICAS[0] as never), mode: 'release' } });
    const harness = new Harness(known, 1);
    harness.store.put(keys.pointer('node-x', UID), String(known.version));
    harness.proposer.propose(known, { ...known, version: known.version + 1, primary: null });
    await harness.run();
    expect(harness.store.landed.length).to.equal(1);
    const version = String(known.version + 1);
    for (const node of ['node-a', 'node-b', 'node-c']) expect(harness.store.entry(keys.pointer(node, UID))?.value).to.equal(version);
    expect(harness.store.entry(keys.pointer('node-x', UID))).to.equal(null);
  });

  it('one about an older config than was seen is not asked, the primary is told again', async () => {
    const harness = new Harness();
    harness.store.put(keys.volume(UID), OTHERS);
    harness.learn(harness.read());
    harness.proposer.propose(KNOWN, NEXT);
    await atRest();
    expect(harness.store.asked).to.deep.equal([]);
    expect(harness.mustTellAgain).to.equal(1);
  });

  it('a volume that is gone is told as gone, and nothing is asked any more once the primary is closed', async () => {
    const harness = new Harness();
    harness.store.commitFaults.push('lostBefore');
    harness.proposer.propose(KNOWN, NEXT);
    await atRest();
    harness.store.delete(keys.volume(UID));
    await harness.run();
    expect(harness.isGone).to.equal(true);
    harness.proposer.close();
    const asked = harness.store.asked.length;
    harness.clock.advance(60_000);
    harness.proposer.tick();
    await atRest();
    expect(harness.store.asked.length).to.equal(asked);
  });

  it('the next one may go out while the answer of one that is decided is still awaited', async () => {
    const harness = new Harness();
    harness.store.commitFaults.push('held');
    harness.proposer.propose(KNOWN, NEXT);
    await atRest();
    // The leader's change is seen by the watch: the first can no longer land.
    const leaders = { ...KNOWN, version: KNOWN.version + 1 };
    harness.store.put(keys.volume(UID), leaders);
    harness.learn(harness.read());
    const second = withInSync(leaders, 0, REPLICAS.slice(1));
    harness.proposer.propose(leaders, second);
    await atRest();
    expect(harness.read().config).to.deep.equal(second);
    harness.store.release();
    await atRest();
    harness.proposer.tick();
    await atRest();
    expect(harness.read().config).to.deep.equal(second);
    expect(harness.told).to.deep.equal([leaders, second]);
  });

  it('two at a time are a mistake of the program', () => {
    const harness = new Harness();
    harness.proposer.propose(KNOWN, NEXT);
    expect(() => harness.proposer.propose(KNOWN, NEXT)).to.throw('two proposals');
  });

  it('whatever is lost: it lands at most once, and in the end a later version is told', async () => {
    const fault = fc.constantFrom<Fault>('none', 'lostBefore', 'lostAfter', 'late');
    const steps = fc.array(fc.constantFrom('tick', 'land', 'failRead', 'leader') as fc.Arbitrary<string>, { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(fc.array(fault, { maxLength: 5 }), steps, async (faults, events) => {
        const harness = new Harness();
        harness.store.commitFaults.push(...faults);
        harness.proposer.propose(KNOWN, NEXT);
        for (const event of events) {
          happen(event, harness);
          harness.clock.advance(500);
          harness.proposer.tick();
          await atRest();
        }
        await harness.run();
        expect(harness.store.landed.length).to.be.at.most(1);
        expect(harness.told).to.deep.equal([harness.read().config]);
      }),
      { numRuns: 60 },
    );
  });
});
