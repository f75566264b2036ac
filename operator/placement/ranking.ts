/**
 * All pools, the emptiest first, kept in that order while places are given away: of a thousand nodes the best place is found by looking at a few. Only an order: who
 * may take a replica is for the checks. Changes with its ledger, and must never outlive the pass that it was made in.
 */
import type { NodeName } from '../../core/ids.ts';
import type { PoolReport } from '../../core/machine.ts';
import { fullness, type PlacementLimits, type PlacementNode } from './checks.ts';
import type { Ledger } from './ledger.ts';

/** Pools whose shares are nearer than this count as equally full, so that volumes spread by count and not by a few bytes. */
const SHARE_STEP = 0.05;

const VAIN_MAX = 1_000;

export type NodeReason = { node: NodeName; reason: string };
export type Ranked = { node: PlacementNode; pool: PoolReport; fullness: number; replicas: number };

const step = (share: number): number => Math.floor(share / SHARE_STEP);
const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Negative: `a` is the better place, as far as that does not depend on who asks. */
export function compareRanked(a: Ranked, b: Ranked): number {
  return (
    step(a.fullness) - step(b.fullness) ||
    a.replicas - b.replicas ||
    a.fullness - b.fullness ||
    byName(a.node.node, b.node.node) ||
    byName(a.pool.name, b.pool.name)
  );
}

export class Ranking {
  readonly nodes: readonly PlacementNode[];
  readonly zones = new Set<string>();
  readonly #ledger: Ledger;
  readonly #limits: PlacementLimits;
  readonly #byNode = new Map<NodeName, Ranked[]>();
  readonly #ranked: Ranked[];
  readonly #vain = new Map<string, readonly NodeReason[]>();

  constructor(nodes: readonly PlacementNode[], ledger: Ledger, limits: PlacementLimits) {
    this.nodes = nodes;
    this.#ledger = ledger;
    this.#limits = limits;
    ledger.takeTouched();
    for (const node of nodes) {
      if (node.machine === null) continue;
      this.zones.add(node.machine.zone);
      this.#byNode.set(node.node, this.#rank(node));
    }
    this.#ranked = [...this.#byNode.values()].flat().sort(compareRanked);
  }

  /** As it is now; do not keep it. */
  inOrder(): readonly Ranked[] {
    this.#catchUp();
    return this.#ranked;
  }

  of(node: NodeName): readonly Ranked[] {
    this.#catchUp();
    return this.#byNode.get(node) ?? [];
  }

  /** What came of the very same question, as long as nothing was given away or freed since: of a thousand volumes that fit nowhere most are alike. */
  vain(question: string): readonly NodeReason[] | null {
    this.#catchUp();
    return this.#vain.get(question) ?? null;
  }

  noteVain(question: string, reasons: readonly NodeReason[]): void {
    if (this.#vain.size >= VAIN_MAX) this.#vain.clear();
    this.#vain.set(question, reasons);
  }

  #catchUp(): void {
    const touched = this.#ledger.takeTouched();
    if (touched.length > 0) this.#vain.clear();
    for (const node of touched) this.#place(node);
  }

  #rank(node: PlacementNode): Ranked[] {
    const replicas = this.#ledger.replicas(node.node);
    return (node.machine?.pools ?? []).map((pool) => {
      const around = { limits: this.#limits, ledger: this.#ledger };
      return { node, pool, fullness: fullness(node.node, pool, around), replicas };
    });
  }

  #place(name: NodeName): void {
    const before = this.#byNode.get(name);
    const [first] = before ?? [];
    if (!before || !first) return;
    for (const one of before) this.#ranked.splice(this.#ranked.indexOf(one), 1);
    const after = this.#rank(first.node);
    this.#byNode.set(name, after);
    for (const one of after) this.#ranked.splice(this.#positionOf(one), 0, one);
  }

  #positionOf(one: Ranked): number {
    let [low, high] = [0, this.#ranked.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const there = this.#ranked[middle];
      if (there && compareRanked(there, one) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const rankings = new WeakMap<Ledger, { ranking: Ranking; limits: PlacementLimits }>();

/** One of each ledger: it is told only once what was touched. */
export function rankingOf(nodes: readonly PlacementNode[], ledger: Ledger, limits: PlacementLimits): Ranking {
  const known = rankings.get(ledger);
  if (known && known.ranking.nodes === nodes && known.limits === limits) return known.ranking;
  const ranking = new Ranking(nodes, ledger, limits);
  rankings.set(ledger, { ranking, limits });
  return ranking;
}
