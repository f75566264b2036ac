/**
 * Which places of which of our source files have run, asked of V8 itself (precise block coverage by its inspector, in this thread): that is the feedback by
 * which the fuzzer keeps an input. A place is a character of a file; its blocks cannot be named, because V8 joins those that ran equally often. Must never
 * count the fuzzer's own code.
 */
import { Session } from 'node:inspector';

type Range = { startOffset: number; endOffset: number; count: number };
type Script = { url: string; functions: { ranges: Range[] }[] };

/** No file of ours is as long. */
const FILE_CHARACTERS_MAX = 2 ** 20;

/**
 * V8's own count, one for the thread. It stays on from the first use: functions that are compiled while it is off are not counted block by block when it
 * is on again.
 */
let profiler: Session | null = null;

function ask(method: string, parameters: object = {}): unknown {
  let answer: unknown = null;
  // Within one thread the answer comes before the call returns.
  profiler?.post(method, parameters, (error, result) => {
    if (error) throw error;
    answer = result;
  });
  return answer;
}

/** For whoever goes on in this process with other work: counting makes all of it slower. */
export function stopCounting(): void {
  ask('Profiler.stopPreciseCoverage');
  profiler?.disconnect();
  profiler = null;
}

export class Coverage {
  readonly #sources: RegExp;
  /** Of each file, its number, and which of its places have ever run. */
  readonly #files = new Map<string, { number: number; seen: Uint8Array }>();
  #places = 0;

  /** `sources`: matched against a file's URL. */
  constructor(sources: RegExp) {
    this.#sources = sources;
    if (profiler !== null) return;
    profiler = new Session();
    profiler.connect();
    ask('Profiler.enable');
    ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** That have ever run. */
  get places(): number {
    return this.#places;
  }

  /** The places that have run since the last call of this or `take`, and never before. */
  takeNew(): Set<number> {
    const fresh = new Set<number>();
    this.#each((number, seen, ran) => {
      for (let offset = 0; offset < ran.length; offset++) {
        if (ran[offset] === 0 || seen[offset] === 1) continue;
        seen[offset] = 1;
        fresh.add(number * FILE_CHARACTERS_MAX + offset);
      }
    });
    this.#places += fresh.size;
    return fresh;
  }

  /** Of these places, those that have run since the last call. */
  take(places: ReadonlySet<number>): number[] {
    const reached: number[] = [];
    this.#each((number, _seen, ran) => {
      for (const place of places) {
        if (Math.floor(place / FILE_CHARACTERS_MAX) === number && ran[place % FILE_CHARACTERS_MAX] === 1) reached.push(place);
      }
    });
    return reached;
  }

  #each(visit: (number: number, seen: Uint8Array, ran: Uint8Array) => void): void {
    const { result } = ask('Profiler.takePreciseCoverage') as { result: Script[] };
    for (const { url, functions } of result) {
      if (!this.#sources.test(url)) continue;
      const { number, seen } = this.#fileOf(url);
      visit(number, seen, ranIn(functions));
    }
  }

  #fileOf(url: string): { number: number; seen: Uint8Array } {
    const known = this.#files.get(url) ?? { number: this.#files.size, seen: new Uint8Array(FILE_CHARACTERS_MAX) };
    this.#files.set(url, known);
    return known;
  }
}

/** Character by character. Ranges come outer before inner, functions before those within: the last one that covers a character says whether it ran. */
function ranIn(functions: Script['functions']): Uint8Array {
  const ranges = functions.flatMap((each) => each.ranges);
  const ran = new Uint8Array(ranges.reduce((end, range) => Math.max(end, range.endOffset), 0));
  for (const { startOffset, endOffset, count } of ranges) ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  return ran;
}
