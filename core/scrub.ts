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
  /** Where that is: the first SCRUB_EXTENTS_TOLD_MAX. */
  unresolvedExtents?: ScrubPosition[];
};

export const SCRUB_EXTENTS_TOLD_MAX = 16;

export const parseScrubState = (text: string): Parsed<ScrubState> => parsedJson(text, 'a scrub', readScrubState);

function readScrubState(input: unknown): ScrubState {
  const fields = new Fields(input, 'scrub', [
    'position',
    'startedAtMs',
    'endedAtMs',
    'repairedBlocks',
    'unresolvedBlocks',
    'unresolvedExtents',
  ]);
  const startedAtMs = fields.whole('startedAtMs', 0);
  const hasEnded = fields.get('endedAtMs') !== null;
  demand(fields.has('endedAtMs'), fields.place('endedAtMs'), 'must be a time or null');
  return {
    position: readPosition(fields.get('position'), fields.place('position')),
    startedAtMs,
    endedAtMs: hasEnded ? fields.whole('endedAtMs', 0) : null,
    repairedBlocks: fields.whole('repairedBlocks', 0),
    unresolvedBlocks: fields.whole('unresolvedBlocks', 0),
    ...(fields.has('unresolvedExtents')
      ? { unresolvedExtents: fields.list('unresolvedExtents', 0, SCRUB_EXTENTS_TOLD_MAX, readPosition) }
      : {}),
  };
}

function readPosition(input: unknown, where: string): ScrubPosition {
  const fields = new Fields(input, where, ['shard', 'extent']);
  return { shard: fields.whole('shard', 0), extent: fields.whole('extent', 0) };
}
