/** What goes wrong, and when: each kind by itself, at random intervals around the one of its option. All of it can be ended at once. */
import type { Settings } from '../../core/settings.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import type { SimOptions } from './options.ts';
import { between, pick, randomFor } from './seeds.ts';
import { Stories } from './stories.ts';
import type { World } from './world.ts';

export class Faults {
  readonly #world: World;
  readonly #random: SeededRandom;
  #isOver = false;

  constructor(world: World, random: SeededRandom) {
    this.#world = world;
    this.#random = random;
    const { faultEveryMs, moveEveryMs, promoteEveryMs, coupEveryMs, memberEveryMs } = world.options;
    const kinds: Record<keyof SimOptions['faultEveryMs'], () => void> = {
      crash: () => this.#crash(),
      powerLoss: () => this.#powerLoss(),
      blackout: () => this.#blackout(),
      pause: () => this.#pause(),
      cut: () => this.#cut(),
      breakLink: () => world.network.breakOne(),
      register: () => this.#cutOff(),
      quorum: () => this.#loseQuorum(),
      full: () => this.#fill(),
      settings: () => this.#changeSettings(),
      wallClock: () => world.jumpWallClock(this.#node(), between(random, -86_400_000, 86_400_000)),
      close: () => this.#close(),
    };
    for (const [kind, act] of Object.entries(kinds)) this.#every(faultEveryMs[kind as keyof typeof kinds], kind, act);
    this.#every(moveEveryMs, 'move', () => this.#move());
    this.#every(promoteEveryMs, 'promote', () => world.leader.promoteAtWill());
    this.#every(coupEveryMs, 'coup', () => this.#coup());
    this.#every(memberEveryMs, 'members', () => world.leader.changeMembers());
    this.#every(world.options.growEveryMs, 'grow', () => world.leader.grow());
    this.#every(world.options.limitEveryMs, 'limits', () => world.leader.changeLimits());
    this.#every(world.options.snapshotEveryMs, 'snapshot', () => world.snapshots.take());
    this.#every(world.options.rotEveryMs, 'rot', () => world.rot?.strike());
    this.#every(world.options.isolateEveryMs, 'isolation', () => this.#isolate());
    const stories = new Stories(world, randomFor(world.options.seed, 'stories'), ([lowMs, highMs], act) =>
      this.#later(lowMs, highMs, 'story', () => (this.#isOver ? undefined : act())),
    );
    this.#every(world.options.halfIsolateEveryMs, 'half isolation', () => stories.halfIsolated());
    this.#every(world.options.orphanEveryMs, 'orphan', () => stories.orphan());
    this.#every(400, 'client leaves', () => pick(random, world.clientsOfVolume())?.disconnect());
  }

  /** From here on everything works, and what was broken is mended. */
  end(): void {
    this.#isOver = true;
    const { network, register } = this.#world;
    for (const node of this.#world.nodes()) {
      this.#world.resume(node);
      this.#world.start(node);
      register.reconnect(node);
    }
    network.healAll();
    register.endFaults();
    this.#world.rot?.end();
    for (const node of this.#world.nodes()) this.#world.setFull(node, false);
  }

  #every(intervalMs: number, label: string, act: () => void): void {
    if (intervalMs === 0) return;
    this.#world.schedule.after(between(this.#random, 0, 2 * intervalMs), label, () => {
      if (this.#isOver) return;
      this.#world.tally.count(label);
      act();
      this.#every(intervalMs, label, act);
    });
  }

  /** Later, unless faults have ended by then. */
  #later(lowMs: number, highMs: number, label: string, act: () => void): void {
    this.#world.schedule.after(between(this.#random, lowMs, highMs), label, act);
  }

  #node(): string {
    return pick(this.#random, this.#world.nodes()) ?? '';
  }

  #crash(): void {
    const node = this.#node();
    this.#world.crash(node);
    this.#later(10, this.#random.chance(0.7) ? 400 : 5_000, 'start', () => this.#world.start(node));
  }

  #powerLoss(): void {
    const node = this.#node();
    this.#world.losePower(node);
    this.#later(50, this.#random.chance(0.6) ? 500 : 5_000, 'boot', () => this.#world.start(node));
  }

  /** The whole place at once. */
  #blackout(): void {
    for (const node of this.#world.nodes()) {
      if (this.#random.chance(0.1)) continue;
      this.#world.losePower(node);
      this.#later(50, 1_500, 'boot', () => this.#world.start(node));
    }
  }

  #pause(): void {
    const node = this.#node();
    this.#world.pause(node);
    this.#later(20, this.#random.chance(0.5) ? 300 : 5_000, 'resume', () => this.#world.resume(node));
  }

  /** What it was about to answer it may answer when it goes on: before its leases have run out, as far as it knows. */
  #coup(): void {
    const node = this.#world.register.config.primary?.node;
    if (!node) return;
    this.#world.pause(node);
    this.#promoteOver(node);
    this.#later(100, this.#random.chance(0.5) ? 400 : 1_200, 'resume', () => this.#world.resume(node));
  }

  /** It goes on with its clients and with the replica beside it, and hears of nothing. */
  #isolate(): void {
    const { network, register } = this.#world;
    const node = register.config.primary?.node;
    if (!node) return;
    const ways = this.#world
      .nodes()
      .filter((other) => other !== node)
      .flatMap((other): [string, string][] => [
        [node, other],
        [other, node],
      ]);
    for (const [from, to] of ways) network.cut(from, to);
    register.cutOff(node);
    this.#promoteOver(node);
    this.#later(500, 5_000, 'rejoin', () => {
      for (const [from, to] of ways) network.heal(from, to);
      register.reconnect(node);
    });
  }

  /** Another one is promoted while it takes itself for the primary, and most of its clients leave. */
  #promoteOver(node: string): void {
    const members = this.#world.register.config.shards.flatMap((shard) => shard.members);
    const other = pick(this.#random, members)?.node ?? node;
    if (other !== node && this.#random.chance(0.5)) {
      // One that restarts has forgotten what it granted.
      this.#world.crash(other);
      this.#world.start(other);
    }
    this.#world.leader.promoteElsewhere();
    for (const client of this.#world.clientsOfVolume().slice(1)) client.disconnect();
  }

  #cut(): void {
    const { network } = this.#world;
    const [one, other] = [this.#node(), this.#node()];
    if (one === other) return;
    const ways: [string, string][] = this.#random.chance(0.4)
      ? [[one, other]]
      : [
          [one, other],
          [other, one],
        ];
    for (const [from, to] of ways) network.cut(from, to);
    this.#later(50, this.#random.chance(0.5) ? 600 : 6_000, 'heal', () => {
      for (const [from, to] of ways) network.heal(from, to);
    });
  }

  #cutOff(): void {
    const node = this.#node();
    this.#world.register.cutOff(node);
    this.#later(100, 4_000, 'reconnect', () => this.#world.register.reconnect(node));
  }

  #loseQuorum(): void {
    this.#world.register.loseQuorum();
    this.#later(100, 4_000, 'quorum', () => this.#world.register.findQuorum());
  }

  #fill(): void {
    const node = this.#node();
    this.#world.setFull(node, true);
    this.#later(100, 3_000, 'space', () => this.#world.setFull(node, false));
  }

  /** Each agent hears of it in its own time. Leases grow and shrink with it. */
  #changeSettings(): void {
    const random = this.#random;
    const { settings } = this.#world;
    const replicaTimeoutMs = random.chance(0.5) ? 500 : 1_000;
    const next: Settings = {
      ...settings,
      leaseMs: pick(random, [0, 200, 400, 800]) ?? settings.leaseMs,
      replicaTimeoutMs,
      ioTimeoutMs: random.chance(0.5) ? 0 : 3 * replicaTimeoutMs,
    };
    this.#world.changeSettings(next);
  }

  /** As for an upgrade: the agent lets go, closes its replicas and starts anew. */
  #close(): void {
    const node = this.#node();
    this.#world.shutDown(node);
    this.#later(2_000, 4_000, 'start', () => {
      this.#world.crash(node);
      this.#world.start(node);
    });
  }

  #move(): void {
    const { leader } = this.#world;
    leader.want = this.#random.chance(0.2) ? null : this.#node();
  }
}
