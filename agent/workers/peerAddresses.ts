/**
 * Where replicas on other nodes answer, as a worker knows it: what control said last, asked for anew whenever somebody dials. Must never forget an address
 * because nobody says it again: the node may be cut off from etcd only.
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import type { Address } from './messages.ts';

/** Of the pools that share a volume with this worker. */
const ADDRESSES_MAX = 16_384;
/** A dialler asks again and again while a node is down. */
const ASK_MS = 1_000;

type Known = { address: Address | null; askedAtMs: number };

export class PeerAddresses {
  readonly #options: { clock: Clock; ask: (node: NodeName, pool: string) => void };
  readonly #known = new Map<string, Known>();

  constructor(options: { clock: Clock; ask: (node: NodeName, pool: string) => void }) {
    this.#options = options;
  }

  /** Null: not known yet; it was asked for. Each call also has it asked for anew: whoever dials, dials because there is no connection. */
  resolve(node: NodeName, pool: string): Address | null {
    const key = `${node}/${pool}`;
    const known = this.#known.get(key) ?? { address: null, askedAtMs: Number.NEGATIVE_INFINITY };
    if (!this.#known.has(key)) {
      if (this.#known.size >= ADDRESSES_MAX) return null;
      this.#known.set(key, known);
    }
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - known.askedAtMs >= ASK_MS) {
      known.askedAtMs = nowMs;
      this.#options.ask(node, pool);
    }
    return known.address;
  }

  /** A primary of this volume is about to dial: so its second try finds them. */
  prepare(config: VolumeConfig, here: NodeName): void {
    for (const { node, pool } of config.shards.flatMap(({ members }) => members)) if (node !== here) this.resolve(node, pool);
  }

  told({ node, pool, address }: { node: NodeName; pool: string; address: Address | null }): void {
    const known = this.#known.get(`${node}/${pool}`);
    if (known && address) known.address = address;
  }
}
