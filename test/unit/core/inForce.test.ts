/** The config in force out of two keys: what a primary may make of the leader's value, and that both keys together are one register whatever is lost on the way. */
import { expect } from 'chai';
import fc from 'fast-check';
import { type VolumeConfig, withInSync } from '../../../core/config.ts';
import { type ConfigInForce, parsePrimaryRecord, readInForce, sameTexts, unchangedConfig, unlawfulChange } from '../../../core/inForce.ts';
import { keysOf } from '../../../core/keys.ts';
import { parseVolumeConfigText } from '../../../core/parseConfig.ts';
import type { Change, Condition } from '../../../core/store.ts';
import { configWith, member, OTHER_INSTANCE, REPLICAS, UID } from '../../support/configs.ts';
import { leadersChange, primarysChange } from '../../support/configsInStore.ts';
import { type Fault, ScriptedStore } from '../../support/scriptedStore.ts';

const keys = keysOf('test');
const LEADERS = configWith();
const DROPPED = withInSync(LEADERS, 0, REPLICAS.slice(0, 2));

const inForce = (store: ScriptedStore): ConfigInForce => {
  const entry = store.entry(keys.volume(UID));
  const found = entry && readInForce(keys, UID, entry, (key) => store.entry(key));
  if (found === null || 'problem' in found) throw new Error(`no config: ${found?.problem}`);
  return found;
};

const storeWith = (leaders: VolumeConfig, records: Record<string, unknown> = {}): ScriptedStore => {
  const store = new ScriptedStore();
  store.put(keys.volume(UID), leaders);
  for (const [node, record] of Object.entries(records)) store.put(keys.primary(node, UID), record);
  return store;
};

describe('core: the config in force', () => {
  it('is the primary’s where that was made of what stands there', () => {
    const found = inForce(storeWith(LEADERS, { 'node-a': { base: LEADERS.version, config: DROPPED } }));
    expect([found.config, found.leaders, found.refusal]).to.deep.equal([DROPPED, LEADERS, null]);
  });

  for (const [what, leaders, node, record] of [
    ['there is no record', LEADERS, 'node-a', null],
    ['it was made of an earlier value', configWith({ version: 4 }), 'node-a', { base: 3, config: { ...DROPPED, version: 5 } }],
    ['it was made of a later value than is there', LEADERS, 'node-a', { base: 4, config: { ...DROPPED, version: 5 } }],
    ['another node wrote it', LEADERS, 'node-b', { base: 3, config: DROPPED }],
    ['nobody is named', configWith({ primary: null }), 'node-a', { base: 3, config: { ...DROPPED, primary: null } }],
  ] as const)
    it(`is the leader's where ${what}, and nothing is said`, () => {
      const found = inForce(storeWith(leaders, record === null ? {} : { [node]: record }));
      expect([found.config, found.refusal]).to.deep.equal([leaders, null]);
    });

  for (const [what, record] of [
    ['is no JSON', '{'],
    ['has a field that nobody knows', { base: 3, config: DROPPED, more: 1 }],
    ['has a config with such a field', { base: 3, config: { ...DROPPED, fence: 1 } }],
    ['is of another volume', { base: 3, config: { ...DROPPED, uid: 'another' } }],
  ] as const)
    it(`is the leader's where the record ${what}, and that is said`, () => {
      const found = inForce(storeWith(LEADERS, { 'node-a': record }));
      expect(found.config).to.deep.equal(LEADERS);
      expect(found.refusal).to.match(/primaries\/node-a\/.* does not count: /);
    });

  const next = (change: Partial<VolumeConfig>): VolumeConfig => ({ ...LEADERS, version: 4, ...change });
  const shard = (members: VolumeConfig['shards'][0]['members'], inSync = REPLICAS) => next({ shards: [{ members, inSync: [...inSync] }] });
  const ALL = [member(0), member(1), member(2)];
  const LEFT = withInSync(configWith({ version: 1 }), 0, REPLICAS.slice(0, 2));
  for (const [what, leaders, made] of [
    ['drop a replica', LEADERS, DROPPED],
    ['drop one and take it back', LEADERS, withInSync(DROPPED, 0, REPLICAS)],
    ['take back one that had left before', { ...LEFT, version: 3 }, withInSync({ ...LEFT, version: 3 }, 0, REPLICAS)],
    [
      'take up one that was never in sync',
      shard(ALL, REPLICAS.slice(0, 2)),
      { ...withInSync(shard(ALL, REPLICAS.slice(0, 2)), 0, REPLICAS) },
    ],
    ['say that a loss began with its epoch', LEADERS, next({ lossAt: 1 })],
    ['let go', LEADERS, next({ primary: null })],
  ] as const)
    it(`a primary may ${what}`, () => expect(unlawfulChange(leaders, made)).to.equal(null));

  const [primary] = [LEADERS.primary ?? { node: '', instance: OTHER_INSTANCE, mode: 'serve' as const }];
  for (const [what, made, broken] of [
    ['keep the version', next({ version: 3 }), /version 3 on 3/],
    ['lower it', next({ version: 2 }), /version 2 on 3/],
    ['raise it beyond all measure', next({ version: Number.MAX_SAFE_INTEGER }), /version/],
    ['raise the epoch', next({ epoch: 2 }), /leader/],
    ['change the size', next({ sizeBytes: 1 }), /leader/],
    ['ask for fewer in sync', next({ minInSync: 1 }), /leader/],
    ['attach clients', next({ attachment: { node: 'node-a', bootId: 'b', epoch: 1 } }), /leader/],
    ['lift its limits', next({ limits: { iops: 0, bytesPerSecond: 0 } }), /leader/],
    ['be another volume', next({ uid: 'another' as typeof UID }), /leader/],
    ['name another process', next({ primary: { ...primary, instance: OTHER_INSTANCE } }), /another primary/],
    ['name another node', next({ primary: { ...primary, node: 'node-b' } }), /another primary/],
    ['stay though it is told to go', next({ primary: { ...primary, mode: 'release' } }), /another primary/],
    ['put a loss into another epoch', next({ lossAt: 0 }), /lossAt/],
    ['take a member away', shard(ALL.slice(0, 2), REPLICAS.slice(0, 2)), /other members/],
    ['move a member', shard([{ ...member(0), node: 'node-x' }, member(1), member(2)]), /other members/],
    ['send a member away', shard([{ ...member(0), leaving: true }, member(1), member(2)]), /other members/],
    ['leave nobody in sync', shard(ALL, []), /nobody is in sync/],
    ['forget that a replica left', shard(ALL, REPLICAS.slice(0, 2)), /leftAt undefined/],
    ['say that it left before it did', shard([member(0), member(1), { ...member(2), leftAt: 2 }], REPLICAS.slice(0, 2)), /leftAt 2/],
    ['say that one in sync has left', shard([{ ...member(0), leftAt: 4 }, member(1), member(2)]), /leftAt 4/],
    ['make another shard', next({ shards: [...LEADERS.shards, ...LEADERS.shards] }), /number of shards/],
  ] as const)
    it(`a primary may not ${what}`, () => {
      expect(unlawfulChange(LEADERS, made)).to.match(broken);
      expect(inForce(storeWith(LEADERS, { 'node-a': { base: 3, config: made } })).config).to.deep.equal(LEADERS);
    });

  it('of what no primary changes every field counts', () => {
    const { value } = parseVolumeConfigText(JSON.stringify(LEADERS));
    expect(parsePrimaryRecord(JSON.stringify({ base: 3, config: value })).value?.config).to.deep.equal(LEADERS);
  });
});

type Event = { who: 'leader' | 'primary'; fault: Fault; what: number };

/** The register that both keys shall be: each change that lands is one of the value before it, and none lands that was made of another. */
class Model {
  readonly store = storeWith(LEADERS);
  readonly history: VolumeConfig[] = [LEADERS];
  /** As each of them saw it last; they may be late. */
  readonly seen = { leader: inForce(this.store), primary: inForce(this.store) };

  /** Whatever changed is one change of what stood before. */
  look(): void {
    const { config } = inForce(this.store);
    const before = this.history.at(-1);
    if (JSON.stringify(config) === JSON.stringify(before)) return;
    expect(config.version, 'one version after the other, each made of the one before').to.equal((before?.version ?? 0) + 1);
    this.history.push(config);
  }

  async commit(who: Event['who'], conditions: Condition[], changes: Change[], fault: Fault): Promise<void> {
    this.store.commitFaults.push(fault);
    await this.store.commit(conditions, changes).catch(() => undefined);
    this.look();
    // Whoever heard no answer may have looked before what is late lands.
    if (fault === 'none' || fault === 'lostAfter') this.seen[who] = inForce(this.store);
  }

  async happen({ who, fault, what }: Event): Promise<void> {
    const known = this.seen[who];
    const { config } = known;
    const version = config.version + 1;
    if (what === 0) this.seen[who] = inForce(this.store);
    else if (what === 1) this.store.land();
    else if (who === 'leader') {
      const epoch = what === 2 ? config.epoch + 1 : config.epoch;
      const node = ['node-a', 'node-b', null][what % 3] ?? null;
      const primary = node === null ? null : { node, instance: OTHER_INSTANCE, mode: 'serve' as const };
      const { conditions, changes } = leadersChange(keys, known, { ...config, version, epoch, primary });
      await this.commit(who, conditions, changes, fault);
    } else if (config.primary !== null) {
      const made = what === 2 ? { ...config, version, primary: null } : withInSync(config, 0, REPLICAS.slice(what % 3));
      const { conditions, changes } = primarysChange(known, made);
      await this.commit(who, [...conditions, ...sameTexts(known)], changes, fault);
    }
    this.look();
  }
}

describe('core: the two keys of a config', () => {
  const event: fc.Arbitrary<Event> = fc.record({
    who: fc.constantFrom('leader' as const, 'primary' as const),
    fault: fc.constantFrom<Fault>('none', 'none', 'lostBefore', 'lostAfter', 'late'),
    what: fc.nat({ max: 5 }),
  });

  it('are one register under a leader and primaries that know the past, and under answers that are lost or come late', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 40 }), async (events) => {
        const model = new Model();
        for (const one of events) await model.happen(one);
        model.store.land();
        model.look();
        const left = [...model.store.entriesOf(keys.primaries).keys()];
        expect(left.length, 'no record is left over').to.be.at.most(1);
      }),
      { numRuns: 300 },
    );
  });

  it('are both compared: a change of either makes what was made before it land nowhere', async () => {
    const store = storeWith(LEADERS);
    const known = inForce(store);
    expect(unchangedConfig(known)).to.deep.equal([
      { key: keys.volume(UID), is: 'revision', revision: '2' },
      { key: keys.primary('node-a', UID), is: 'absent' },
    ]);
    const primarys = primarysChange(known, DROPPED);
    const leaders = leadersChange(keys, known, { ...LEADERS, version: 4, epoch: 2, primary: null });
    expect((await store.commit(primarys.conditions, primarys.changes)).committed).to.equal(true);
    expect((await store.commit(leaders.conditions, leaders.changes)).committed).to.equal(false);
    const again = inForce(store);
    const after = leadersChange(keys, again, { ...again.config, version: 5, epoch: 2, primary: null });
    expect((await store.commit(after.conditions, after.changes)).committed).to.equal(true);
    expect((await store.commit(primarys.conditions, primarys.changes)).committed).to.equal(false);
    expect([...store.entriesOf(keys.primaries).keys()]).to.deep.equal([]);
  });
});
