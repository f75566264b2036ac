/** A client that writes one block after the other and notes how long each took: what a stall is to whoever waits for it. Must never hide one by not writing. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BLOCK_BYTES } from '../../core/extent.ts';
import { HandNbdClient } from '../support/nbdClient.ts';

const PACE_MS = 2;

type Latency = { readonly fromMs: number; readonly untilMs: number };

export class Writer {
  readonly #client: HandNbdClient;
  readonly #blocks: number;
  #latencies: Latency[] = [];
  #isStopped = false;
  #running: Promise<void>;

  static async open(socketPath: string, name: string, sizeBytes: number): Promise<Writer> {
    return new Writer(await HandNbdClient.open(socketPath, name), Math.floor(sizeBytes / BLOCK_BYTES));
  }

  private constructor(client: HandNbdClient, blocks: number) {
    this.#client = client;
    this.#blocks = blocks;
    this.#running = this.#run();
  }

  /** The longest write that was under way at or after `sinceMs`, in milliseconds; what was measured before is forgotten. */
  longestSince(sinceMs: number): number {
    const since = this.#latencies.filter(({ untilMs }) => untilMs >= sinceMs);
    this.#latencies = [];
    return Math.max(0, ...since.map(({ fromMs, untilMs }) => untilMs - fromMs));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    this.#client.close();
  }

  async #run(): Promise<void> {
    for (let count = 1; !this.#isStopped; count++) {
      const fromMs = performance.now();
      const block = Math.floor(Math.random() * this.#blocks);
      const answer = await this.#client.write(block * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES, count));
      if (answer.outcome !== 'replied' || answer.error !== 0) throw new Error(`a write was not answered well: ${JSON.stringify(answer)}`);
      this.#latencies.push({ fromMs, untilMs: performance.now() });
      await sleep(PACE_MS);
    }
  }
}
