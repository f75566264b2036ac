/**
 * Flushes of clients, and those that are asked before the client asks: a client that flushes behind each of its writes, one at a time, as a database does with its log, will flush
 * behind the next one, too. So the flush goes out in the same packet as that write: replicas are woken once and not twice, and the disk works while the client still hears of its write.
 *
 *   nothing --a write, behind STREAK_MIN flushes of one write each--> asked --all have answered--> answered
 *   asked, answered --the client flushes--> it gets that one, if all is as it was; else one of its own         any --another operation--> nothing
 *
 * Must never give a client a flush that went out before an operation it may have been told of, nor one that somebody who counts now was not asked.
 */
import type { Inquiries } from './inquiries.ts';
import type { Replication } from './replication.ts';

/** Flushes in a row, each behind one write, before one is asked ahead. One that nobody wants costs each replica a sync: at most one in so many. */
export const STREAK_MIN = 8;

type Flush = { isWanted: () => boolean; then: () => void };

/** `moments`: of each shard, what it was asked behind and of whom. */
type Ahead = { moments: Moment[]; isAnswered: boolean; flush: Flush | null };
type Moment = { replication: Replication; last: number; counted: Replication['counted'] };

export class FlushAhead {
  readonly #replications: readonly Replication[];
  readonly #flushes: Inquiries;
  readonly #streakMin: number;
  #streak = 0;
  /** Operations since the last flush. */
  #operations = 0;
  #ahead: Ahead | null = null;

  constructor(replications: readonly Replication[], flushes: Inquiries, streakMin = STREAK_MIN) {
    this.#replications = replications;
    this.#flushes = flushes;
    this.#streakMin = streakMin;
  }

  /** An operation of a client went out. `hasOwn`: it is answered behind a flush of its own. */
  operated(hasOwn: boolean): void {
    this.#operations++;
    this.#ahead = null;
    if (this.#operations > 1) this.#streak = 0;
    else if (!hasOwn && this.#streak >= this.#streakMin && this.#replications.every(isClear)) this.#ask();
  }

  /** A client flushes: `then` when everybody who counts has made durable all that was sent until now. */
  flush(isWanted: () => boolean, then: () => void): void {
    // One behind no operation says nothing of the next.
    if (this.#operations === 1) this.#streak++;
    else if (this.#operations > 1) this.#streak = 0;
    this.#operations = 0;
    const ahead = this.#ahead;
    this.#ahead = null;
    if (ahead === null || !isAsItWas(ahead)) this.#flushes.begin(this.#replications, isWanted, then);
    else if (ahead.isAnswered) then();
    else ahead.flush = { isWanted, then };
  }

  clear(): void {
    this.#ahead = null;
  }

  #ask(): void {
    const moments = this.#replications.map(
      (replication): Moment => ({
        replication,
        last: replication.inFlight.last,
        counted: replication.counted,
      }),
    );
    const ahead: Ahead = { moments, isAnswered: false, flush: null };
    this.#ahead = ahead;
    const isWanted = () => ahead === this.#ahead || ahead.flush?.isWanted() === true;
    this.#flushes.begin(this.#replications, isWanted, () => {
      ahead.isAnswered = true;
      ahead.flush?.then();
    });
  }
}

/** Nothing is in doubt: what is copied to somebody who counts is no operation, and is not to be behind a flush. */
const isClear = ({ gate }: Replication): boolean => gate.size === 0;

/**
 * Nothing was sent since, by nobody. Who counts was not even looked at again, which the end of each session does: so whoever is asked now was asked then, in the session
 * that is still there, and has answered in it or will.
 */
const isAsItWas = ({ moments }: Ahead): boolean =>
  moments.every(
    ({ replication, last, counted }) => replication.inFlight.last === last && replication.counted === counted && isClear(replication),
  );
