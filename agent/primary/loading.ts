/**
 * Finds out what a replica needs when its session has begun, from the logs and stamps of those concerned. Everything that is sent to it from
 * then on it gets anyway, so whatever was before is in what is asked now.
 */
import type { Clock } from '../../core/clock.ts';
import type { ExtentSet } from '../../core/extent.ts';
import { LOG_ONLY, type ResyncProgress } from '../../core/wire/messages.ts';
import { CatchUp } from './catchUp.ts';
import type { Peer } from './peer.ts';
import type { Replication } from './replication.ts';

type Question = { peer: Peer; since: number };

/** Asks several peers what changed; calls back once, with what each answered, or null for one that was lost. */
function askAll(asks: readonly Question[], nowMs: number, then: (answers: (ExtentSet | null)[]) => void): void {
  const answers: (ExtentSet | null)[] = asks.map(() => null);
  let missing = asks.length;
  const arrived = (index: number, answer: ExtentSet | null) => {
    answers[index] = answer;
    missing--;
    if (missing === 0) then(answers);
  };
  asks.forEach(({ peer, since }, index) => {
    const onReply = (reply: { type: string; extents?: ExtentSet }) => arrived(index, reply.extents ?? null);
    peer.ask({ type: 'changed', since }, nowMs, onReply, () => arrived(index, null));
  });
}

export class Loader {
  readonly #replication: Replication;
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #loading = new WeakSet<object>();

  constructor(replication: Replication, clock: Clock, changed: () => void) {
    this.#replication = replication;
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Begins for every session that is up and of which the need is not known; a learner's must wait for an authority. */
  step(): void {
    for (const peer of this.#replication.peers.values()) {
      if (peer.state !== 'loading' || !peer.link || this.#loading.has(peer.link)) continue;
      if (this.#replication.counts(peer)) this.#loadCounted(peer, peer.link);
      else if (this.#replication.authority?.state === 'open') this.#loadLearner(peer, peer.link, this.#replication.authority);
    }
  }

  /**
   * Its own log and the others'. The first time in an epoch its log is everybody's: what is in it may differ anywhere, and is levelled on all.
   * Later only itself can differ: in what is in its log, which it may have lost, and in what it had not been levelled on.
   */
  #loadCounted(peer: Peer, link: object): void {
    this.#loading.add(link);
    const others = this.#replication.counted.filter((other) => other !== peer && other.isUp);
    const asks = [peer, ...others].map((each) => ({ peer: each, since: LOG_ONLY }));
    askAll(asks, this.#clock.monotonicMs(), ([own, ...rest]) => {
      if (peer.link !== link || !own) return;
      if (!peer.wasLoaded) this.#spread(peer, own);
      if (peer !== this.#replication.authority) for (const log of [own, ...rest]) if (log) peer.need.addAll(log);
      // A crash may have cost it the stamps of what is in its log; where nobody else is there to be levelled, nothing would bring them back.
      this.#replication.restamp(own);
      this.#opened(peer);
    });
  }

  #spread(peer: Peer, log: ExtentSet): void {
    for (const other of this.#replication.peers.values()) {
      if (other === peer || other === this.#replication.authority) continue;
      if (this.#replication.counts(other) || other.state === 'open') other.need.addAll(log);
    }
  }

  /**
   * What the authority stamped since the replica left (all that was ever written if it was never in), both logs, and what is in doubt anyway.
   * If the authority goes meanwhile, it is asked again of the next. One that was catching up before goes on where it was: see `#resume`.
   */
  #loadLearner(peer: Peer, link: object, authority: Peer): void {
    this.#loading.add(link);
    const nowMs = this.#clock.monotonicMs();
    const { version } = this.#replication.known;
    const since = peer.member.leftAt ?? 0;
    const resumed = peer.resync?.since === since ? peer.resync : null;
    const asks: Question[] = [
      { peer, since: since === 0 ? 0 : LOG_ONLY },
      { peer: authority, since },
    ];
    if (resumed) asks.push({ peer, since: LOG_ONLY }, { peer: authority, since: resumed.version });
    askAll(asks, nowMs, (answers) => {
      if (peer.link !== link) return;
      const [own, source, ...again] = answers;
      if (!own || !source || again.includes(null) || authority !== this.#replication.authority) {
        this.#loading.delete(link);
        return;
      }
      peer.need.clear();
      for (const set of [own, source, this.#replication.gate]) peer.need.addAll(set);
      const total = peer.need.size;
      if (resumed) this.#resume(peer, resumed, again);
      peer.catchUp = new CatchUp({ since, version, total }, resumed, peer.need.size, this.#clock.monotonicMs());
      this.#opened(peer);
    });
  }

  /**
   * Below `resumed.below` all was made equal, durably, in a session that began under `resumed.version`; there it needs only what may have changed since:
   *
   * - Operations that it was not sent since. They were sent after that session's need was asked for, so under its version or a later one: the authority
   *   has them as stamps of that version *or above*, for a session that ended at once may have been followed by operations under the very same version.
   *   A stamp that a crash took from the authority is of an extent in its log, which its answer holds too. So does what was levelled since: it was restamped.
   * - Operations that it was sent and others were not: they are in its own log, which it left only for what was settled, or compared since.
   * - What is in doubt, as ever: in the gate.
   *
   * From `resumed.below` on it needs what it needed at first. The version of this session is taken when it begins to ask, never later.
   */
  #resume(peer: Peer, { below }: ResyncProgress, again: readonly (ExtentSet | null)[]): void {
    for (const extent of peer.need) if (extent < below) peer.need.delete(extent);
    for (const set of [...again, this.#replication.gate]) if (set) peer.need.addAll(set);
  }

  #opened(peer: Peer): void {
    peer.wasLoaded = true;
    peer.opened();
    this.#replication.recount();
    this.#changed();
  }
}
