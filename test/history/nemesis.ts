/**
 * Does the faults to a cluster, each of them undone after its time, and all of them at the end. Notes what it did for the history. An agent that ends
 * without having been killed is told as a crash, and started again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { API_SERVER, agentProcess, etcdProcess, operatorProcess, type ProcessName } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { describeFault, type Episode, type Fault, type Victim } from './faults.ts';
import type { Recorder } from './recorder.ts';
import type { HistoryVolume, HistoryWorld } from './world.ts';

const SERVED_BOUND_MS = 20_000;
const ATTACH_BOUND_MS = 20_000;
const ATTACH_AGAIN_MS = 300;
const LOOK_MS = 200;
const DEAF_AFTER_MS = 700;
/** Shorter than a replica may be silent. */
const HALF_WRITTEN_MS = 700;
const AGENT_READY_BOUND_MS = 30_000;

/** Fills a disk, and empties it again when that is over. */
export type Fill = (meanwhile: () => Promise<unknown>) => Promise<unknown>;

export class Nemesis {
  readonly #world: HistoryWorld;
  readonly #volumes: readonly HistoryVolume[];
  readonly #recorder: Recorder;
  readonly #say: (line: string) => void;
  readonly #attachedTo: string[];
  /** Who is down because we killed it, and how often: two faults may meet. */
  readonly #killed = new Map<ProcessName, number>();
  readonly #isOver = new AbortController();
  readonly #fill: Fill;
  readonly #looking: NodeJS.Timeout;
  #turn = 0;
  readonly crashes: string[] = [];
  failovers = 0;
  /** How often each was begun. */
  readonly done = new Map<Fault['kind'], number>();

  constructor(
    world: HistoryWorld,
    volumes: readonly HistoryVolume[],
    attachedTo: string[],
    recorder: Recorder,
    say: (line: string) => void,
    fill: Fill = (meanwhile) => meanwhile(),
  ) {
    this.#world = world;
    this.#volumes = volumes;
    this.#attachedTo = attachedTo;
    this.#recorder = recorder;
    this.#say = say;
    this.#fill = fill;
    this.#looking = setInterval(() => this.#lookForCrashes(), LOOK_MS);
  }

  /** Until the list is at its end, or `end` is called. */
  async run(episodes: readonly Episode[]): Promise<void> {
    for (const { faults, peaceMs } of episodes) {
      if (this.#isOver.signal.aborted) break;
      await Promise.all(faults.map(({ afterMs, fault }) => this.#do(afterMs, fault)));
      await this.#pause(peaceMs);
    }
  }

  end(): void {
    this.#isOver.abort();
  }

  /** Everybody lives and hears everybody. */
  async heal(): Promise<void> {
    clearInterval(this.#looking);
    for (const process of this.#world.cluster.processes) {
      await process.kill('SIGCONT');
      process.start();
    }
    for (const { name } of this.#world.cluster.processes) {
      if (name.startsWith('agent/')) await this.#world.cluster.waitUntilReady(name, AGENT_READY_BOUND_MS);
    }
  }

  /** Also when the run is over. */
  attach(volume: number, node: string): Promise<void> {
    return this.#attach(volume, node, () => false);
  }

  async #attach(volume: number, node: string, givesUp: () => boolean): Promise<void> {
    const { resource } = this.#volume(volume);
    this.#attachedTo[volume] = node;
    await waitFor(
      `${resource.name} to be attached to ${node}`,
      ATTACH_BOUND_MS,
      async () => {
        if (givesUp()) return { value: undefined };
        // Without etcd the API server has nothing to say; the patch is the same each time.
        const problem = await resource.attachTo(node).then(
          () => null,
          (error: unknown) => String(error),
        );
        return problem === null ? { value: undefined } : { reason: problem };
      },
      ATTACH_AGAIN_MS,
    );
  }

  async #do(afterMs: number, fault: Fault): Promise<void> {
    await this.#pause(afterMs);
    if (this.#isOver.signal.aborted) return;
    const ended = this.#recorder.beginFault(describeFault(fault));
    this.#say(describeFault(fault));
    this.done.set(fault.kind, (this.done.get(fault.kind) ?? 0) + 1);
    try {
      await this.#perform(fault);
    } catch (error) {
      this.#say(`${describeFault(fault)}: ${String(error).slice(0, 300)}`); // as when two faults meet: what matters is what clients saw
    }
    ended();
  }

  #perform(fault: Fault): Promise<unknown> {
    const { ms } = fault;
    switch (fault.kind) {
      case 'kill':
        return this.#killFor(agentProcess(this.#victim(fault.victim)), ms);
      case 'stop':
        return this.#stopFor(agentProcess(this.#victim(fault.victim)), () => this.#pause(ms));
      case 'cut':
        return this.#cutFor([[this.#victim(fault.victim), this.#node(fault.other)]], ms);
      case 'cutBoth':
        return this.#cutFor(bothWays(this.#victim(fault.victim), this.#node(fault.other)), ms);
      case 'deaf':
        return this.#cutFor(
          this.#others(this.#victim(fault.victim)).map((other) => [other, this.#victim(fault.victim)]),
          ms,
        );
      case 'mute':
        return this.#cutFor(
          this.#others(this.#victim(fault.victim)).map((other) => [this.#victim(fault.victim), other]),
          ms,
        );
      case 'noEtcd':
        return this.#cutFor(bothWays(this.#victim(fault.victim), 'etcd'), ms);
      case 'move':
        return this.#move(fault.volume, fault.to, ms);
      case 'zombie':
        return this.#stopFor(agentProcess(this.#attachedNode(fault.volume)), () => this.#move(fault.volume, fault.to, ms));
      case 'deafZombie':
        return this.#deafZombie(fault.volume, fault.to, ms);
      case 'coup':
        return this.#moveBehind(bothWays(this.#attachedNode(fault.volume), 'etcd'), fault.volume, fault.to, ms);
      case 'isolated':
        return this.#moveBehind(this.#isolation(this.#attachedNode(fault.volume)), fault.volume, fault.to, ms);
      case 'halfWritten':
        return this.#halfWritten(fault.volume, fault.to, ms);
      case 'etcdKill':
        return this.#killFor(this.#etcdMember(), ms);
      case 'etcdStop':
        return this.#stopFor(this.#etcdMember(), () => this.#pause(ms));
      case 'operatorKill':
        return this.#killFor(this.#operator(), ms);
      case 'operatorStop':
        return this.#stopFor(this.#operator(), () => this.#pause(ms));
      case 'apiKill':
        return this.#killFor(API_SERVER, ms);
      case 'apiStop':
        return this.#stopFor(API_SERVER, () => this.#pause(ms));
      case 'fullDisk':
        return this.#fill(() => this.#pause(ms));
    }
  }

  async #killFor(name: ProcessName, ms: number): Promise<void> {
    const process = this.#world.cluster.process(name);
    this.#killed.set(name, (this.#killed.get(name) ?? 0) + 1);
    await process.kill('SIGKILL');
    await this.#pause(ms);
    process.start();
    this.#killed.set(name, (this.#killed.get(name) ?? 0) - 1);
  }

  async #stopFor(name: ProcessName, meanwhile: () => Promise<unknown>): Promise<void> {
    const process = this.#world.cluster.process(name);
    await process.kill('SIGSTOP');
    try {
      await meanwhile();
    } finally {
      await process.kill('SIGCONT');
    }
  }

  async #cutFor(flows: [string, string][], ms: number): Promise<void> {
    const mend = flows.map(([from, to]) => this.#world.relays.cut(from, to));
    await this.#pause(ms);
    for (const one of mend) one();
  }

  /** Elsewhere, and a while of service there: what the successor writes is what a zombie must not be able to hide. */
  async #move(volume: number, to: number, ms: number): Promise<void> {
    const before = this.#attachedNode(volume);
    await this.#serveFrom(volume, this.#node(to) === before ? this.#node(to + 1) : this.#node(to), ms);
  }

  async #serveFrom(volume: number, node: string, ms: number): Promise<void> {
    await this.#attach(volume, node, () => this.#isOver.signal.aborted);
    await this.#untilServedBy(this.#volume(volume), node);
    this.failovers++;
    await this.#pause(ms);
  }

  async #untilServedBy(volume: HistoryVolume, node: string): Promise<void> {
    await waitFor(`${volume.name} served by ${node}`, SERVED_BOUND_MS, async () => {
      const found = await this.#world.servedBy(volume);
      if (found === node || this.#isOver.signal.aborted) return { value: undefined };
      return { reason: `it is served by ${found ?? 'nobody'}` };
    });
  }

  /** The primary lives and has its clients, but does not hear who tells it of its successor. */
  async #moveBehind(flows: [string, string][], volume: number, to: number, ms: number): Promise<void> {
    const mend = flows.map(([from, other]) => this.#world.relays.cut(from, other));
    try {
      await this.#move(volume, to, ms);
    } finally {
      for (const one of mend) one();
    }
  }

  /** It goes on with nobody to tell it for a moment: all that keeps it from answering is that its leases are over. */
  async #deafZombie(volume: number, to: number, ms: number): Promise<void> {
    const node = this.#attachedNode(volume);
    const mend = this.#isolation(node).map(([from, other]) => this.#world.relays.cut(from, other));
    try {
      await this.#stopFor(agentProcess(node), () => this.#move(volume, to, ms));
      await this.#pause(DEAF_AFTER_MS);
    } finally {
      for (const one of mend) one();
    }
  }

  /**
   * The primary dies while what it writes reaches one of the others only: then the one serves, and at once the other. What was read there, and is not here, was
   * not levelled.
   */
  async #halfWritten(volume: number, to: number, ms: number): Promise<void> {
    const node = this.#attachedNode(volume);
    const others = this.#others(node);
    const behind = others[to % others.length] ?? '';
    const ahead = others[(to + 1) % others.length] ?? '';
    const mend = this.#world.relays.cut(node, behind);
    await this.#pause(HALF_WRITTEN_MS);
    const killed = this.#killFor(agentProcess(node), ms);
    try {
      await this.#serveFrom(volume, ahead, HALF_WRITTEN_MS);
    } finally {
      mend();
      await killed;
    }
    await this.#serveFrom(volume, behind, ms);
  }

  #isolation(node: string): [string, string][] {
    return [...this.#others(node), 'etcd'].flatMap((other) => bothWays(node, other));
  }

  #lookForCrashes(): void {
    for (const process of this.#world.cluster.processes) {
      if ((this.#killed.get(process.name) ?? 0) > 0 || process.pid !== undefined) continue;
      this.crashes.push(`${process.name} ended by itself; ${process.logTail()}`);
      this.#say(`CRASH of ${process.name}`);
      process.start();
    }
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, null, { signal: this.#isOver.signal }).catch(() => null); // the run is over: sooner
  }

  #etcdMember(): ProcessName {
    const { etcdMembers } = this.#world.cluster;
    return etcdMembers[this.#turn++ % etcdMembers.length] ?? etcdProcess(0);
  }

  #operator(): ProcessName {
    const { operators } = this.#world.cluster;
    return operatorProcess(operators[this.#turn++ % operators.length] ?? '');
  }

  #volume(index: number): HistoryVolume {
    const volume = this.#volumes[index % this.#volumes.length];
    if (volume === undefined) throw new Error('there are no volumes');
    return volume;
  }

  #node(index: number): string {
    const { nodes } = this.#world.cluster;
    return nodes[index % nodes.length] ?? '';
  }

  #attachedNode(volume: number): string {
    return this.#attachedTo[volume % this.#attachedTo.length] ?? '';
  }

  /** `primary`: of one volume after the other. */
  #victim(victim: Victim): string {
    return victim === 'primary' ? this.#attachedNode(this.#turn++) : this.#node(victim);
  }

  #others(node: string): string[] {
    return this.#world.cluster.nodes.filter((other) => other !== node);
  }
}

const bothWays = (one: string, other: string): [string, string][] => [
  [one, other],
  [other, one],
];
