/**
 * A client as one behind a retry filter: it writes one block after the other, and connects again, wherever the volume is served, when its connection ends.
 * Knows the longest time between two acknowledged writes, so no stall is hidden by not writing; counts errors that it was answered.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { HandNbdClient } from '../support/nbdClient.ts';

const BLOCK = Buffer.alloc(4096, 0x5a);
const AREA_BYTES = 16 * 2 ** 20;
const RETRY_MS = 2;
const CONNECT_BOUND_MS = 1_000;

export class StallWriter {
  /** Writes that were answered with an error: a client behind no filter would have seen them. */
  errors = 0;
  readonly #name: string;
  /** Between two writes; 0: none. */
  readonly #paceMs: number;
  #sockets: readonly string[];
  #turn = 0;
  #isWorking = true;
  #worstMs = 0;
  #lastMs = performance.now();
  #client: HandNbdClient | null = null;
  #running: Promise<void> | null = null;
  #told: (() => void) | null = null;

  constructor(name: string, sockets: readonly string[], paceMs = 0) {
    this.#name = name;
    this.#sockets = sockets;
    this.#paceMs = paceMs;
  }

  begin(): void {
    this.#running = this.#run();
  }

  async end(): Promise<void> {
    this.#isWorking = false;
    this.#client?.close();
    await this.#running;
  }

  /** The longest wait since this was asked last. */
  takeWorstMs(): number {
    const worstMs = Math.max(this.#worstMs, performance.now() - this.#lastMs);
    this.#worstMs = 0;
    return worstMs;
  }

  /** Leaves whom it is connected to, and is from now on at these. Resolves at the next write that is acknowledged. */
  goTo(sockets: readonly string[]): Promise<void> {
    this.#sockets = sockets;
    this.#client?.close();
    return this.nextWrite();
  }

  nextWrite(): Promise<void> {
    return new Promise((resolve) => {
      this.#told = resolve;
    });
  }

  async #run(): Promise<void> {
    while (this.#isWorking) {
      const client = await this.#connect();
      if (client === null) await sleep(RETRY_MS);
      else await this.#writeOn(client);
    }
  }

  /** A killed agent leaves its socket behind: each that is there is tried in turn. */
  async #connect(): Promise<HandNbdClient | null> {
    const there = this.#sockets.filter((one) => existsSync(one));
    const socket = there[this.#turn++ % there.length];
    return socket === undefined ? null : await HandNbdClient.open(socket, this.#name, CONNECT_BOUND_MS).catch(() => null);
  }

  async #writeOn(client: HandNbdClient): Promise<void> {
    const sockets = this.#sockets;
    this.#client = client;
    for (let offset = 0; this.#isWorking && this.#sockets === sockets; offset = (offset + BLOCK.length) % AREA_BYTES) {
      const answer = await client.write(offset, BLOCK);
      if (answer.outcome === 'replied' && answer.error !== 0) this.errors++;
      if (answer.outcome !== 'replied' || answer.error !== 0 || this.#sockets !== sockets) break;
      this.#acknowledged();
      if (this.#paceMs > 0) await sleep(this.#paceMs);
    }
    client.close();
    await client.ended;
  }

  #acknowledged(): void {
    const nowMs = performance.now();
    this.#worstMs = Math.max(this.#worstMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    this.#told?.();
    this.#told = null;
  }
}
