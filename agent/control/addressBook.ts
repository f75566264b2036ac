/**
 * Where the pools of other nodes answer replication. A node is read when somebody wants to dial it, and watched only while somebody cannot reach it: a
 * thousand agents that watch each other's machines would be a million notices for each round of reports. Must never forget an address because its
 * machine's key has gone: the node may be cut off from etcd only.
 */
import type { Clock } from '../../core/clock.ts';
import type { InstanceId, NodeName } from '../../core/ids.ts';
import type { Keys } from '../../core/keys.ts';
import type { Store, View } from '../../core/store.ts';
import type { Address } from '../workers/messages.ts';
import type { CallSlots } from './calls.ts';
import { whenAnswered } from './calls.ts';
import { parseMachine } from './parse.ts';

/** `isNew`: an agent has come to that node a moment ago, whoever waits to dial it need not wait. */
type Answer = (address: Address | null, isNew?: boolean) => void;

/** Of the nodes that share a volume with this one. */
const NODES_MAX = 4_096;
/** A dialler asks again and again while a node is down; it is read no more often than this. */
const REREAD_MS = 1_000;
/** Pools of one node that are waited for at a time: each worker asks once a second for each. */
const WAITING_MAX = 1_024;
/** Whoever cannot reach a node asks at least every two seconds. */
const WATCH_MS = 10_000;
const WATCHED_MAX = 64;

type Watched = { view: View; instance: InstanceId | null; askedAtMs: number; askers: Map<string, { pool: string; answer: Answer }> };

type Known = {
  addresses: ReadonlyMap<string, Address>;
  isReading: boolean;
  readAtMs: number;
  /** Told when the reading that is under way has ended. */
  waiting: { pool: string; answer: Answer }[];
};

export class AddressBook {
  readonly #options: { store: Store; keys: Keys; clock: Clock; slots: CallSlots };
  readonly #nodes = new Map<NodeName, Known>();
  readonly #watched = new Map<NodeName, Watched>();

  constructor(options: { store: Store; keys: Keys; clock: Clock; slots: CallSlots }) {
    this.#options = options;
  }

  /**
   * Has the node read anew, and answers when that has ended; at once if it was read a moment ago, or cannot be. Null: no address is known. Answers
   * once more when an agent comes to that node soon. `asker`: one answer for each of them, the latest.
   */
  resolve(node: NodeName, pool: string, asker: string, answer: Answer): void {
    this.#watch(node, pool, asker, answer);
    const known = this.#nodes.get(node) ?? this.#add(node);
    if (known === null) return answer(null);
    this.#read(node, known);
    if (known.isReading && known.waiting.length < WAITING_MAX) known.waiting.push({ pool, answer });
    else answer(known.addresses.get(pool) ?? null);
  }

  /** Nodes that nobody asked for lately are let go. */
  tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [node, { view, askedAtMs }] of this.#watched) {
      if (nowMs - askedAtMs < WATCH_MS) continue;
      view.close();
      this.#watched.delete(node);
    }
  }

  /** When a tick finds something to do, unless somebody asks before. */
  get dueAtMs(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...[...this.#watched.values()].map(({ askedAtMs }) => askedAtMs + WATCH_MS));
  }

  close(): void {
    for (const { view } of this.#watched.values()) view.close();
    this.#watched.clear();
  }

  #watch(node: NodeName, pool: string, asker: string, answer: Answer): void {
    const watched = this.#watched.get(node) ?? this.#beginWatch(node);
    if (watched === null) return;
    watched.askedAtMs = this.#options.clock.monotonicMs();
    watched.askers.set(`${asker} ${pool}`, { pool, answer });
  }

  #beginWatch(node: NodeName): Watched | null {
    if (this.#watched.size >= WATCHED_MAX) return null;
    const { store, keys } = this.#options;
    const watched: Watched = {
      view: store.view(keys.machine(node), () => this.#look(node)),
      instance: null,
      askedAtMs: 0,
      askers: new Map(),
    };
    this.#watched.set(node, watched);
    return watched;
  }

  /** Whoever asked is told once of an agent that has come, or is there after all. */
  #look(node: NodeName): void {
    const watched = this.#watched.get(node);
    const entry = watched?.view.entries.get(this.#options.keys.machine(node));
    const machine = entry ? parseMachine(entry.value) : null;
    if (!watched || !entry || !machine || machine.instance === watched.instance) return;
    watched.instance = machine.instance;
    const addresses = addressesIn(entry.value);
    for (const { pool, answer } of watched.askers.values()) answer(addresses.get(pool) ?? null, true);
  }

  #add(node: NodeName): Known | null {
    if (this.#nodes.size >= NODES_MAX) return null;
    const known: Known = { addresses: new Map(), isReading: false, readAtMs: Number.NEGATIVE_INFINITY, waiting: [] };
    this.#nodes.set(node, known);
    return known;
  }

  #read(node: NodeName, known: Known): void {
    const { store, keys, clock, slots } = this.#options;
    const nowMs = clock.monotonicMs();
    if (known.isReading || nowMs - known.readAtMs < REREAD_MS || !slots.tryTake()) return;
    known.isReading = true;
    known.readAtMs = nowMs;
    const ended = () => {
      known.isReading = false;
      slots.release();
      const { waiting } = known;
      known.waiting = [];
      for (const { pool, answer } of waiting) answer(known.addresses.get(pool) ?? null);
    };
    whenAnswered(
      store.get(keys.machine(node)),
      (entry) => {
        // A pool that is not told any more keeps its address: its agent may only be starting.
        if (entry !== null) known.addresses = new Map([...known.addresses, ...addressesIn(entry.value)]);
        ended();
      },
      ended,
    );
  }
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/;

/** By pool. What no agent would write is left out. */
export function addressesIn(machine: string): Map<string, Address> {
  const addresses = new Map<string, Address>();
  const { pools = [], protocol } = parseMachine(machine) ?? {};
  for (const { name, address } of pools) {
    const [, bracketed, plain, port] = ADDRESS.exec(address ?? '') ?? [];
    const host = bracketed ?? plain;
    if (host === undefined || Number(port) < 1 || Number(port) > 65_535) continue;
    addresses.set(name, { host, port: Number(port), ...(protocol ? { protocol } : {}) });
  }
  return addresses;
}
