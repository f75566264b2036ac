/**
 * Which replicas should lie elsewhere: a pure function of (observed, what was being done). Few moves at a time, and only such as make the whole more even, so that
 * no move is ever undone by another:
 *
 *   pressure   away from pools whose file systems are nearly full, to where that is not so after it either
 *   spread     from the pool of which most is promised to the one of which least is, as long as it is not the fuller one afterwards: the sum over all pools of
 *              promised² / usable falls with each
 *
 *   even --some pool is SPREAD_BEGIN from the mean--> spreading --all pools are within SPREAD_END, or nothing helps--> even
 */
import type { ObservedVolume } from '../observe/observed.ts';
import { isPressed, relievedShare } from '../placement/checks.ts';
import type { World } from '../volume/decision.ts';
import { type Candidate, candidatesByPool, canGo, situationOf } from './candidates.ts';
import { fullnessOf, isEligible, type Loads, loadsOf, type PoolLoad, poolKey, project, shareOf, shift, usedShareOf } from './loads.ts';
import type { Move, MoveReason } from './move.ts';

/** off: never. pressure: only away from pools that are nearly full. */
export type Rebalance = 'on' | 'off' | 'pressure';

/** In shares of what may be filled: one pool that is so far from the mean begins it, and all must be so near to end it. */
export const SPREAD_BEGIN = 0.15;
export const SPREAD_END = 0.05;
/** Beside them as many replacements of lost replicas as before have room (REPLACEMENTS_MAX). */
export const MOVES_MAX = 4;
/** Of a candidate with a place, in one planning: where hardly anything fits, the next planning goes on with another world. */
const TRIES_MAX = 20_000;

/** What was being done at the last planning: for patience only, a new leader begins without it. */
export type Balancing = { isSpreading: boolean; pressed: ReadonlySet<string> };
export const notBalancing: Balancing = { isSpreading: false, pressed: new Set() };

export type Plan = { moves: Move[]; balancing: Balancing };

type Planning = {
  world: World;
  loads: Loads;
  candidates: Map<string, Candidate[]>;
  moves: Move[];
  left: number;
  triesLeft: number;
};

const keyOf = ({ node, pool }: PoolLoad): string => poolKey(node.node, pool.name);
const percent = (share: number): string => `${Math.round(100 * share)} %`;

function meansOf(loads: readonly PoolLoad[]): Map<string, number> {
  const sums = new Map<string, { promised: number; usable: number }>();
  for (const { group, promisedBytes, usableBytes } of loads) {
    const sum = sums.get(group) ?? { promised: 0, usable: 0 };
    sums.set(group, { promised: sum.promised + promisedBytes, usable: sum.usable + usableBytes });
  }
  return new Map([...sums].map(([group, { promised, usable }]) => [group, promised / Math.max(1, usable)]));
}

/** How far from the mean: what is promised may be too much, what is promised or filled too little. */
const distance = (load: PoolLoad, mean: number): number => Math.max(shareOf(load) - mean, mean - fullnessOf(load));

/** How far the pool that is farthest from the mean of its like is. */
export function widestSpread(loads: readonly PoolLoad[]): number {
  const means = meansOf(loads);
  return loads.reduce((widest, load) => Math.max(widest, distance(load, means.get(load.group) ?? 0)), 0);
}

function record(planning: Planning, candidate: Candidate, from: PoolLoad, to: PoolLoad, why: MoveReason, trouble: string): void {
  const { volume, index, member, sizeBytes } = candidate;
  const usedBytes = sizeBytes * from.usedRatio;
  shift(from, -sizeBytes, -usedBytes);
  shift(to, sizeBytes, usedBytes);
  planning.world.ledger.reserve(to.node.node, to.pool.name, sizeBytes);
  planning.left--;
  for (const [key, list] of planning.candidates) {
    // One move of a volume at a time.
    if (list.some((other) => other.volume === volume))
      planning.candidates.set(
        key,
        list.filter((other) => other.volume !== volume),
      );
  }
  const { node: toNode, pool } = to;
  planning.moves.push({
    uid: volume.uid,
    shard: index,
    replica: member.replica,
    from: member.node,
    to: toNode.node,
    pool: pool.name,
    sizeBytes,
    why,
    trouble,
  });
}

/** The first that fits, of candidates and places in their orders. `fits`: whether it would do good. */
function firstMove(
  planning: Planning,
  ordered: readonly Candidate[],
  targets: readonly PoolLoad[],
  fits: (candidate: Candidate, to: PoolLoad) => boolean,
): { candidate: Candidate; to: PoolLoad } | null {
  for (const candidate of ordered) {
    const situation = situationOf(candidate, planning.world);
    for (const to of targets) {
      if (planning.triesLeft-- <= 0) return null;
      if (fits(candidate, to) && canGo(candidate, to, situation, planning.loads, planning.world)) return { candidate, to };
    }
  }
  return null;
}

/** Those that are just enough first, the smaller the better; then the largest of those that are not. */
const byNeed =
  (neededBytes: number, bytesOf: (candidate: Candidate) => number) =>
  (a: Candidate, b: Candidate): number => {
    const [x, y] = [bytesOf(a), bytesOf(b)];
    if (x >= neededBytes !== y >= neededBytes) return x >= neededBytes ? -1 : 1;
    return x >= neededBytes ? x - y : y - x;
  };

function relieve(planning: Planning, from: PoolLoad): boolean {
  const { world } = planning;
  const most = relievedShare(world.limits);
  const excessBytes = from.usedBytes - from.pool.capacityBytes * most;
  const usedOf = ({ sizeBytes }: Candidate): number => sizeBytes * from.usedRatio;
  const ordered = [...(planning.candidates.get(keyOf(from)) ?? [])].sort(byNeed(excessBytes, usedOf));
  const targets = [...planning.loads.values()]
    .filter((load) => load !== from && load.group === from.group && isEligible(load, world))
    .sort((a, b) => usedShareOf(a) - usedShareOf(b) || shareOf(a) - shareOf(b));
  const found = firstMove(planning, ordered, targets, (candidate, to) => usedShareOf(to, usedOf(candidate)) <= most);
  if (!found) return false;
  const trouble = `pool ${from.pool.name} of ${from.node.node} is nearly full: ${percent(from.pool.usedBytes / from.pool.capacityBytes)} of it is used`;
  record(planning, found.candidate, from, found.to, 'pressure', trouble);
  return true;
}

/** The fullest first; what cannot be helped is left as it is. */
function relieveAll(planning: Planning, pressed: readonly PoolLoad[]): void {
  const most = relievedShare(planning.world.limits);
  for (const from of [...pressed].sort((a, b) => usedShareOf(b) - usedShareOf(a))) {
    while (planning.left > 0 && usedShareOf(from) > most && relieve(planning, from));
  }
}

/** From `from` to the emptiest that helps: never so much that it is the fuller one then. */
function level(planning: Planning, from: PoolLoad, targets: readonly PoolLoad[], mean: number): boolean {
  const isFar = (load: PoolLoad): boolean => distance(load, mean) > SPREAD_END;
  const most = relievedShare(planning.world.limits);
  for (const to of targets) {
    if (planning.triesLeft-- <= 0) return false;
    if (fullnessOf(to) >= shareOf(from) || !(isFar(from) || isFar(to))) return false;
    const neededBytes = Math.min(from.promisedBytes - mean * from.usableBytes, (mean - fullnessOf(to)) * to.usableBytes);
    // The largest that overshoots neither, then the smallest of the others: as few moves as can be, and no byte too many.
    const ordered = [...(planning.candidates.get(keyOf(from)) ?? [])].sort((a, b) => {
      const [isSmallA, isSmallB] = [a.sizeBytes <= neededBytes, b.sizeBytes <= neededBytes];
      if (isSmallA !== isSmallB) return isSmallA ? -1 : 1;
      return isSmallA ? b.sizeBytes - a.sizeBytes : a.sizeBytes - b.sizeBytes;
    });
    const fits = ({ sizeBytes }: Candidate): boolean =>
      fullnessOf(to, sizeBytes, sizeBytes * from.usedRatio) <= shareOf(from, -sizeBytes) &&
      usedShareOf(to, sizeBytes * from.usedRatio) <= most;
    const found = firstMove(planning, ordered, [to], fits);
    if (!found) continue;
    const trouble = `${percent(shareOf(from))} of pool ${from.pool.name} of ${from.node.node} is promised, in the mean ${percent(mean)}`;
    record(planning, found.candidate, from, to, 'spread', trouble);
    return true;
  }
  return false;
}

/** One move of a group of pools that are alike. */
function levelGroup(planning: Planning, group: readonly PoolLoad[], mean: number): boolean {
  const byShare = [...group].sort((a, b) => shareOf(b) - shareOf(a));
  const targets = [...group].sort((a, b) => fullnessOf(a) - fullnessOf(b));
  return byShare.some((from) => shareOf(from) > mean && level(planning, from, targets, mean));
}

function levelAll(planning: Planning): void {
  const eligible = [...planning.loads.values()].filter((load) => isEligible(load, planning.world));
  const means = meansOf(eligible);
  for (const [group, loads] of Map.groupBy(eligible, (load) => load.group)) {
    while (planning.left > 0 && planning.triesLeft > 0 && levelGroup(planning, loads, means.get(group) ?? 0));
  }
}

/** More nodes away than one in so many is an outage: moving anything then would only add to it. */
const OUTAGE_SHARE = 3;

/** Somebody is at it already, or too much is missing to say what even would be. */
export const mustStandDown = ({ nodes }: Pick<World, 'nodes'>): boolean =>
  nodes.some(({ spec, isRemoved }) => spec?.evict || spec?.maintenance || isRemoved) ||
  nodes.filter(({ machine }) => machine === null).length * OUTAGE_SHARE > nodes.length;

/** Of all volumes, in any order. Leaves `world` as it was. */
export function balance(volumes: readonly ObservedVolume[], world: World, before: Balancing, mode: Rebalance): Plan {
  if (mode === 'off') return { moves: [], balancing: notBalancing };
  const loads = loadsOf(world);
  const all = [...loads.values()];
  const isHot = ({ pool }: PoolLoad): boolean => pool.usedBytes > pool.capacityBytes * relievedShare(world.limits);
  const pressed = all.filter((load) => isPressed(load.pool, world.limits) || (before.pressed.has(keyOf(load)) && isHot(load)));
  const eligible = all.filter((load) => isEligible(load, world));
  const maySpread = mode === 'on' && !mustStandDown(world);
  const isSpreading = maySpread && widestSpread(eligible) > (before.isSpreading ? SPREAD_END : SPREAD_BEGIN);
  const balancing = { isSpreading, pressed: new Set(pressed.map(keyOf)) };
  if (pressed.length === 0 && !isSpreading) return { moves: [], balancing };

  const underWay = project(volumes, loads, world);
  const left = Math.min(MOVES_MAX - underWay, world.replacements.left);
  if (left <= 0) return { moves: [], balancing };
  const means = meansOf(eligible);
  const sources = [...pressed, ...(isSpreading ? eligible.filter((load) => shareOf(load) > (means.get(load.group) ?? 0)) : [])];
  const candidates = candidatesByPool(volumes, new Set(sources.map(keyOf)), world);
  const planning: Planning = { world, loads, candidates, moves: [], left, triesLeft: TRIES_MAX };
  relieveAll(planning, pressed);
  if (isSpreading) levelAll(planning);
  for (const { to, pool, sizeBytes } of planning.moves) world.ledger.release(to, pool, sizeBytes);
  return { moves: planning.moves, balancing };
}
