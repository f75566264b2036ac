/**
 * Whether an agent that has started has brought back all that its node kept and served: what a rolling update waits for before it ends the next agent.
 *
 *   waiting --nothing lacks for as long as a silent replica is forgiven--> whole
 *      |------after the bound, whatever lacks--> whole
 *
 * Said once and never taken back: what breaks later is no reason to hold up an update of others, and a volume that cannot be whole must not hold it up for ever. Must
 * never decide what is served: nobody asks but the kubelet.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { NodeName, ReplicaId } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';

/** For the config that says that a replica was dropped to come here. */
const NEWS_MS = 1_000;
const NAMED_MAX = 5;
const MS_PER_SECOND = 1_000;

export type WholenessOptions = {
  clock: Clock;
  log: Log;
  /** 0: nothing is waited for. */
  boundSeconds: number;
  /** A replica that is silent leaves the in-sync set after this long: until then a config may call one in sync that is not. */
  replicaTimeoutMs: () => number;
  /** Sentences; the first few of them are told. */
  lacking: () => string[];
};

export class Wholeness {
  readonly #options: WholenessOptions;
  readonly #startedMs: number;
  /** Since when nothing has lacked, as far as somebody asked. */
  #completeSinceMs: number | null = null;
  #isWhole: boolean;

  constructor(options: WholenessOptions) {
    this.#options = options;
    this.#startedMs = options.clock.monotonicMs();
    this.#isWhole = options.boundSeconds === 0;
  }

  /** Null, or what is still waited for. */
  reason(): string | null {
    if (this.#isWhole) return null;
    const { clock, log, boundSeconds, replicaTimeoutMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const lacking = this.#options.lacking();
    if (lacking.length > 0) this.#completeSinceMs = null;
    else this.#completeSinceMs ??= nowMs;
    const isOver = nowMs - this.#startedMs >= boundSeconds * MS_PER_SECOND;
    if (isOver && lacking.length > 0)
      log.warn('not all is back that this node kept and served, and it is waited for no longer', { boundSeconds, lacking: named(lacking) });
    this.#isWhole = isOver || (this.#completeSinceMs !== null && nowMs - this.#completeSinceMs >= replicaTimeoutMs() + NEWS_MS);
    if (this.#isWhole) return null;
    return lacking.length > 0 ? named(lacking) : 'all is back, if it stays so for a moment';
  }
}

function named(sentences: readonly string[]): string {
  const more = sentences.length - NAMED_MAX;
  return `${sentences.slice(0, NAMED_MAX).join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

/**
 * What a node lacks of one volume: its own replicas that had data and are not in sync, and its primary where the clients are here. Not waited for: a replica that has failed (another is
 * made elsewhere), one that is to leave, and one that never was in sync.
 */
export function lackingOf(config: VolumeConfig, node: NodeName, isServed: boolean, failed: ReadonlySet<ReplicaId>): string[] {
  const behind = config.shards.flatMap(({ members, inSync }) =>
    members.filter(
      (member) =>
        member.node === node &&
        member.leftAt !== undefined &&
        !member.leaving &&
        !inSync.includes(member.replica) &&
        !failed.has(member.replica),
    ),
  );
  const unserved = config.attachment?.node === node && !isServed ? [`${config.name} is attached here and not served here`] : [];
  return [...unserved, ...behind.map(({ replica }) => `replica ${replica} of ${config.name} is not in sync again`)];
}
