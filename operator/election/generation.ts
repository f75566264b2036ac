/**
 * The leader's generation in etcd, the fence of every write of a leader. It only ever rises: a winner of the Lease takes a number above both what etcd
 * holds and the Lease's own count, so that a Lease which was deleted and made again brings nobody below a predecessor.
 */
import { OperatingError } from '../../core/errors.ts';
import type { Keys } from '../../core/keys.ts';
import type { Change, Condition, Store } from '../../core/store.ts';

export type LeaderRecord = { generation: number; holder: string };

/** Everybody else who claims at the same moment has lost the Lease since; more rounds than this mean that something else is wrong. */
const CLAIM_ROUNDS_MAX = 8;

/** Null: there is none, or it cannot be read. Then the Lease's count is what is left to go by, and it follows the generation. */
export function parseLeaderRecord(value: string | null): LeaderRecord | null {
  if (value === null) return null;
  try {
    const { generation, holder } = JSON.parse(value) as Partial<LeaderRecord>;
    return typeof generation === 'number' && typeof holder === 'string' ? { generation, holder } : null;
  } catch {
    return null;
  }
}

/**
 * Raises the generation to this process. `holder` must be unique to the process: the record's exact value is what its writes compare.
 * A round without an answer is followed by a look: the record may have been written.
 */
export async function claimGeneration(store: Store, keys: Keys, holder: string, transitions: number): Promise<Leadership> {
  for (let round = 0; round < CLAIM_ROUNDS_MAX; round++) {
    const entry = await store.get(keys.leader);
    const held = parseLeaderRecord(entry?.value ?? null);
    if (entry && held?.holder === holder && held.generation >= transitions)
      return new Leadership(store, keys, held.generation, entry.value);
    const generation = Math.max(held === null ? 1 : held.generation + 1, transitions);
    const value = JSON.stringify({ generation, holder } satisfies LeaderRecord);
    const unchanged: Condition = entry
      ? { key: keys.leader, is: 'revision', revision: entry.revision }
      : { key: keys.leader, is: 'absent' };
    const { committed } = await store.commit([unchanged], [{ put: keys.leader, value }]);
    if (committed) return new Leadership(store, keys, generation, value);
  }
  throw new OperatingError('Conflict', 'claim the generation', `others wrote it ${CLAIM_ROUNDS_MAX} times in between`);
}

export type CommitResult = { kind: 'committed'; revision: string } | { kind: 'conflict' } | { kind: 'fenced' };

/** The right to write to etcd as the leader of one generation. Every such write goes through `commit`. */
export class Leadership {
  readonly generation: number;
  readonly #store: Store;
  readonly #keys: Keys;
  readonly #value: string;
  #isDeposed = false;
  #onDeposed: () => void = () => undefined;

  constructor(store: Store, keys: Keys, generation: number, value: string) {
    this.#store = store;
    this.#keys = keys;
    this.generation = generation;
    this.#value = value;
  }

  /** True once a higher generation was seen: nothing of this one counts any more. */
  get isDeposed(): boolean {
    return this.#isDeposed;
  }

  onDeposed(listener: () => void): void {
    this.#onDeposed = listener;
  }

  /**
   * All changes if this is still the leader and all conditions hold. `fenced`: somebody leads under a higher generation, nothing was changed and nothing
   * may be tried again. Rejects with Unavailable when the outcome is unknown.
   */
  async commit(conditions: readonly Condition[], changes: readonly Change[]): Promise<CommitResult> {
    if (this.#isDeposed) return { kind: 'fenced' };
    const fence: Condition = { key: this.#keys.leader, is: 'value', value: this.#value };
    const { committed, revision } = await this.#store.commit([fence, ...conditions], changes);
    if (committed) return { kind: 'committed', revision };
    // What it says is what the failed transaction saw, or something later; a generation never comes back.
    return (await this.confirm()) ? { kind: 'conflict' } : { kind: 'fenced' };
  }

  /** Whether nobody leads under a higher generation, by a linearizable read. Rejects with Unavailable without an answer. */
  async confirm(): Promise<boolean> {
    const entry = await this.#store.get(this.#keys.leader);
    if (this.#isDeposed) return false;
    if (entry?.value === this.#value) return true;
    this.#isDeposed = true;
    this.#onDeposed();
    return false;
  }
}
