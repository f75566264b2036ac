/**
 * Writers that go on, whatever happens: each writes a block of content that was never there before, flushes, and takes both answers for an
 * acknowledgement; when its connection fails it connects again, to whichever node serves the volume then. Remembers what each block may hold; must
 * never forgive a block that holds anything else.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { HandNbdClient, type NbdAnswer } from '../support/nbdClient.ts';
import { until } from '../support/until.ts';

const BLOCK_BYTES = 4096;
const SALT_BYTES = 8;
const MARK_BYTES = SALT_BYTES + 4;
const WRITERS = 4;
/** Of each writer, so that blocks are soon written over, in several extents. */
const BLOCKS_EACH = 200;
const APART_BYTES = 64 * 1024;
const CONNECT_BOUND_MS = 2_000;
const WORK_BOUND_MS = 60_000;
const RETRY_INTERVAL_MS = 20;

/** What was written to a block: the last that was acknowledged, and then, oldest first, what may have arrived although nobody said so. */
type Block = { acknowledged: number; inDoubt: number[] };

export const WRITER_AREA_BYTES = WRITERS * BLOCKS_EACH * APART_BYTES;

/** `paceMs`: between two writes of each; left out, none, and as many as tests with one volume have. */
export type WriterSizes = { writers?: number; blocksEach?: number; paceMs?: number };

export class Writer {
  /** Of how many blocks it was said that they are written and flushed. */
  acknowledged = 0;
  readonly #name: string;
  readonly #sockets: string[];
  readonly #writers: number;
  readonly #blocksEach: number;
  readonly #paceMs: number;
  readonly #blocks = new Map<number, Block>();
  /** Of each block, all that was ever sent to it. */
  readonly #sent = new Map<number, number[]>();
  /** Of each write, which ones were sent and not acknowledged when it was sent: one for each writer at most. */
  readonly #openAt = new Map<number, readonly number[]>();
  readonly #salt = randomBytes(SALT_BYTES);
  #number = 0;
  #attempts = 0;
  #isWorking = false;
  #work: Promise<unknown> = Promise.resolve();
  readonly #clients = new Set<HandNbdClient>();

  /** `sockets`: where the volume might be served. */
  constructor(name: string, sockets: string[], { writers = WRITERS, blocksEach = BLOCKS_EACH, paceMs = 0 }: WriterSizes = {}) {
    this.#name = name;
    this.#writers = writers;
    this.#blocksEach = blocksEach;
    this.#paceMs = paceMs;
    this.#sockets = sockets;
  }

  begin(): void {
    this.#isWorking = true;
    this.#work = Promise.all(Array.from({ length: this.#writers }, (_, writer) => this.#goOn(writer)));
  }

  /** Ends at once; what is in flight stays in doubt. */
  async end(): Promise<void> {
    this.#isWorking = false;
    for (const client of this.#clients) client.close();
    await this.#work;
  }

  async untilMore(count: number): Promise<void> {
    const wanted = this.acknowledged + count;
    await until(`${count} more writes are acknowledged`, () => this.acknowledged >= wanted, WORK_BOUND_MS).catch((cause: unknown) => {
      throw new Error(`${count} more writes were to be acknowledged, there are still ${wanted - this.acknowledged} to come`, { cause });
    });
  }

  /** Reads every block there; in words, what is wrong with those that hold anything but what they may. What is read is from then on acknowledged. */
  async faults(socket: string): Promise<string[]> {
    const client = await HandNbdClient.open(socket, this.#name);
    try {
      const found: string[] = [];
      for (const [offsetBytes, block] of this.#blocks) {
        const fault = this.#faultOf(block, await readWell(client, offsetBytes));
        if (fault !== null) found.push(`at ${offsetBytes}: ${fault}`);
      }
      return found;
    } finally {
      client.close();
      await client.ended;
    }
  }

  #faultOf(block: Block, content: Buffer): string | null {
    const may = [block.acknowledged, ...block.inDoubt];
    const number = may.find((candidate) => this.#content(candidate).equals(content));
    if (number === undefined) {
      const holds = content.subarray(0, SALT_BYTES).equals(this.#salt)
        ? `write ${content.readUInt32BE(SALT_BYTES)}`
        : content.toString('hex', 0, 16);
      return `holds ${holds}, may hold ${may.join(' or ')}`;
    }
    // Once it was seen, nothing that is older may come back. What was sent later may still be on its way to nowhere: its connection has ended.
    block.acknowledged = number;
    block.inDoubt = block.inDoubt.filter((candidate) => candidate > number);
    return null;
  }

  /**
   * What is wrong, in words, with a copy of the volume that should be as the volume was at one moment, since which `before` (an `acknowledged` of then, or
   * less) was there: where the last write of all is there, so must be everything that was acknowledged before that one was sent.
   */
  async faultsOfMoment(socket: string, name: string, before: number): Promise<string[]> {
    const client = await HandNbdClient.open(socket, name);
    try {
      const found = new Map<number, number>();
      for (const offsetBytes of this.#sent.keys()) found.set(offsetBytes, this.#numberIn(await readWell(client, offsetBytes)));
      const last = Math.max(0, ...found.values());
      const open = new Set(this.#openAt.get(last));
      const faults = [...found].flatMap(([offsetBytes, number]) => {
        const sent = this.#sent.get(offsetBytes) ?? [];
        const least = Math.max(0, ...sent.filter((each) => each <= last && !open.has(each)));
        const may = [0, ...sent].filter((each) => each >= least);
        return may.includes(number) ? [] : [`at ${offsetBytes}: holds write ${number}, may hold ${may.join(' or ')} (the last is ${last})`];
      });
      return last < before ? [`the last is write ${last}, ${before} were acknowledged before`, ...faults] : faults;
    } finally {
      client.close();
      await client.ended;
    }
  }

  #note(offsetBytes: number, number: number): void {
    const sent = this.#sent.get(offsetBytes) ?? [];
    sent.push(number);
    this.#sent.set(offsetBytes, sent);
    this.#openAt.set(
      number,
      [...this.#blocks.values()].flatMap(({ inDoubt }) => inDoubt.filter((each) => each !== number)),
    );
  }

  /** -1: nothing that was ever written here. */
  #numberIn(content: Buffer): number {
    const number = content.subarray(0, SALT_BYTES).equals(this.#salt) ? content.readUInt32BE(SALT_BYTES) : 0;
    return this.#content(number).equals(content) ? number : -1;
  }

  async #goOn(writer: number): Promise<void> {
    for (let turn = 0; this.#isWorking; ) {
      const client = await this.#connect();
      if (client === null) continue;
      this.#clients.add(client);
      while (this.#isWorking && (await this.#writeOne(client, this.#offsetOf(writer, turn)))) {
        turn++;
        if (this.#paceMs > 0) await delay(this.#paceMs);
      }
      this.#clients.delete(client);
      client.close();
    }
  }

  #offsetOf(writer: number, turn: number): number {
    return ((turn % this.#blocksEach) * this.#writers + writer) * APART_BYTES;
  }

  /** False: this connection is of no more use. */
  async #writeOne(client: HandNbdClient, offsetBytes: number): Promise<boolean> {
    const number = ++this.#number;
    const block = this.#blocks.get(offsetBytes) ?? { acknowledged: 0, inDoubt: [] };
    this.#blocks.set(offsetBytes, block);
    block.inDoubt.push(number);
    this.#note(offsetBytes, number);
    // One after the other: a flush speaks only of the writes that were answered before it was sent.
    if (!isWell(await client.write(offsetBytes, this.#content(number))) || !isWell(await client.flush())) return false;
    block.acknowledged = number;
    block.inDoubt = [];
    this.acknowledged++;
    return true;
  }

  /** 0 is what was there before. */
  #content(number: number): Buffer {
    if (number === 0) return Buffer.alloc(BLOCK_BYTES);
    const mark = Buffer.alloc(MARK_BYTES);
    this.#salt.copy(mark);
    mark.writeUInt32BE(number, SALT_BYTES);
    return Buffer.alloc(BLOCK_BYTES, mark);
  }

  /** The socket of one that was killed stays behind: each that is there is tried in turn. */
  async #connect(): Promise<HandNbdClient | null> {
    const there = this.#sockets.filter((path) => existsSync(path));
    const socket = there[this.#attempts++ % there.length];
    const client = socket === undefined ? null : await HandNbdClient.open(socket, this.#name, CONNECT_BOUND_MS).catch(() => null);
    if (client === null) await delay(RETRY_INTERVAL_MS);
    return client;
  }
}

const isWell = (answer: NbdAnswer): boolean => answer.outcome === 'replied' && answer.error === 0;

async function readWell(client: HandNbdClient, offsetBytes: number): Promise<Buffer> {
  const answer = await client.read(offsetBytes, BLOCK_BYTES);
  if (answer.outcome !== 'replied' || answer.error !== 0)
    throw new Error(`the read at ${offsetBytes} was not answered: ${JSON.stringify(answer)}`);
  return answer.data;
}
