/**
 * Clients of the volume: each is attached to whatever serves, a zombie too while it has not noticed, and reads, writes, zeroes and flushes a few
 * blocks on both sides of the extents' borders. Every value is written once.
 */
import type { BlockClient, IoError } from '../../agent/ports.ts';
import { BLOCK_BYTES, BLOCKS_PER_EXTENT } from '../../core/extent.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import type { Serving } from './agentProcess.ts';
import { type Cluster, decodePiece, encodeBlock, PIECE_BYTES } from './layout.ts';
import { between, pick } from './seeds.ts';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

/** After an error a client waits: writes of unknown outcome that pile up are what the checker cannot follow. */
const AFTER_ERROR_MS = 1_000;

/** `clusters`: what it may use, of the size that it was told when it came. */
type Attachment = { serving: Serving; client: BlockClient; clusters: readonly Cluster[]; isOver: boolean };
type Range = { first: number; count: number };

export class SimulatedClient {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #name: string;
  readonly #onlyReads: boolean;
  #attachment: Attachment | null = null;
  #open = 0;
  /** Each request's end as seen by a client that was detached: it may have happened or not. */
  readonly #giveUp = new Map<number, () => void>();
  #isStopped = false;
  #notBeforeMs = 0;
  answered = 0;

  constructor(world: World, index: number, random: SeededRandom) {
    this.#world = world;
    this.#name = `client-${index + 1}`;
    this.#random = random;
    this.#onlyReads = index < world.options.readers;
    this.#next();
  }

  get openCount(): number {
    return this.#open;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** The socket is gone, with or without errors for what was open. */
  detached(serving: Serving): void {
    if (this.#attachment?.serving === serving) this.#detach();
  }

  /** By its own will, in the middle of whatever is under way. */
  disconnect(): void {
    const attachment = this.#attachment;
    if (!attachment) return;
    this.#detach();
    attachment.serving.process.run(this.#name, () => {
      if (!attachment.serving.isOver) attachment.client.close();
    });
  }

  #detach(): void {
    if (this.#attachment) this.#attachment.isOver = true;
    this.#attachment = null;
    for (const giveUp of [...this.#giveUp.values()]) giveUp();
    this.#open = 0;
  }

  #next(): void {
    this.#world.schedule.after(between(this.#random, 0, this.#world.options.thinkMs * 2), this.#name, () => {
      if (!this.#isStopped && !this.#isIdle()) this.#act();
      this.#next();
    });
  }

  #isIdle(): boolean {
    const { nowMs } = this.#world.schedule;
    const { activeMs, idleMs } = this.#world.options;
    return nowMs < this.#notBeforeMs || nowMs % (activeMs + idleMs) >= activeMs;
  }

  #act(): void {
    if (!this.#attachment) this.#attach();
    else if (this.#open < this.#world.options.depth) this.#request(this.#attachment);
  }

  #attach(): void {
    const serving = pick(this.#random, this.#world.openSockets());
    if (!serving || serving.process.isPaused) return;
    const { sizeBytes } = serving.device;
    this.#world.offered(sizeBytes);
    const clusters = this.#world.layout.clusters.filter(([first, count]) => (first + count) * BLOCK_BYTES <= sizeBytes);
    this.#attachment = { serving, client: serving.device.connect(), clusters, isOver: false };
  }

  #range({ clusters }: Attachment): Range {
    const [first, count] = pick(this.#random, clusters) ?? [0, 1];
    const start = this.#random.below(count);
    return { first: first + start, count: 1 + this.#random.below(count - start) };
  }

  #request(attachment: Attachment): void {
    if (this.#onlyReads) return this.#read(attachment, this.#range(attachment));
    const draw = this.#random.unit();
    if (draw < 0.4) this.#write(attachment, this.#range(attachment));
    else if (draw < 0.5) this.#zero(attachment);
    else if (draw < 0.93) this.#read(attachment, this.#range(attachment));
    else this.#flush(attachment);
  }

  /** Counts a request until it has ended, once: with an answer, or without when the client was detached. */
  #begin(attachment: Attachment, ended: (succeeded: boolean) => void): { id: number; answer: (error: IoError | null) => void } {
    const id = this.#world.nextId();
    this.#open++;
    this.#giveUp.set(id, () => {
      this.#giveUp.delete(id);
      ended(false);
    });
    const answer = (error: IoError | null) => {
      if (attachment.isOver) return this.#unheard(attachment);
      if (!this.#giveUp.delete(id)) throw new Violation('contract', `request ${id} is answered twice`);
      this.#open--;
      if (error) this.#notBeforeMs = this.#world.schedule.nowMs + AFTER_ERROR_MS;
      else this.#answered(attachment);
      ended(error === null);
      if (!error && !this.#isStopped && this.#random.chance(0.3) && !attachment.isOver) this.#request(attachment);
    };
    return { id, answer };
  }

  #answered(attachment: Attachment): void {
    this.answered++;
    const { epoch, process } = attachment.serving;
    this.#world.onePrimary.answered(epoch, process.instance, process.hasAskedFirst);
  }

  /** An answer for a client that has gone: fine while the agent does not know it yet, as after a dropped connection. */
  #unheard(attachment: Attachment): void {
    if (attachment.serving.isOver) throw new Violation('contract', 'a primary that has ended answers');
  }

  /** In the agent's process, when the request arrives there. */
  #submit(attachment: Attachment, act: (client: BlockClient) => void): void {
    attachment.serving.process.run(this.#name, () => {
      if (!attachment.isOver && !attachment.serving.isOver) act(attachment.client);
    });
  }

  #write(attachment: Attachment, range: Range): void {
    const { clients, schedule, layout } = this.#world;
    const isDurable = this.#random.chance(0.1);
    const { id, answer } = this.#begin(attachment, (succeeded) => {
      schedule.trace(`${this.#name} write ${id} ${succeeded ? 'done' : 'unknown'}`);
      clients.writeEnds(id, succeeded);
      if (succeeded) this.#world.acknowledged(pieces, id);
    });
    const blocks = Array.from({ length: range.count }, (_, index) => range.first + index);
    const pieces = layout.piecesOf(blocks);
    schedule.trace(`${this.#name} write ${id} to ${blocks} of epoch ${attachment.serving.epoch}`);
    const request = { id, epoch: attachment.serving.epoch, pieces, value: id, isDurable };
    clients.writeBegins(request);
    this.#world.snapshotChecker.began(request);
    const lengthBytes = range.count * BLOCK_BYTES;
    const chunks = blocks.map(() => encodeBlock(id));
    this.#submit(attachment, (client) => client.write(range.first * BLOCK_BYTES, chunks, lengthBytes, isDurable, answer));
  }

  #zero(attachment: Attachment): void {
    const { clients, schedule, layout } = this.#world;
    const extent = this.#random.below(2);
    const range = this.#random.chance(0.2) ? { first: extent * BLOCKS_PER_EXTENT, count: BLOCKS_PER_EXTENT } : this.#range(attachment);
    const options = { free: this.#random.chance(0.7), forceUnitAccess: this.#random.chance(0.1) };
    const { id, answer } = this.#begin(attachment, (succeeded) => {
      schedule.trace(`${this.#name} zero ${id} ${succeeded ? 'done' : 'unknown'}`);
      clients.writeEnds(id, succeeded);
      if (succeeded) this.#world.acknowledged(pieces, 0);
    });
    const blocks = layout.blocks.filter((block) => block >= range.first && block < range.first + range.count);
    const pieces = layout.piecesOf(blocks);
    schedule.trace(`${this.#name} zero ${id} of ${blocks} of epoch ${attachment.serving.epoch}`);
    clients.writeBegins({ id, epoch: attachment.serving.epoch, pieces, value: 0, isDurable: options.forceUnitAccess });
    this.#submit(attachment, (client) => client.zero(range.first * BLOCK_BYTES, range.count * BLOCK_BYTES, options, answer));
  }

  #read(attachment: Attachment, range: Range): void {
    const { clients, schedule, layout } = this.#world;
    let values: Map<number, number> | null = null;
    const { id, answer } = this.#begin(attachment, (succeeded) => {
      schedule.trace(`${this.#name} read ${id} ${succeeded ? [...(values ?? [])].map(([piece, value]) => `${piece}=${value}`) : 'failed'}`);
      clients.readEnds(id, succeeded ? values : null);
    });
    const isWide = this.#random.chance(0.1);
    const first = isWide ? 0 : range.first;
    const count = isWide ? 2 * BLOCKS_PER_EXTENT : range.count;
    const blocks = layout.blocks.filter((block) => block >= first && block < first + count);
    const pieces = layout.piecesOf(blocks);
    clients.readBegins(id, pieces);
    const told = (error: IoError | null, data: Buffer) => {
      if (!error && !attachment.isOver) values = valuesOf(data, first, count, pieces);
      answer(error);
    };
    this.#submit(attachment, (client) => {
      const target = Buffer.alloc(count * BLOCK_BYTES);
      if (client.readNow(first * BLOCK_BYTES, target)) told(null, target);
      else client.read(first * BLOCK_BYTES, target.length, (error, chunks) => told(error, Buffer.concat(chunks)));
    });
  }

  #flush(attachment: Attachment): void {
    const { clients, schedule } = this.#world;
    const { id, answer } = this.#begin(attachment, (succeeded) => {
      schedule.trace(`${this.#name} flush ${id} ${succeeded ? 'done' : 'failed'}`);
      clients.flushEnds(id, succeeded);
    });
    clients.flushBegins(id);
    this.#submit(attachment, (client) => client.flush(answer));
  }
}

function valuesOf(data: Buffer, first: number, count: number, pieces: readonly number[]): Map<number, number> {
  if (data.length !== count * BLOCK_BYTES) throw new Violation('contract', `${data.length} bytes read instead of ${count * BLOCK_BYTES}`);
  return new Map(
    pieces.map((piece) => {
      const value = decodePiece(data, piece * PIECE_BYTES - first * BLOCK_BYTES);
      if (value === null) throw new Violation('linearizable', `piece ${piece} is read as a part of one write and a part of another`);
      return [piece, value];
    }),
  );
}
