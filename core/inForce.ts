/**
 * The config in force of a volume, out of the two keys that it stands in: what the leader wrote (`volumes/<uid>`), and what the primary that the leader named has made of that
 * since (`primaries/<its node>/<uid>`). Pure, and the only place where the two are put together.
 *
 * Together they are one register: every change compares both keys, the leader's takes all that is in force and removes the record, and a record names the version of the
 * leader's value that it was made of. So a later value of the leader makes whatever was built on an earlier one count for nothing, and a node that is not named counts for
 * nothing at all. Must never take from a record what is not the primary's to say: of it only the in-sync sets, `leftAt`, `lossAt` and letting go are.
 */
import type { Member, Shard, VolumeConfig } from './config.ts';
import type { NodeName, VolumeUid } from './ids.ts';
import type { Keys } from './keys.ts';
import { Fields, type Parsed, parsedJson } from './parse.ts';
import { parseVolumeConfigText, readVolumeConfig } from './parseConfig.ts';
import type { Condition, Entry } from './store.ts';

/** What a primary writes. `base`: the version of the leader's value that it was made of. */
export type PrimaryRecord = { base: number; config: VolumeConfig };

/** A primary raises the version by one at a time; this far ahead of the leader nobody comes, and the leader has room above. */
const VERSIONS_AHEAD_MAX = 2 ** 32;

export const parsePrimaryRecord = (text: string): Parsed<PrimaryRecord> =>
  parsedJson(text, 'a record', (input) => {
    const fields = new Fields(input, 'record', ['base', 'config']);
    return { base: fields.whole('base', 0), config: readVolumeConfig(fields.get('config'), fields.place('config')) };
  });

/** Where a record stands: key and what is there now. */
export type RecordPlace = { readonly key: string; readonly entry: Entry | null };

export type ConfigInForce = {
  readonly config: VolumeConfig;
  /** As the leader wrote it, in `entry`. */
  readonly leaders: VolumeConfig;
  readonly entry: Entry;
  /** Of the primary that the leader names; null: it names none. */
  readonly record: RecordPlace | null;
  /** Why what stands there does not count although the one who may wrote it on this value of the leader's; null: it counts, or is of the past, or there is none. */
  readonly refusal: string | null;
};

type ReadRecord = (entry: Entry) => Parsed<PrimaryRecord>;
const readRecord: ReadRecord = ({ value }) => parsePrimaryRecord(value);

/** Whose record counts under what the leader wrote. */
export const recorderOf = ({ primary }: VolumeConfig): NodeName | null => primary?.node ?? null;

/** `recordAt`: what stands at a key. */
export function configInForce(
  keys: Keys,
  { entry, config: leaders }: { entry: Entry; config: VolumeConfig },
  recordAt: (key: string) => Entry | null,
  read: ReadRecord = readRecord,
): ConfigInForce {
  const node = recorderOf(leaders);
  if (node === null) return { config: leaders, leaders, entry, record: null, refusal: null };
  const key = keys.primary(node, leaders.uid);
  const record = { key, entry: recordAt(key) };
  const { config, refusal } = record.entry === null ? { config: null, refusal: null } : counted(leaders, read(record.entry), key);
  return { config: config ?? leaders, leaders, entry, record, refusal };
}

function counted(
  leaders: VolumeConfig,
  { value, problem }: Parsed<PrimaryRecord>,
  key: string,
): { config: VolumeConfig | null; refusal: string | null } {
  if (value === null) return { config: null, refusal: `${key} does not count: ${problem}` };
  if (value.base !== leaders.version) return { config: null, refusal: null };
  const broken = unlawfulChange(leaders, value.config);
  return broken === null ? { config: value.config, refusal: null } : { config: null, refusal: `${key} does not count: ${broken}` };
}

/** The same for an agent, which reads strictly; a sentence when the leader's value cannot be read. */
export function readInForce(
  keys: Keys,
  uid: VolumeUid,
  entry: Entry,
  recordAt: (key: string) => Entry | null,
): ConfigInForce | { problem: string } {
  const { value, problem } = parseVolumeConfigText(entry.value);
  if (value === null) return { problem };
  if (value.uid !== uid) return { problem: `config.uid must be ${uid}, not ${value.uid}` };
  return configInForce(keys, { entry, config: value }, recordAt);
}

/** That neither key has changed: what every change of a config, and whatever else holds only under it, compares. */
export const unchangedConfig = ({ entry, record }: Pick<ConfigInForce, 'entry' | 'record'>): Condition[] =>
  unchangedKeys(entry, record && { key: record.key, revision: record.entry?.revision ?? null });

type KeyAt<Revision> = { readonly key: string; readonly revision: Revision };

/** The same of two keys as they were seen. `record`: null where no primary is named; its revision is null where nothing stands there. */
export function unchangedKeys({ key, revision }: KeyAt<string>, record: KeyAt<string | null> | null): Condition[] {
  const leaders: Condition = { key, is: 'revision', revision };
  if (record === null) return [leaders];
  return [
    leaders,
    record.revision === null ? { key: record.key, is: 'absent' } : { key: record.key, is: 'revision', revision: record.revision },
  ];
}

/** The texts, too: a store that was lost and rebuilt counts its revisions anew, and a number of before may come again over another value. */
export function sameTexts({ entry, record }: Pick<ConfigInForce, 'entry' | 'record'>): Condition[] {
  const entries = record?.entry ? [entry, record.entry] : [entry];
  return entries.map(({ key, value }) => ({ key, is: 'value', value }));
}

/** What a primary may make of what the leader wrote: null if it is that, else what it is not. */
export function unlawfulChange(leaders: VolumeConfig, next: VolumeConfig): string | null {
  const { version, epoch } = next;
  if (version <= leaders.version || version > leaders.version + VERSIONS_AHEAD_MAX) return `version ${version} on ${leaders.version}`;
  if (next.lossAt !== leaders.lossAt && next.lossAt !== epoch) return `lossAt ${next.lossAt} in epoch ${epoch}`;
  if (next.primary !== null && !isSame(next.primary, leaders.primary)) return 'another primary';
  if (!isSame(othersOf(next), othersOf(leaders))) return 'a change of what is the leader’s to say';
  if (next.shards.length !== leaders.shards.length) return 'another number of shards';
  for (const [index, shard] of next.shards.entries()) {
    const broken = unlawfulShard(leaders.shards[index] ?? { members: [], inSync: [] }, shard, { above: leaders.version, version });
    if (broken !== null) return `shard ${index}: ${broken}`;
  }
  return null;
}

/** All that no primary changes, outside its shards. */
const othersOf = ({ uid, name, sizeBytes, minInSync, epoch, attachment, limits }: VolumeConfig) => ({
  uid,
  name,
  sizeBytes,
  minInSync,
  epoch,
  attachment,
  limits,
});

/** That the in-sync set names members only is what every reader of a config looks at. */
function unlawfulShard(leaders: Shard, next: Shard, { above, version }: { above: number; version: number }): string | null {
  if (!isSame(next.members.map(withoutLeftAt), leaders.members.map(withoutLeftAt))) return 'other members';
  if (next.inSync.length === 0 && leaders.inSync.length > 0) return 'nobody is in sync any more';
  for (const [index, { replica, leftAt }] of next.members.entries()) {
    const before = leaders.members[index]?.leftAt;
    const hasLeft = !next.inSync.includes(replica) && (before !== undefined || leaders.inSync.includes(replica));
    const isSaid = leftAt === undefined ? !hasLeft : !next.inSync.includes(replica);
    const isNow = leftAt === undefined || leftAt === before || (leftAt > above && leftAt <= version);
    if (!isSaid || !isNow) return `leftAt ${leftAt} of ${replica}`;
  }
  return null;
}

const withoutLeftAt = ({ leftAt: _, ...member }: Member): Omit<Member, 'leftAt'> => member;

/** Of small values as JSON has them, whatever the order of their fields. */
function isSame(one: unknown, other: unknown): boolean {
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return one === other;
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].every((name) => isSame(one[name as keyof typeof one], other[name as keyof typeof other]));
}
