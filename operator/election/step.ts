/**
 * Who of several operators leads: one step of the election over a coordination.k8s.io Lease. Pure: an event and the time in, the next state and one
 * action out.
 *
 * Like a shared whiteboard with a name on it: whoever's name stands there rewrites it every `renewMs`; the others look, and if the writing has not
 * changed for as long as it promised to last, one of them wipes it and writes its own name. Clocks of different machines are never compared: each process
 * measures by its own monotonic clock since when it saw the same writing (the resourceVersion). The leader counts from when it *asked* for its renewal
 * and does not hold it any more well before the others may take over.
 *
 *   follower --acquired--> leader --renewal refused, or stood still for giveUpMs, or unfit, or stop--> follower
 *                             |  ^--renewed--+
 *                             +--no answer for giveUpMs--> caretaker --another holds it, or it is nobody's, or unfit, or stop--> follower
 *
 * A caretaker leads on without the Lease, while the whiteboard cannot be reached: so nobody else can write on it either, or else somebody can, and then etcd refuses
 * whatever this one still writes. Holding the Lease is no fence, and was none before: a process that stands still may believe in it for too long. Every write to etcd
 * compares the generation (generation.ts).
 */

export type LeaseRecord = {
  /** Empty: released, anybody may take it at once. */
  holder: string;
  transitions: number;
  durationMs: number;
  resourceVersion: string;
};

export type ElectionTimes = {
  /** How long the others wait after the last renewal they saw. */
  durationMs: number;
  /** How often the leader renews and the others look. */
  renewMs: number;
  /** Without a renewal for so long the Lease is not held any more; less than durationMs by what a clock may drift and a pause may take. */
  giveUpMs: number;
};

export const ELECTION_TIMES: ElectionTimes = { durationMs: 6_000, renewMs: 1_500, giveUpMs: 4_000 };

export type ElectionState = {
  role: 'follower' | 'leader' | 'caretaker';
  identity: string;
  /** The record last seen, and when this very writing of it was seen first. Null: nothing read yet, or there is none. */
  seen: { record: LeaseRecord; sinceMs: number } | null;
  /** Until when this process may count itself the holder, by its own clock. */
  heldUntilMs: number;
  /** When the API server answered last, and whether the call since then had no answer. */
  heardMs: number | null;
  isUnanswered: boolean;
  /** The least number of transitions to write next: the generation settled with etcd, if that is higher. */
  transitionsMin: number;
};

export type ElectionEvent =
  /** Time to do something. `isUnfit`: this process could not do a leader's work now (etcd does not answer it), another perhaps can. */
  | { kind: 'woke'; isUnfit?: boolean }
  /** The Lease as it is; null: there is none. */
  | { kind: 'read'; record: LeaseRecord | null }
  /** Our write of it was taken. */
  | { kind: 'written'; record: LeaseRecord; askedMs: number }
  /** Somebody else wrote it since we read it. */
  | { kind: 'conflict' }
  /** No answer: a write may have happened. */
  | { kind: 'unanswered' };

export type ElectionAction =
  | { kind: 'read' }
  /** `basedOn` null: make it; it must not exist. */
  | { kind: 'write'; holder: string; transitions: number; durationMs: number; basedOn: string | null }
  | { kind: 'wait'; forMs: number };

export type ElectionStep = { state: ElectionState; action: ElectionAction };

export const initialElection = (identity: string): ElectionState => ({
  role: 'follower',
  identity,
  seen: null,
  heldUntilMs: 0,
  heardMs: null,
  isUnanswered: false,
  transitionsMin: 0,
});

/** Nobody else may take it now, if clocks are any good. */
export const holdsLease = (state: ElectionState, nowMs: number): boolean => state.role === 'leader' && nowMs < state.heldUntilMs;

export const mayLead = (state: ElectionState, nowMs: number): boolean => state.role === 'caretaker' || holdsLease(state, nowMs);

const follow = (state: ElectionState): ElectionState => ({ ...state, role: 'follower', heldUntilMs: 0 });

/**
 * While the API server answered nobody, its holder could not renew either: such a silence is not held against it, and it gets a whole duration from the first answer
 * on. Shorter ones count, else a server that fails now and then would keep a dead leader's Lease alive for ever.
 */
function observe(state: ElectionState, record: LeaseRecord | null, nowMs: number, times: ElectionTimes): ElectionState {
  const heard: ElectionState = { ...state, heardMs: nowMs, isUnanswered: false };
  if (record === null) return { ...heard, seen: null };
  const isSame = state.seen?.record.resourceVersion === record.resourceVersion;
  const wasSilent = state.heardMs !== null && nowMs - state.heardMs > times.giveUpMs;
  return { ...heard, seen: { record, sinceMs: isSame && state.seen && !wasSilent ? state.seen.sinceMs : nowMs } };
}

const isFree = ({ record, sinceMs }: { record: LeaseRecord; sinceMs: number }, nowMs: number): boolean =>
  record.holder === '' || nowMs - sinceMs > record.durationMs;

function write(state: ElectionState, times: ElectionTimes): ElectionAction {
  const record = state.seen?.record ?? null;
  const isOurs = record?.holder === state.identity;
  const transitions = Math.max((record?.transitions ?? 0) + (isOurs ? 0 : 1), state.transitionsMin);
  return { kind: 'write', holder: state.identity, transitions, durationMs: times.durationMs, basedOn: record?.resourceVersion ?? null };
}

function afterRead(state: ElectionState, record: LeaseRecord | null, nowMs: number, times: ElectionTimes): ElectionStep {
  const next = observe(state, record, nowMs, times);
  // A write of ours without an answer may have landed: then the Lease is ours and renewing it says so.
  const isOurs = record?.holder === state.identity;
  if (isOurs || next.seen === null || isFree(next.seen, nowMs)) {
    const kept = isOurs ? next : follow(next);
    return { state: kept, action: write(kept, times) };
  }
  return { state: follow(next), action: { kind: 'wait', forMs: times.renewMs } };
}

/** One that cannot do the work does not ask for it, and gives it up: so another leads at once, where the trouble is only this one's. */
function unfit(state: ElectionState, times: ElectionTimes): ElectionStep {
  return { state: follow(state), action: releaseOf(state) ?? { kind: 'wait', forMs: times.renewMs } };
}

function afterWritten(state: ElectionState, record: LeaseRecord, askedMs: number, nowMs: number, times: ElectionTimes): ElectionStep {
  const heldUntilMs = askedMs + times.giveUpMs;
  const seen = observe(state, record, nowMs, times);
  // An answer that took longer than the time it grants makes nobody a leader; nor does it unmake a caretaker: the Lease is still its own.
  if (record.holder !== state.identity || nowMs >= heldUntilMs)
    return { state: state.role === 'caretaker' ? seen : follow(seen), action: { kind: 'wait', forMs: times.renewMs } };
  // Where answers are so slow that little of the time is left, the next renewal is on its way before it is over: else that would look like having stood still.
  const forMs = Math.min(times.renewMs, (heldUntilMs - nowMs) / 2);
  return { state: { ...seen, role: 'leader', heldUntilMs }, action: { kind: 'wait', forMs } };
}

/** Retries of a leader without an answer come faster than its renewals: it has only `giveUpMs` in all. */
const UNANSWERED_RETRY_SHARE = 0.25;

/** Its time is over. Without an answer it leads on; one that heard nothing because it stood still asks first. */
function expired(state: ElectionState, event: ElectionEvent): ElectionState {
  return event.kind === 'unanswered' || state.isUnanswered ? { ...state, role: 'caretaker', heldUntilMs: 0 } : follow(state);
}

/** A caretaker's own renewals may have landed without an answer: what stands there says whose it is. */
const afterConflict = (state: ElectionState, nowMs: number): ElectionState => {
  const heard: ElectionState = { ...state, heardMs: nowMs, isUnanswered: false };
  return state.role === 'caretaker' ? heard : follow(heard);
};

export function step(before: ElectionState, event: ElectionEvent, nowMs: number, times: ElectionTimes): ElectionStep {
  const state = before.role === 'leader' && nowMs >= before.heldUntilMs ? expired(before, event) : before;
  switch (event.kind) {
    case 'woke':
      if (event.isUnfit) return unfit(state, times);
      // After a call without an answer what stands there may be our own: it is looked at first.
      return { state, action: state.role === 'leader' && !state.isUnanswered ? write(state, times) : { kind: 'read' } };
    case 'read':
      return afterRead(state, event.record, nowMs, times);
    case 'written':
      return afterWritten(state, event.record, event.askedMs, nowMs, times);
    case 'conflict':
      return { state: afterConflict(state, nowMs), action: { kind: 'read' } };
    case 'unanswered':
      return { state: { ...state, isUnanswered: true }, action: { kind: 'wait', forMs: times.renewMs * UNANSWERED_RETRY_SHARE } };
  }
}

/** What to write when this process stops: the Lease without a holder, so that another takes over at once. Null: it is not ours. */
export function releaseOf(state: ElectionState): ElectionAction | null {
  const record = state.seen?.record;
  if (state.role === 'follower' || record?.holder !== state.identity) return null;
  return { kind: 'write', holder: '', transitions: record.transitions, durationMs: 1_000, basedOn: record.resourceVersion };
}
