/**
 * Which faults a run has, and when: a list made of the seed alone, so that it can be printed, repeated and read beside a violation. Does nothing itself.
 */
import type { SeededRandom } from '../support/seededRandom.ts';

/** Where: a node, or whichever serves the volume when it comes to it. */
export type Victim = number | 'primary';

export type Fault =
  | { kind: 'kill' | 'stop'; victim: Victim; ms: number }
  | { kind: 'cut' | 'cutBoth'; victim: Victim; other: number; ms: number }
  | { kind: 'deaf' | 'mute' | 'noEtcd'; victim: Victim; ms: number }
  | { kind: 'move' | 'zombie' | 'deafZombie' | 'coup' | 'isolated' | 'halfWritten'; volume: number; to: number; ms: number }
  | { kind: 'etcdKill' | 'etcdStop' | 'operatorKill' | 'operatorStop' | 'apiKill' | 'apiStop' | 'fullDisk'; ms: number };

/** Faults that begin together, at random distances; then peace. */
export type Episode = { faults: { afterMs: number; fault: Fault }[]; peaceMs: number };

export type Kind = Fault['kind'];

export type Weights = Partial<Record<Kind, number>>;

/** How often each comes. A zombie is what most rules of the protocol are there for. */
const WEIGHTS: Weights = {
  zombie: 3,
  deafZombie: 4,
  isolated: 3,
  halfWritten: 3,
  kill: 5,
  coup: 3,
  stop: 3,
  cut: 3,
  move: 3,
  deaf: 2,
  mute: 2,
  cutBoth: 2,
  noEtcd: 2,
  etcdKill: 1,
  etcdStop: 1,
  operatorKill: 1,
};

const TOGETHER_WITHIN_MS = 1_500;
const PEACE_MS = { min: 500, spread: 2_500 };
const LASTS_MS = { min: 200, spread: 4_800 };

export type Sizes = { nodes: number; volumes: number };
/** `weights`: left out, those of the histories. */
export type Wanted = Sizes & { durationMs: number; together: number; kinds: readonly Kind[]; weights?: Weights };

export const KINDS = Object.keys(WEIGHTS);
export const isKind = (name: string): name is Kind => KINDS.includes(name);

/** `kinds`: only these; empty: all. `together`: so many at once, at most. */
export function episodes(random: SeededRandom, { durationMs, together, kinds, weights = WEIGHTS, ...sizes }: Wanted): Episode[] {
  const made: Episode[] = [];
  for (let sumMs = 0; sumMs < durationMs; ) {
    const faults = Array.from({ length: 1 + random.below(together) }, () => ({
      afterMs: random.below(TOGETHER_WITHIN_MS),
      fault: faultOf(random, kindOf(random, kinds, weights), sizes),
    }));
    const peaceMs = PEACE_MS.min + random.below(PEACE_MS.spread);
    made.push({ faults, peaceMs });
    sumMs += peaceMs + Math.max(...faults.map(({ afterMs, fault }) => afterMs + fault.ms));
  }
  return made;
}

export function describeFault(fault: Fault): string {
  const { kind, ms, ...rest } = fault;
  const where = Object.entries(rest).map(([name, value]) => `${name}=${value}`);
  return [kind, ...where, `${ms}ms`].join(' ');
}

function kindOf(random: SeededRandom, kinds: readonly Kind[], weights: Weights): Kind {
  // Each kind as often as it weighs.
  const wanted = (Object.entries(weights) as [Kind, number][]).filter(([kind]) => kinds.length === 0 || kinds.includes(kind));
  const all = wanted.flatMap(([kind, weight]) => Array.from({ length: weight }, () => kind));
  return all[random.below(all.length)] ?? 'kill';
}

function faultOf(random: SeededRandom, kind: Kind, { nodes, volumes }: Sizes): Fault {
  const ms = LASTS_MS.min + random.below(LASTS_MS.spread);
  const victim: Victim = random.chance(0.5) ? 'primary' : random.below(nodes);
  switch (kind) {
    case 'kill':
    case 'stop':
    case 'deaf':
    case 'mute':
    case 'noEtcd':
      return { kind, victim, ms };
    case 'cut':
    case 'cutBoth':
      return { kind, victim, other: random.below(nodes), ms };
    case 'move':
    case 'zombie':
    case 'deafZombie':
    case 'coup':
    case 'isolated':
    case 'halfWritten':
      return { kind, volume: random.below(volumes), to: random.below(nodes), ms };
    case 'etcdKill':
    case 'etcdStop':
    case 'operatorKill':
    case 'operatorStop':
    case 'apiKill':
    case 'apiStop':
    case 'fullDisk':
      return { kind, ms };
  }
}
