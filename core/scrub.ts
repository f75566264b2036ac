/**
 * How far the comparing of a volume's replicas is, as it stands in etcd (`scrubs/<volume>`): for people, and for the next primary to go on from. Pure.
 */
import { demand, Fields, type Parsed, parsedJson } from './parse.ts';

export type ScrubPosition = { shard: number; extent: number };

export type ScrubState = {
  /** Everything before it is compared, shard after shard. */
  position: ScrubPosition;
  startedAtMs: number;
  /** Null: it is under way. */
  endedAtMs: number | null;
  /** Of this run: what differed and was made like the majority's. */
  repairedBlocks: number;
  /** Of this run: what differs, and no majority says how it should be. */
  unresolvedBlocks: number;
};

export const parseScrubState = (text: string): Parsed<ScrubState> => parsedJson(text, 'a scrub', readScrubState);

function readScrubState(input: unknown): ScrubState {
  const fields = new Fields(input, 'scrub', ['position', 'startedAtMs', 'endedAtMs', 'repairedBlocks', 'unresolvedBlocks']);
  const position = new Fields(fields.get('position'), fields.place('position'), ['shard', 'extent']);
  const startedAtMs = fields.whole('startedAtMs', 0);
  const hasEnded = fields.get('endedAtMs') !== null;
  demand(fields.has('endedAtMs'), fields.place('endedAtMs'), 'must be a time or null');
  return {
    position: { shard: position.whole('shard', 0), extent: position.whole('extent', 0) },
    startedAtMs,
    endedAtMs: hasEnded ? fields.whole('endedAtMs', 0) : null,
    repairedBlocks: fields.whole('repairedBlocks', 0),
    unresolvedBlocks: fields.whole('unresolvedBlocks', 0),
  };
}
