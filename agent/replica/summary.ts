/**
 * Digests of whole runs of extents, by which a scrub finds in one answer that nothing differs. Worked off one extent at a time, between everything else that
 * a session does: must never keep it for longer than one extent takes to read.
 */
import { EXTENT_BYTES, extentLength } from '../../core/extent.ts';
import { threadBlocks } from '../../core/wire/blockPool.ts';
import { IoError, type ReplicaStore } from '../ports.ts';
import { SummaryDigest } from './digest.ts';

/** Runs `work` when everything else that waits has had its turn. */
export type NextTurn = (work: () => void) => void;

type Run = { id: number; next: number; end: number; digest: SummaryDigest };

export type SummariesOptions = {
  store: ReplicaStore;
  /** Null: each step comes from outside. */
  nextTurn: NextTurn | null;
  answer: (id: number, digest: Buffer) => void;
  failed: (error: IoError) => void;
};

export class Summaries {
  readonly #options: SummariesOptions;
  #runs: Run[] = [];
  #isAwaited = false;

  constructor(options: SummariesOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#runs.length;
  }

  /** `key`: as SummaryDigest wants it. */
  add(id: number, extent: number, extents: number, key: string): void {
    this.#runs.push({ id, next: extent, end: extent + extents, digest: new SummaryDigest(key) });
    this.#await();
  }

  stop(): void {
    this.#runs = [];
  }

  /** One extent of the run that came first. */
  step(): void {
    const [run] = this.#runs;
    if (!run) return;
    try {
      if (run.next < run.end) this.#take(run.next++, run.digest);
    } catch (error) {
      if (!(error instanceof IoError)) throw error;
      return this.#options.failed(error);
    }
    if (run.next >= run.end) {
      this.#runs.shift();
      this.#options.answer(run.id, run.digest.digest());
    }
    this.#await();
  }

  #await(): void {
    const { nextTurn } = this.#options;
    if (!nextTurn || this.#isAwaited || this.#runs.length === 0) return;
    this.#isAwaited = true;
    nextTurn(() => {
      this.#isAwaited = false;
      this.step();
    });
  }

  #take(extent: number, digest: SummaryDigest): void {
    const { store } = this.#options;
    const lengthBytes = extentLength(extent, store.meta.sizeBytes);
    if (!store.mayHaveData(extent)) return digest.addZeroes(lengthBytes);
    const data = store.read(extent * EXTENT_BYTES, lengthBytes);
    digest.add(data);
    threadBlocks.give([data]);
  }
}
