/**
 * What is to be done about etcd itself, one step at a time: a pure function of what its members say, what this leader remembers, and now. Must never let two members
 * be defragmented at once, nor any while another gives no answer (a member answers nobody meanwhile, and the others must make a quorum without it), nor take an
 * alarm away before there is space again.
 *
 *   no alarm   compact every COMPACT_EVERY_MS up to what is older than the history that is kept; defragment whoever wastes too much, followers first
 *   NOSPACE    compact up to now, every RESCUE_EVERY_MS; defragment every member that has no space, followers first; disarm when all have some; told of until then
 */
import type { SeenMember, StoreAlarm } from '../../edge/etcd/upkeep.ts';

export const COMPACT_EVERY_MS = 300_000;
/** Until members have freed what a compaction let go. */
const SETTLING_MS = 10_000;
export const DEFRAGMENT_EVERY_MS = 3_600_000;
/** While etcd takes no writes, what won too little is tried again so often. */
export const RESCUE_EVERY_MS = 60_000;
/** What a member says of its free pages is as of its last writes, and without space there are hardly any: so it is also tried now and then where it tells of none. */
const BLIND_EVERY_MS = 600_000;
/** Of its quota, below which a member that had no space counts as having some again. */
const SPACE_AGAIN_RATIO = 0.9;
/** Of its quota, from which on people are told, and every win is worth a member's silence. */
export const NEARLY_FULL_RATIO = 0.8;
/** Less is not worth a member's silence, even where space is all that matters. */
const WIN_RATIO = 0.1;
const WIN_BYTES_MIN = 64 * 1024;

export type UpkeepLimits = {
  /** False: others look after this etcd; it is only told of. */
  acts: boolean;
  /** Of its file, what a member may waste. */
  wasteRatio: number;
  /** Below this nothing is worth a member's silence. */
  wasteBytesMin: number;
  /** What can be read back in time. */
  historyMs: number;
};

export type SeenStore = {
  members: readonly SeenMember[];
  /** Whether the endpoints are all the members that there are. */
  isWhole: boolean;
  alarms: readonly StoreAlarm[];
  revision: string;
  /** By member; those that do not say are left out. */
  quotas: ReadonlyMap<string, number>;
};

/** Of one operator, while it leads. For patience only: the next leader begins with nothing of it. */
export type UpkeepMemory = {
  /** Revisions and when they were the latest, the oldest first. */
  readonly marks: readonly { revision: string; atMs: number }[];
  readonly compactedMs: number | null;
  /** By endpoint. */
  readonly defragmentedMs: ReadonlyMap<string, number>;
  /** While etcd has no space: when all of its history was compacted last, and up to which revision. */
  readonly rescuedMs: number | null;
  readonly rescuedRevision: string | null;
  /** Since when that is the revision: without space it only moves when somebody deletes something. */
  readonly progressMs: number | null;
};

export const NO_MEMORY: UpkeepMemory = {
  marks: [],
  compactedMs: null,
  defragmentedMs: new Map(),
  rescuedMs: null,
  rescuedRevision: null,
  progressMs: null,
};

export type UpkeepStep =
  | { kind: 'none' }
  | { kind: 'compact'; revision: string; isRescue: boolean }
  | { kind: 'defragment'; url: string; wasteBytes: number }
  | { kind: 'disarm'; alarm: StoreAlarm };

type Member = { url: string; status: NonNullable<SeenMember['status']> };
const NONE: UpkeepStep = { kind: 'none' };

const MARK_EVERY_MS = 60_000;
const MARKS_MAX = 1_500;

export const hasNoSpace = ({ alarms }: SeenStore): boolean => alarms.some(({ kind }) => kind === 'NOSPACE');
const wasteOf = ({ status }: Member): number => status.dbBytes - status.usedBytes;
const isAnyWin = (member: Member): boolean => wasteOf(member) >= Math.max(WIN_BYTES_MIN, WIN_RATIO * member.status.dbBytes);
const isDue = (sinceMs: number | null | undefined, everyMs: number, nowMs: number): boolean =>
  sinceMs === null || sinceMs === undefined || nowMs - sinceMs >= everyMs;

/** What is remembered after a look. */
export function noted(seen: SeenStore, memory: UpkeepMemory, { historyMs }: UpkeepLimits, nowMs: number): UpkeepMemory {
  const last = memory.marks.at(-1);
  const mark = last === undefined || nowMs - last.atMs >= MARK_EVERY_MS ? [{ revision: seen.revision, atMs: nowMs }] : [];
  const all = [...memory.marks, ...mark];
  // The youngest of those that are old enough, and all that are younger.
  const oldEnough = all.findLastIndex(({ atMs }) => nowMs - atMs >= historyMs);
  const marks = all.slice(Math.max(0, oldEnough)).slice(-MARKS_MAX);
  return hasNoSpace(seen) ? { ...memory, marks } : { ...memory, marks, rescuedMs: null, rescuedRevision: null, progressMs: null };
}

/** What is remembered after a step, whatever came of it: what failed is not tried again at once either. */
export function done(step: UpkeepStep, memory: UpkeepMemory, nowMs: number): UpkeepMemory {
  if (step.kind === 'compact') {
    const { revision, isRescue } = step;
    if (!isRescue) return { ...memory, compactedMs: nowMs };
    const progressMs = revision === memory.rescuedRevision ? memory.progressMs : nowMs;
    return { ...memory, compactedMs: nowMs, rescuedMs: nowMs, rescuedRevision: revision, progressMs };
  }
  if (step.kind === 'defragment') return { ...memory, defragmentedMs: new Map([...memory.defragmentedMs, [step.url, nowMs]]) };
  return memory;
}

/** All of them, each told apart by its own number: two endpoints may lead to one member. Null: somebody is missing. */
function allMembers({ members, isWhole }: SeenStore): Member[] | null {
  const there = members.flatMap(({ url, status }) => (status === null ? [] : [{ url, status }]));
  if (!isWhole || there.length < members.length) return null;
  return [...new Map(there.map((member) => [member.status.id, member])).values()];
}

/** Followers first of those that tell of waste now: a leader that is silent for long has another elected. */
const inOrder = (members: readonly Member[]): Member[] =>
  [...members].sort((a, b) => Number(a.status.isLeader) - Number(b.status.isLeader) || (a.url < b.url ? -1 : 1));

function defragmentation(members: readonly Member[], isWorth: (member: Member) => boolean): UpkeepStep {
  const next = inOrder(members).find(isWorth);
  return next === undefined ? NONE : { kind: 'defragment', url: next.url, wasteBytes: wasteOf(next) };
}

const isNearlyFull = ({ status }: Member, { quotas }: SeenStore): boolean =>
  status.dbBytes >= NEARLY_FULL_RATIO * (quotas.get(status.id) ?? Number.POSITIVE_INFINITY);

function rescue(seen: SeenStore, memory: UpkeepMemory, nowMs: number): UpkeepStep {
  if (isDue(memory.rescuedMs, RESCUE_EVERY_MS, nowMs)) return { kind: 'compact', revision: seen.revision, isRescue: true };
  const members = allMembers(seen);
  if (members === null) return NONE;
  const step = defragmentation(members, (member) => {
    const lastMs = memory.defragmentedMs.get(member.url) ?? Number.NEGATIVE_INFINITY;
    const isUntried = lastMs < (memory.progressMs ?? nowMs) || nowMs - lastMs >= BLIND_EVERY_MS;
    const isOfThisRound = lastMs >= (memory.rescuedMs ?? nowMs);
    return !hasSpace(member, seen) && !isOfThisRound && (isUntried || isAnyWin(member));
  });
  if (step.kind !== 'none') return step;
  // Of every member: an alarm of one stops the writes of all, and a write that one has no room for raises it again.
  if (!members.every((member) => hasSpace(member, seen))) return NONE;
  const alarm = seen.alarms.find(({ kind, member }) => kind === 'NOSPACE' && members.some(({ status }) => status.id === member));
  return alarm === undefined ? NONE : { kind: 'disarm', alarm };
}

/** False where its quota is not known. */
const hasSpace = ({ status }: Member, { quotas }: SeenStore): boolean => status.dbBytes <= SPACE_AGAIN_RATIO * (quotas.get(status.id) ?? 0);

export function decideUpkeep(seen: SeenStore, memory: UpkeepMemory, limits: UpkeepLimits, nowMs: number): UpkeepStep {
  if (!limits.acts) return NONE;
  if (hasNoSpace(seen)) return rescue(seen, memory, nowMs);
  const [mark] = memory.marks;
  const isOld = mark !== undefined && nowMs - mark.atMs >= limits.historyMs;
  if (isOld && isDue(memory.compactedMs, COMPACT_EVERY_MS, nowMs)) return { kind: 'compact', revision: mark.revision, isRescue: false };
  // A compaction goes on for a while after it was answered: whoever is defragmented meanwhile keeps half of what it wastes, for an hour.
  if (!isDue(memory.compactedMs, SETTLING_MS, nowMs)) return NONE;
  const members = allMembers(seen);
  // With any other alarm (a member whose data is damaged) everything stays as it is, for people to look at.
  if (members === null || seen.alarms.length > 0) return NONE;
  const isWorth = (member: Member): boolean =>
    wasteOf(member) >= Math.max(limits.wasteBytesMin, limits.wasteRatio * member.status.dbBytes) ||
    (isNearlyFull(member, seen) && isAnyWin(member));
  return defragmentation(members, (member) => isWorth(member) && isDue(memory.defragmentedMs.get(member.url), DEFRAGMENT_EVERY_MS, nowMs));
}
