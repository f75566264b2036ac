/**
 * Faults in an order that they hardly ever take by chance: each story is the worst case of a rule or two, and leaves its times to chance. One at a time. Must
 * never look at more than anybody could from outside: the config, who runs, whose socket is open.
 */
import type { SeededRandom } from '../support/seededRandom.ts';
import { pick } from './seeds.ts';
import type { World } from './world.ts';

const LOOK_MS = 5;
const LOOKS_MAX = 800;
/** Of a dead machine: longer than all that waits for it. */
const LONG_MS: readonly [number, number] = [5_000, 9_000];

type Way = readonly [from: string, to: string];

const bothWays = (one: string, other: string): Way[] => [
  [one, other],
  [other, one],
];

export class Stories {
  readonly #world: World;
  readonly #random: SeededRandom;
  /** Runs `act` later, unless faults are over by then: their end heals all. */
  readonly #then: (range: readonly [number, number], act: () => void) => void;
  #isBusy = false;

  constructor(world: World, random: SeededRandom, then: (range: readonly [number, number], act: () => void) => void) {
    this.#world = world;
    this.#random = random;
    this.#then = then;
  }

  /**
   * The primary hears one shard's replicas only, till all other leases have run out; then another one is promoted, which hears of the rest only. What keeps the
   * first from answering is that it needs the leases of all shards, and what keeps the other from serving too early is that it waits for those of all.
   */
  halfIsolated(): void {
    const { register, leader, options } = this.#world;
    const { primary, shards } = register.config;
    if (this.#isBusy || !primary || shards.length < 2) return;
    this.#isBusy = true;
    const { node } = primary;
    // What it could still answer it reads beside itself.
    const kept = pick(
      this.#random,
      shards.filter(({ members }) => members.some((member) => member.node === node)),
    );
    const near = new Set(kept?.members.map((member) => member.node));
    const ways = this.#others(node).flatMap((other) => (near.has(other) ? [] : bothWays(node, other)));
    this.#cut(ways, node);
    const { leaseMs } = options.settings;
    this.#then([1.1 * leaseMs, 1.6 * leaseMs], () => {
      leader.promoteElsewhere();
      for (const client of this.#world.clientsOfVolume().slice(1)) client.disconnect();
      this.#then([500, 2 * leaseMs], () => this.#mend(ways, node));
    });
  }

  /**
   * A learner is brought up by a primary that dies for long with the replica beside it, and had not reached the other one that is in sync: what the learner copied
   * then, nobody else has.
   */
  orphan(): void {
    const { config } = this.#world.register;
    const shard = pick(this.#random, config.shards);
    const node = config.primary?.node;
    if (this.#isBusy || !node || !shard?.members.some((member) => member.node === node)) return;
    const others = shard.members
      .filter((member) => member.node !== node && this.#world.isRunning(member.node))
      .map((member) => member.node);
    const learner = pick(this.#random, others);
    const survivor = others.find((other) => other !== learner);
    if (!learner || !survivor) return;
    this.#isBusy = true;
    this.#world.crash(learner);
    const ways = this.#random.chance(0.5) ? bothWays(node, survivor) : bothWays(node, survivor).slice(0, 1);
    this.#then([300, 900], () => {
      this.#cut(ways, node);
      if (this.#random.chance(0.5)) this.#then([20, 400], () => this.#dieWith(node, { learner, survivor }, ways));
      else this.#then([20, 300], () => this.#promotedAgain(node, learner, ways, () => this.#dieWith(node, { learner, survivor }, ways)));
    });
  }

  /** It is killed and comes back as the primary; what only it has is to be levelled then, and is not. */
  #promotedAgain(node: string, learner: string, ways: readonly Way[], then: () => void): void {
    const world = this.#world;
    const { epoch } = world.register.config;
    world.crash(node);
    this.#heal(ways, node);
    world.leader.want = node;
    world.start(node);
    // It is there when the epoch begins, or comes a little later: what it was sent and what it copied is another each time.
    this.#then([0, 2_000], () => world.start(learner));
    const waitsForLess = this.#random.chance(0.5);
    const look = (left: number) => {
      const { config } = world.register;
      if (left === 0 || (config.primary && config.primary.node !== node)) return this.#mend(ways, node);
      const hasBegun = config.epoch > epoch && (waitsForLess || world.servingOn(node)?.isOpen);
      if (!hasBegun) return this.#then([LOOK_MS, LOOK_MS], () => look(left - 1));
      this.#then([0, 60], () => {
        this.#cut(ways, node);
        then();
      });
    };
    look(LOOKS_MAX);
  }

  #dieWith(node: string, { learner, survivor }: { learner: string; survivor: string }, ways: readonly Way[]): void {
    this.#world.start(learner);
    this.#then([400, 2_500], () => {
      this.#world.crash(node);
      this.#world.leader.want = survivor;
      this.#mend(ways, node);
      this.#then(LONG_MS, () => this.#world.start(node));
    });
  }

  #others(node: string): string[] {
    return this.#world.nodes().filter((other) => other !== node);
  }

  /** The node from etcd, too. */
  #cut(ways: readonly Way[], node: string): void {
    for (const [from, to] of ways) this.#world.network.cut(from, to);
    this.#world.register.cutOff(node);
  }

  #heal(ways: readonly Way[], node: string): void {
    for (const [from, to] of ways) this.#world.network.heal(from, to);
    this.#world.register.reconnect(node);
  }

  /** The end of a story. */
  #mend(ways: readonly Way[], node: string): void {
    this.#heal(ways, node);
    this.#then([3_000, 5_000], () => {
      this.#isBusy = false;
    });
  }
}
