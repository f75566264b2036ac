/**
 * One piece (half a block) as the set of all states that a linearizable register could be in, given what clients saw. A write in flight may have taken effect or
 * not; one whose client is gone may yet, until a later epoch begins. The set empty means that no order explains what was seen.
 *
 * A state: the value, the writes that have not taken effect, and what each read under way could have seen so far. States that differ only in the
 * latter are merged: the checker never cries wolf, and misses only what needs such a merge.
 */
import { Violation } from '../violation.ts';

/** A write or zero of this piece. */
export type BlockWrite = { id: number; value: number; epoch: number };

type State = { value: number; open: number[]; seen: Map<number, Set<number>> };

/** Of one closure. A piece with more is not followed any further: so many writes of unknown outcome explain anything. */
const STEPS_MAX = 2_000;

export class BlockRegister {
  readonly piece: number;
  #states: State[] = [{ value: 0, open: [], seen: new Map() }];
  readonly #writes = new Map<number, BlockWrite>();
  /** Clients that will never hear an answer. */
  readonly #abandoned = new Set<number>();
  /** What a total power loss may leave, and for each flush under way what it will leave after that. */
  #fallback = new Set<number>([0]);
  readonly #flushes = new Map<number, Set<number>>();
  #possible: Set<number> | null = new Set([0]);
  #isBlind = false;

  constructor(piece: number) {
    this.piece = piece;
  }

  /** `isDurable`: once it is acknowledged, nothing of before it may come back. */
  invoke(write: BlockWrite, isDurable: boolean): void {
    if (isDurable) this.#flushes.set(write.id, new Set(this.#openValues()));
    this.#writes.set(write.id, write);
    for (const state of this.#states) state.open = [...state.open, write.id];
    this.#fallback.add(write.value);
    for (const candidates of this.#flushes.values()) candidates.add(write.value);
    this.#possible = null;
  }

  acknowledge(id: number): void {
    this.#become(
      this.#closure().filter((state) => !state.open.includes(id)),
      () => `write ${this.#writes.get(id)?.value} is acknowledged, and cannot have taken effect`,
    );
    this.endFlush(id, true);
    this.#writes.delete(id);
  }

  abandon(id: number): void {
    this.endFlush(id, false);
    if (this.#writes.has(id)) this.#abandoned.add(id);
  }

  beginRead(read: number): void {
    for (const state of this.#states) state.seen.set(read, new Set([state.value]));
  }

  /** Completes a read; null: it failed, or nobody will hear. */
  endRead(read: number, value: number | null): void {
    if (value !== null) {
      this.#become(
        this.#closure().filter((state) => state.seen.get(read)?.has(value)),
        () => `a read returned ${value}, while possible were ${[...this.possible]}`,
      );
    }
    for (const state of this.#states) state.seen.delete(read);
  }

  beginFlush(flush: number): void {
    this.#flushes.set(flush, new Set(this.possible));
  }

  endFlush(flush: number, succeeded: boolean): void {
    const candidates = this.#flushes.get(flush);
    this.#flushes.delete(flush);
    if (succeeded && candidates) this.#fallback = candidates;
  }

  /** From now on what was not flushed may be gone, though zombies of before may still answer. */
  tellLoss(): void {
    this.#become([...this.#states, ...this.#reverted(this.#closure())], () => 'nothing');
  }

  /** An epoch begins: whatever earlier ones left has happened by now or never will. `isLossTold`: what was not flushed may be gone. */
  begin(epoch: number, isLossTold: boolean): void {
    const old = new Set([...this.#writes.values()].filter((write) => write.epoch < epoch).map((write) => write.id));
    const states = this.#closure().map((state) => ({ ...state, open: state.open.filter((id) => !old.has(id)) }));
    const reverted = isLossTold ? this.#reverted(states) : [];
    for (const id of old) {
      this.#writes.delete(id);
      this.#abandoned.delete(id);
    }
    this.#become([...states, ...reverted], () => 'nothing');
  }

  get isBlind(): boolean {
    return this.#isBlind;
  }

  /** Whether a replica that has every acknowledged write may hold it. */
  mayHold(value: number): boolean {
    return this.#isBlind || this.possible.has(value);
  }

  /** Whether it may be what is left of the piece after a power loss. */
  mayBeDurable(value: number): boolean {
    return this.#isBlind || this.#fallback.has(value);
  }

  get possible(): ReadonlySet<number> {
    this.#possible ??= new Set([...this.#states.map((state) => state.value), ...this.#openValues()]);
    return this.#possible;
  }

  get fallback(): ReadonlySet<number> {
    return this.#fallback;
  }

  #reverted(states: readonly State[]): State[] {
    return states.flatMap((state) => [...this.#fallback].map((value) => ({ ...state, value, seen: new Map() })));
  }

  #goBlind(): State[] {
    this.#isBlind = true;
    this.#states = [];
    return [];
  }

  *#openValues(): Iterable<number> {
    for (const state of this.#states) {
      for (const id of state.open) {
        const write = this.#writes.get(id);
        if (write) yield write.value;
      }
    }
  }

  /** With every write that may take effect taking it. The least changed come first, for they dominate the others. */
  #closure(): State[] {
    if (this.#isBlind) return [];
    const groups = new Map<string, State[]>();
    const waiting: State[] = [];
    const isWaiting = new Set<State>();
    const add = (state: State) => {
      const merged = this.#addTo(groups, state);
      if (!merged || isWaiting.has(merged)) return;
      isWaiting.add(merged);
      waiting.push(merged);
    };
    for (const state of [...this.#states].sort((one, other) => other.open.length - one.open.length)) add(copyOf(state));
    for (let index = 0; index < waiting.length; index++) {
      const state = waiting[index];
      if (!state || index > STEPS_MAX) return this.#goBlind();
      isWaiting.delete(state);
      for (const id of state.open) {
        const write = this.#writes.get(id);
        if (write) add(effectOf(state, write));
      }
    }
    return [...groups.values()].flat();
  }

  /**
   * A state that differs from another only by lacking writes of which nobody waits for an answer can do nothing that the other cannot: it is
   * merged into that one. Returns the state whose successors are to be looked at, or null if nothing was new.
   */
  #addTo(groups: Map<string, State[]>, state: State): State | null {
    const key = `${state.value}|${state.open.filter((id) => !this.#abandoned.has(id)).join()}`;
    const group = groups.get(key);
    const dominating = group?.find((other) => state.open.every((id) => other.open.includes(id)));
    if (dominating) return merge(dominating, state) ? dominating : null;
    if (group) group.push(state);
    else groups.set(key, [state]);
    return state;
  }

  #become(states: State[], complaint: () => string): void {
    if (this.#isBlind) return;
    if (states.length === 0) throw new Violation('linearizable', `piece ${this.piece}: ${complaint()}`);
    const groups = new Map<string, State[]>();
    for (const state of [...states].sort((a, b) => b.open.length - a.open.length)) this.#addTo(groups, state);
    this.#states = [...groups.values()].flat();
    this.#possible = null;
  }
}

const copyOf = (state: State): State => ({ ...state, seen: new Map([...state.seen].map(([read, values]) => [read, new Set(values)])) });

function effectOf(state: State, write: BlockWrite): State {
  const seen = new Map([...state.seen].map(([read, values]) => [read, new Set([...values, write.value])]));
  return { value: write.value, open: state.open.filter((id) => id !== write.id), seen };
}

/** True: something was new. */
function merge(into: State, from: State): boolean {
  let isNew = false;
  for (const [read, values] of from.seen) {
    const known = into.seen.get(read) ?? new Set();
    for (const value of values) {
      if (known.has(value)) continue;
      known.add(value);
      isNew = true;
    }
    into.seen.set(read, known);
  }
  return isNew;
}
