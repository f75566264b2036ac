/**
 * What stands in etcd, as values. It was written by our own programs over mutual TLS, so this looks for damage, not for attacks: a value that is not what
 * its key promises becomes a sentence, and its volume is left alone. Must never throw on anything that can stand in a key, nor pass a config with a field that is not
 * known here: it is written back, and that field may be a fence.
 */
import type { Member, PrimaryRole, Shard, VolumeConfig } from '../../core/config.ts';
import { isHexId, isSnapshotUid, isVolumeUid, type VolumeUid } from '../../core/ids.ts';
import { type PrimaryRecord, parsePrimaryRecord } from '../../core/inForce.ts';
import type { MachineState, ServingReport } from '../../core/machine.ts';
import type { Parsed } from '../../core/parse.ts';
import { CONFIG_FIELDS, SHARDS_MAX } from '../../core/parseConfig.ts';
import { parseScrubState, type ScrubState } from '../../core/scrub.ts';
import { parseRecordedSnapshot, type RecordedSnapshot } from '../../core/snapshot.ts';
import type { Entry } from '../../core/store.ts';
import type { Claim, Task, TaskSpec } from '../../core/task.ts';

export type Decoded<Value> = { value: Value; problem: null } | { value: null; problem: string };
type Fields = { readonly [field: string]: unknown };
/** Null: as it should be, else the rule that is broken. */
type Rule = (fields: Fields) => string | null;

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown): value is string => typeof value === 'string';
const isList = (value: unknown): value is unknown[] => Array.isArray(value);

const must =
  (field: string, holds: (value: unknown) => boolean, what: string): Rule =>
  (fields) =>
    holds(fields[field]) ? null : `${field} must be ${what}`;
const count = (field: string): Rule => must(field, isCount, 'a whole number, not negative');
const textField = (field: string): Rule => must(field, isText, 'text');
const hexId = (field: string): Rule => must(field, (value) => isText(value) && isHexId(value), 'an id of 16 hex digits');
const uid = (field: string): Rule => must(field, (value) => isText(value) && isVolumeUid(value), 'a volume uid');
const list = (field: string): Rule => must(field, isList, 'a list');
const oneOf = (field: string, ...choices: readonly string[]): Rule =>
  must(field, (value) => choices.includes(value as string), `one of ${choices.join(', ')}`);

function only(known: readonly string[]): Rule {
  const names = new Set(known);
  return (fields) => {
    for (const name in fields) if (!names.has(name)) return `there must not be a field ${JSON.stringify(name)}`;
    return null;
  };
}
/** Of a map that may be left out. */
const onlyIn =
  (field: string, rule: Rule): Rule =>
  (fields) => {
    const value = fields[field];
    return isFields(value) ? rule(value) : null;
  };

function firstBroken(fields: Fields, rules: readonly Rule[]): string | null {
  for (const rule of rules) {
    const broken = rule(fields);
    if (broken !== null) return broken;
  }
  return null;
}

function decode<Value>(entry: Entry, rules: readonly Rule[]): Decoded<Value> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(entry.value);
  } catch {
    return { value: null, problem: `${entry.key} is not JSON` };
  }
  if (!isFields(parsed)) return { value: null, problem: `${entry.key} is not a map` };
  const broken = firstBroken(parsed, rules);
  return broken === null ? { value: parsed as Value, problem: null } : { value: null, problem: `${entry.key}: ${broken}` };
}

const MEMBER_RULES = [hexId('replica'), textField('node'), textField('pool'), only(CONFIG_FIELDS.member)];
const PRIMARY_RULES = [textField('node'), hexId('instance'), oneOf('mode', 'serve', 'background', 'release'), only(CONFIG_FIELDS.primary)];
const SHARD_RULE = only(CONFIG_FIELDS.shard);

const membersRule = (members: readonly unknown[]): string | null => {
  for (const member of members as readonly Member[]) {
    const broken = isFields(member) ? firstBroken(member, MEMBER_RULES) : 'a member must be a map';
    if (broken !== null) return broken;
  }
  return null;
};

function shardProblem(shard: Shard): string | null {
  if (!isFields(shard) || !isList(shard.members) || !isList(shard.inSync)) return 'a shard must have members and inSync';
  const broken = SHARD_RULE(shard) ?? membersRule(shard.members);
  if (broken !== null) return broken;
  const known = new Set(shard.members.map((member) => member.replica));
  return shard.inSync.every((replica) => known.has(replica)) ? null : 'inSync must name only members';
}

const shardsRule: Rule = ({ shards }) => {
  if (!isList(shards) || shards.length < 1 || shards.length > SHARDS_MAX) return `shards must be a list of 1 to ${SHARDS_MAX}`;
  for (const shard of shards as readonly Shard[]) {
    const broken = shardProblem(shard);
    if (broken !== null) return broken;
  }
  return null;
};

const primaryRule: Rule = ({ primary }) => {
  if (primary === null) return null;
  return isFields(primary) ? firstBroken(primary as PrimaryRole, PRIMARY_RULES) : 'primary must be null or a map';
};

const CONFIG_RULES = [
  uid('uid'),
  textField('name'),
  count('sizeBytes'),
  count('minInSync'),
  count('epoch'),
  count('version'),
  shardsRule,
  primaryRule,
  only(CONFIG_FIELDS.config),
  onlyIn('attachment', only(CONFIG_FIELDS.attachment)),
  onlyIn('limits', only(CONFIG_FIELDS.limits)),
];
const snapshotUid = must('snapshot', (value) => isText(value) && isSnapshotUid(value), 'a snapshot uid');
/** What a task is about, by its kind. */
const SUBJECT_RULES: Record<TaskSpec['kind'], readonly Rule[]> = {
  'create-replica': [hexId('replica')],
  'delete-replica': [hexId('replica')],
  snapshot: [snapshotUid],
  'delete-snapshot': [snapshotUid, textField('pool')],
};
const kindRule = oneOf('kind', ...Object.keys(SUBJECT_RULES));
const TASK_RULES: readonly Rule[] = [
  textField('id'),
  textField('node'),
  count('attempt'),
  oneOf('state', 'filed', 'running', 'done', 'failed'),
  ({ spec }) =>
    isFields(spec)
      ? (firstBroken(spec, [kindRule, uid('volume')]) ?? firstBroken(spec, SUBJECT_RULES[spec.kind as TaskSpec['kind']]))
      : 'spec must be a map',
];
const MACHINE_RULES = [
  textField('node'),
  hexId('instance'),
  textField('zone'),
  must('labels', isFields, 'a map'),
  list('pools'),
  list('failedReplicas'),
];
const SERVING_RULES = [uid('uid'), textField('node'), hexId('instance'), count('epoch'), textField('state'), list('replicas')];
const CLAIM_RULES = [textField('node'), hexId('instance'), count('attempt')];

export const decodeConfig = (entry: Entry): Decoded<VolumeConfig> => decode(entry, CONFIG_RULES);
/** Read as strictly as an agent would: another wrote it than whose business it is to believe it. */
export const decodeRecord = (entry: Entry): Decoded<PrimaryRecord> => parsedAs(entry, parsePrimaryRecord(entry.value));
export const decodeTask = (entry: Entry): Decoded<Task> => decode(entry, TASK_RULES);
/** Of an ended task only whose it was: three for each volume of the last hour, of which nothing else is looked at. */
export function decodeEnded(entry: Entry): Decoded<VolumeUid> {
  const { value, problem } = decodeTask(entry);
  return problem === null ? { value: value.spec.volume, problem } : { value, problem };
}
export const decodeMachine = (entry: Entry): Decoded<MachineState> => decode(entry, MACHINE_RULES);
export const decodeServing = (entry: Entry): Decoded<ServingReport> => decode(entry, SERVING_RULES);
export const decodeClaim = (entry: Entry): Decoded<Claim> => decode(entry, CLAIM_RULES);

const parsedAs = <Value>(entry: Entry, { value, problem }: Parsed<Value>): Decoded<Value> =>
  problem === null ? { value: value as Value, problem } : { value: null, problem: `${entry.key}: ${problem}` };
export const decodeSnapshot = (entry: Entry): Decoded<RecordedSnapshot> => parsedAs(entry, parseRecordedSnapshot(entry.value));
export const decodeScrub = (entry: Entry): Decoded<ScrubState> => parsedAs(entry, parseScrubState(entry.value));
