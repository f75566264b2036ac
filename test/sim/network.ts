/**
 * Connections between agents as TCP gives them: in order, delayed without bound, cut in one direction or both, broken at any time with what was
 * on its way lost, or silent until each end gives up. A message is never doubled nor overtaken within a connection, but what was on its way in an old
 * one may arrive when there is a new one. In some runs messages travel as the bytes that the real ends write.
 */
import type { PrimaryLink, PrimaryLinkListener, ReplicaLink, ReplicaSession } from '../../agent/replication/link.ts';
import type { FromReplica, Seal, ToReplica } from '../../core/wire/messages.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import type { Schedule } from './schedule.ts';
import { between, delayMs } from './seeds.ts';
import type { Tally } from './tally.ts';
import { Violation } from './violation.ts';
import { WireEnds } from './wireEnds.ts';

/** More than the engines could have outstanding by their own limits at the simulator's load. */
const QUEUE_MAX = 20_000;
const LOCAL_DELAY_MS = 0.05;

/** The process at one end. */
export interface Host {
  readonly node: string;
  readonly isAlive: boolean;
  /** Runs it now, or when the process is no longer paused; never once it is dead. One channel keeps its order. */
  run(channel: string, act: () => void): void;
  accept(seal: Seal, link: ReplicaLink): ReplicaSession;
}

type Item<Message> = { message: Message; bytes: number } | { end: string };

/** One direction of a connection. */
class Direction<Message> {
  readonly #connection: Connection;
  readonly #network: Network;
  readonly #from: string;
  readonly #to: string;
  readonly #channel: string;
  readonly #target: () => Host | null;
  readonly #deliver: (items: Item<Message>[]) => void;
  #queue: Item<Message>[] = [];
  #isPumping = false;
  #bytes = 0;

  constructor(options: {
    connection: Connection;
    network: Network;
    from: string;
    to: string;
    channel: string;
    target: () => Host | null;
    deliver: (items: Item<Message>[]) => void;
  }) {
    this.#connection = options.connection;
    this.#network = options.network;
    this.#from = options.from;
    this.#to = options.to;
    this.#channel = options.channel;
    this.#target = options.target;
    this.#deliver = options.deliver;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(item: Item<Message>): void {
    this.#queue.push(item);
    if ('bytes' in item) this.#bytes += item.bytes;
    if (this.#queue.length > QUEUE_MAX) throw new Violation('bounded', `more than ${QUEUE_MAX} messages on the way over ${this.#channel}`);
    this.pump();
  }

  /** What was on its way may be lost. */
  loseSome(random: SeededRandom): void {
    if (random.chance(0.7)) this.#queue.length = random.below(this.#queue.length + 1);
  }

  /** Nobody is left to send it again. */
  loseAll(): void {
    this.#queue.length = 0;
  }

  pump(): void {
    if (this.#isPumping || this.#queue.length === 0 || this.#isCut()) return;
    this.#isPumping = true;
    const wait = this.#from === this.#to ? LOCAL_DELAY_MS * this.#network.random.unit() : this.#network.drawDelayMs();
    this.#network.schedule.after(wait, this.#channel, () => {
      const target = this.#target();
      if (!target) {
        this.#isPumping = false;
        return this.#connection.reset('connection refused');
      }
      target.run(this.#channel, () => this.#take());
    });
  }

  #take(): void {
    this.#isPumping = false;
    if (this.#isCut() || this.#queue.length === 0) return;
    const count = 1 + this.#network.random.below(this.#queue.length);
    const items = this.#queue.splice(0, count);
    for (const item of items) if ('bytes' in item) this.#bytes -= item.bytes;
    if (this.#queue.length === 0) this.#bytes = 0;
    this.#deliver(items);
    this.pump();
  }

  #isCut(): boolean {
    return this.#connection.isSilent || this.#network.isCut(this.#from, this.#to);
  }
}

const sizeOf = (message: ToReplica | FromReplica): number => ('lengthBytes' in message ? message.lengthBytes : 64);

export class Connection implements PrimaryLink {
  readonly primaryNode: string;
  readonly replicaNode: string;
  readonly #network: Network;
  readonly #listener: PrimaryLinkListener;
  readonly #toReplica: Direction<ToReplica>;
  readonly #toPrimary: Direction<FromReplica>;
  #primary: Host | null;
  #replica: Host | null = null;
  #session: ReplicaSession | null = null;
  #isSilent = false;
  readonly #wire: WireEnds | null;
  #primaryHears = true;
  #replicaHears = true;

  constructor(network: Network, primary: Host, replicaNode: string, seal: Seal, listener: PrimaryLinkListener) {
    this.#network = network;
    this.#primary = primary;
    this.primaryNode = primary.node;
    this.replicaNode = replicaNode;
    this.#listener = listener;
    this.#wire = network.usesWire ? new WireEnds(seal, network.random) : null;
    const id = network.nextId();
    this.#toReplica = new Direction<ToReplica>({
      connection: this,
      network,
      from: primary.node,
      to: replicaNode,
      channel: `${id}>`,
      target: () => this.#replicaHost(),
      deliver: (items) => this.#deliverToReplica(items),
    });
    this.#toPrimary = new Direction<FromReplica>({
      connection: this,
      network,
      from: replicaNode,
      to: primary.node,
      channel: `${id}<`,
      target: () => (this.#primary?.isAlive ? this.#primary : null),
      deliver: (items) => this.#deliverToPrimary(items),
    });
    this.#toReplica.push({ message: this.#wire?.toReplica(seal) ?? seal, bytes: 64 });
  }

  get bufferedBytes(): number {
    return this.#toReplica.bytes;
  }

  get isOver(): boolean {
    return !this.#primaryHears && !this.#replicaHears;
  }

  get isSilent(): boolean {
    return this.#isSilent;
  }

  send(message: ToReplica): void {
    if (this.#primaryHears) this.#toReplica.push({ message: this.#wire?.toReplica(message) ?? message, bytes: sizeOf(message) });
  }

  /** By the primary: the other end hears of it behind all that was sent. */
  close(): void {
    if (!this.#primaryHears) return;
    this.#primaryHears = false;
    this.#toReplica.push({ end: 'the primary closed' });
  }

  /** The connection breaks: each end hears of it on its own, after what still arrived. */
  reset(reason: string): void {
    this.#toReplica.loseSome(this.#network.random);
    this.#toPrimary.loseSome(this.#network.random);
    this.breakPrimaryEnd(reason);
    this.breakReplicaEnd();
  }

  /** One end hears of the break, the other goes on for a while, with what was on its way to it. */
  breakHalf(reason: string, replicaFirst: boolean, restMs: number): void {
    if (replicaFirst) this.breakReplicaEnd();
    else this.breakPrimaryEnd(reason);
    this.#network.schedule.after(restMs, 'the other end', () => {
      this.breakPrimaryEnd(reason);
      this.breakReplicaEnd();
    });
  }

  /** Nothing arrives any more, in either direction, and nobody is told. */
  fallSilent(): void {
    this.#isSilent = true;
  }

  /** One end gives up: time-outs of TCP come at each end by themselves. */
  breakPrimaryEnd(reason: string): void {
    this.#primary?.run('reset', () => this.#endPrimary(reason));
  }

  breakReplicaEnd(): void {
    if (!this.#replica) this.#replicaHears = false;
    this.#replica?.run('reset', () => this.#endReplica());
  }

  /** A process is gone; its kernel tells the other end, unless the whole machine went. */
  processEnded(host: Host, isSilent: boolean): void {
    if (host === this.#primary) {
      this.#primary = null;
      this.#primaryHears = false;
      this.#toReplica.loseSome(this.#network.random);
      if (!isSilent) this.#toReplica.push({ end: 'the primary is gone' });
    }
    if (host === this.#replica) {
      this.#replica = null;
      this.#session = null;
      this.#replicaHears = false;
      if (isSilent) this.#toPrimary.loseAll();
      else this.#toPrimary.loseSome(this.#network.random);
      if (!isSilent) this.#toPrimary.push({ end: 'the replica is gone' });
    }
  }

  pump(): void {
    this.#toReplica.pump();
    this.#toPrimary.pump();
  }

  #replicaHost(): Host | null {
    if (this.#replica) return this.#replica.isAlive ? this.#replica : null;
    return this.#session === null && this.#replicaHears ? this.#network.hostOn(this.replicaNode) : null;
  }

  #deliverToReplica(items: Item<ToReplica>[]): void {
    for (const item of items) {
      if (!this.#replicaHears) return;
      if ('end' in item) return this.#endReplica();
      if (this.#session) this.#session.message(item.message);
      else this.#accept(item.message as Seal);
    }
    if (this.#replicaHears) this.#session?.burstEnd();
  }

  #accept(seal: Seal): void {
    const host = this.#network.hostOn(this.replicaNode);
    if (!host) return this.reset('connection refused');
    this.#replica = host;
    this.#session = host.accept(seal, {
      peer: this.primaryNode,
      send: (message) => {
        if (this.#replicaHears) this.#toPrimary.push({ message: this.#wire?.toPrimary(message) ?? message, bytes: sizeOf(message) });
      },
      close: (reason) => {
        if (!this.#replicaHears) return;
        this.#replicaHears = false;
        this.#toPrimary.push({ end: reason });
      },
    });
  }

  #deliverToPrimary(items: Item<FromReplica>[]): void {
    for (const item of items) {
      if (!this.#primaryHears) return;
      if ('end' in item) return this.#endPrimary(item.end);
      this.#listener.message(item.message);
    }
    if (this.#primaryHears) this.#listener.burstEnd();
  }

  #endPrimary(reason: string): void {
    if (!this.#primaryHears) return;
    this.#primaryHears = false;
    this.#listener.closed(reason);
  }

  #endReplica(): void {
    if (!this.#replicaHears) return;
    this.#replicaHears = false;
    this.#session?.closed();
  }
}

export class Network {
  readonly schedule: Schedule;
  readonly random: SeededRandom;
  /** Whether messages travel as bytes. */
  readonly usesWire: boolean;
  readonly #usualMs: number;
  readonly #tally: Tally;
  readonly #hosts = new Map<string, Host>();
  readonly #off = new Set<string>();
  readonly #cuts = new Set<string>();
  #connections: Connection[] = [];
  #id = 0;

  constructor(options: { schedule: Schedule; random: SeededRandom; usualMs: number; usesWire: boolean; tally: Tally }) {
    this.schedule = options.schedule;
    this.random = options.random;
    this.#usualMs = options.usualMs;
    this.usesWire = options.usesWire;
    this.#tally = options.tally;
  }

  nextId(): number {
    return ++this.#id;
  }

  drawDelayMs(): number {
    return delayMs(this.random, this.#usualMs, this.#usualMs * 60);
  }

  hostOn(node: string): Host | null {
    const host = this.#hosts.get(node);
    return host?.isAlive ? host : null;
  }

  started(host: Host): void {
    this.#hosts.set(host.node, host);
    this.#off.delete(host.node);
    this.#pump();
  }

  ended(host: Host, isSilent: boolean): void {
    this.#hosts.delete(host.node);
    if (isSilent) this.#off.add(host.node);
    for (const connection of this.#connections) connection.processEnded(host, isSilent);
  }

  connect(primary: Host, replicaNode: string, seal: Seal, listener: PrimaryLinkListener): PrimaryLink {
    this.#connections = this.#connections.filter((connection) => !connection.isOver);
    const connection = new Connection(this, primary, replicaNode, seal, listener);
    this.#connections.push(connection);
    return connection;
  }

  /** Nothing goes that way: packets are dropped, or the machine is off. */
  isCut(from: string, to: string): boolean {
    return this.#off.has(to) || this.#off.has(from) || this.#cuts.has(`${from}>${to}`);
  }

  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
    for (const connection of this.#connections) {
      const { primaryNode, replicaNode } = connection;
      const isConcerned = (primaryNode === from && replicaNode === to) || (primaryNode === to && replicaNode === from);
      if (isConcerned && this.random.chance(0.4)) this.#timeOut(connection);
    }
  }

  heal(from: string, to: string): void {
    this.#cuts.delete(`${from}>${to}`);
    this.#pump();
  }

  healAll(): void {
    this.#cuts.clear();
    this.#pump();
  }

  /** One connection breaks: for both ends at once, for one first, or without a word. */
  breakOne(): void {
    const connection = this.#connections[this.random.below(this.#connections.length)];
    if (!connection) return;
    const draw = this.random.unit();
    if (draw < 0.5) {
      this.#tally.count('connection reset');
      return connection.reset('connection reset');
    }
    if (draw < 0.8) {
      this.#tally.count('late bytes of an old connection');
      return connection.breakHalf('connection reset', this.random.chance(0.3), between(this.random, 0, 2_000));
    }
    this.#tally.count('connection silent');
    connection.fallSilent();
    this.#timeOut(connection);
  }

  #timeOut(connection: Connection): void {
    this.schedule.after(between(this.random, 0, 4_000), 'time-out', () => connection.breakPrimaryEnd('timed out'));
    this.schedule.after(between(this.random, 0, 4_000), 'time-out', () => connection.breakReplicaEnd());
  }

  #pump(): void {
    for (const connection of this.#connections) connection.pump();
  }
}
