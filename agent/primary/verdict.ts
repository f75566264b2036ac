/** What to make of the digests that all in-sync replicas gave of one extent: by whom to repair whom, block by block. Pure. */
import { digestOf, ZERO_DIGEST } from './difference.ts';

/** `good`: one of more than half that agree; `bad`: all that differ from it. By index. */
export type Repair = { block: number; good: number; bad: readonly number[]; isZero: boolean };

export type Verdict = {
  repairs: readonly Repair[];
  /** Blocks on which no majority agrees. Nobody guesses. */
  unresolved: readonly number[];
};

/** `digests`: of each replica, in the same order; null where all is zeroes. */
export function judge(digests: readonly (Buffer | null)[], blocks: number): Verdict {
  const repairs: Repair[] = [];
  const unresolved: number[] = [];
  for (let block = 0; block < blocks; block++) {
    const each = digests.map((ofReplica) => digestOf(ofReplica, block));
    if (each.every((digest) => digest.equals(each[0] ?? ZERO_DIGEST))) continue;
    const good = each.findIndex((digest) => each.filter((other) => other.equals(digest)).length * 2 > each.length);
    const majority = each[good];
    if (majority === undefined) unresolved.push(block);
    else {
      const bad = each.flatMap((digest, index) => (digest.equals(majority) ? [] : [index]));
      repairs.push({ block, good, bad, isZero: majority.equals(ZERO_DIGEST) });
    }
  }
  return { repairs, unresolved };
}

export const isEqual = (digests: readonly (Buffer | null)[], blocks: number): boolean => {
  const { repairs, unresolved } = judge(digests, blocks);
  return repairs.length === 0 && unresolved.length === 0;
};
