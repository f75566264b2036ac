/**
 * Where other nodes' agents answer replication. A node is read when somebody wants to dial it, and not watched: a thousand agents that watch each
 * other's machines would be a million notices for each round of reports. Must never forget an address because its machine's key has gone: the
 * node may be cut off from etcd only.
 */
import type { Clock } from '../../core/clock.ts';
import type { NodeName } from '../../core/ids.ts';
import type { Keys } from '../../core/keys.ts';
import type { Store } from '../../core/store.ts';
import type { CallSlots } from './calls.ts';
import { whenAnswered } from './calls.ts';
import { parseMachine } from './parse.ts';

export type DialAddress = { host: string; port: number };

/** Of the nodes that share a volume with this one. */
const NODES_MAX = 4_096;
/** A dialler asks again and again while a node is down; it is read no more often than this. */
const REREAD_MS = 1_000;

type Known = { address: DialAddress | null; isReading: boolean; readAtMs: number };

export class AddressBook {
  readonly #options: { store: Store; keys: Keys; clock: Clock; slots: CallSlots };
  readonly #nodes = new Map<NodeName, Known>();

  constructor(options: { store: Store; keys: Keys; clock: Clock; slots: CallSlots }) {
    this.#options = options;
  }

  /** Null: not known yet; it is being read. Each call also has it read anew soon: whoever dials, dials because there is no connection. */
  resolve(node: NodeName): DialAddress | null {
    const known = this.#nodes.get(node) ?? this.#add(node);
    if (known === null) return null;
    this.#read(node, known);
    return known.address;
  }

  #add(node: NodeName): Known | null {
    if (this.#nodes.size >= NODES_MAX) return null;
    const known: Known = { address: null, isReading: false, readAtMs: Number.NEGATIVE_INFINITY };
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
    };
    whenAnswered(
      store.get(keys.machine(node)),
      (entry) => {
        ended();
        known.address = (entry === null ? null : replicationAddressOf(entry.value)) ?? known.address;
      },
      ended,
    );
  }
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/;

/** Null for what no agent would write. */
export function replicationAddressOf(machine: string): DialAddress | null {
  const [, bracketed, plain, port] = ADDRESS.exec(parseMachine(machine)?.addresses?.replication ?? '') ?? [];
  const host = bracketed ?? plain;
  return host === undefined || Number(port) < 1 || Number(port) > 65_535 ? null : { host, port: Number(port) };
}
