/**
 * One client of one volume: one request at a time, each of a few blocks on either side of an extent's border, on whichever socket it gets a connection
 * to. Half of its connections it never leaves, whatever happens to the server, and on half of those it only reads: they are the ones that a zombie would answer. Must never forget a write
 * that was sent.
 */
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { HandNbdClient, type NbdAnswer } from '../support/nbdClient.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import { BLOCK_BYTES } from './content.ts';
import type { Range, Recorder } from './recorder.ts';

const EXTENT_BYTES = 1024 * 1024;
const EXTENT_BLOCKS = EXTENT_BYTES / BLOCK_BYTES;
/** Around each border: two blocks of the extent before it, two of the one behind it. */
const GROUP_BLOCKS = 4;

const CONNECT_BOUND_MS = 1_000;
const RECONNECT_MS = 50;
const PAUSE_MS_MAX = 24;
const IMPATIENT_MS = { min: 500, spread: 2_500 };
const SHARE = { patient: 0.5, onlyReads: 0.5, read: 0.52, write: 0.43, single: 0.6 };

export type Target = { volume: string; salt: number; borders: number; sockets: readonly string[] };

/** How a client treats one of its connections; null: it never leaves it. */
type Manner = { patienceMs: number | null; onlyReads: boolean };

export const volumeBytes = (borders: number): number => (borders + 1) * EXTENT_BYTES;

export class HistoryClient {
  readonly #id: number;
  readonly #target: Target;
  readonly #recorder: Recorder;
  readonly #random: SeededRandom;
  #isWorking = true;
  #connection: HandNbdClient | null = null;

  constructor(id: number, target: Target, recorder: Recorder, random: SeededRandom) {
    this.#id = id;
    this.#target = target;
    this.#recorder = recorder;
    this.#random = random;
  }

  /** Resolves after `end`. */
  async run(): Promise<void> {
    while (this.#isWorking) {
      const connection = await this.#connect();
      if (connection === null) {
        await delay(RECONNECT_MS);
        continue;
      }
      this.#connection = connection;
      const manner = this.#manner();
      while (this.#isWorking && (await this.#askOne(connection, manner))) await delay(this.#random.below(PAUSE_MS_MAX));
      connection.close();
    }
  }

  /** What has no answer now never gets one. */
  end(): void {
    this.#isWorking = false;
    this.#connection?.close();
  }

  /** A killed agent leaves its socket behind, a stopped one takes connections and says nothing: any may be the right one. */
  async #connect(): Promise<HandNbdClient | null> {
    const there = this.#target.sockets.filter((socket) => existsSync(socket));
    const socket = there[this.#random.below(there.length)];
    return socket === undefined ? null : await HandNbdClient.open(socket, this.#target.volume, CONNECT_BOUND_MS).catch(() => null);
  }

  /** Some who never leave only read: the first write would be all that they ever say to a primary that cannot finish it. */
  #manner(): Manner {
    if (!this.#random.chance(SHARE.patient))
      return { patienceMs: IMPATIENT_MS.min + this.#random.below(IMPATIENT_MS.spread), onlyReads: false };
    return { patienceMs: null, onlyReads: this.#random.chance(SHARE.onlyReads) };
  }

  /** False: this connection is of no more use. */
  async #askOne(connection: HandNbdClient, { patienceMs, onlyReads }: Manner): Promise<boolean> {
    const dice = onlyReads ? 0 : this.#random.unit();
    if (dice < SHARE.read) return await this.#read(connection, patienceMs);
    if (dice < SHARE.read + SHARE.write) return await this.#write(connection, patienceMs);
    return isWell(await within(connection.flush(), patienceMs));
  }

  async #read(connection: HandNbdClient, patienceMs: number | null): Promise<boolean> {
    const range = this.#range();
    const { end } = this.#recorder.beginRead(this.#id, range);
    const data = dataOf(await within(connection.read(range.firstBlock * BLOCK_BYTES, range.blocks * BLOCK_BYTES), patienceMs));
    end(data);
    return data !== null;
  }

  async #write(connection: HandNbdClient, patienceMs: number | null): Promise<boolean> {
    const range = this.#range();
    const { data, end } = this.#recorder.beginWrite(this.#id, range);
    const isAcknowledged = isWell(await within(connection.write(range.firstBlock * BLOCK_BYTES, data), patienceMs));
    end(isAcknowledged);
    return isAcknowledged;
  }

  #range(): Range {
    const border = 1 + this.#random.below(this.#target.borders);
    const first = this.#random.below(GROUP_BLOCKS);
    const blocks = this.#random.chance(SHARE.single) ? 1 : 1 + this.#random.below(GROUP_BLOCKS - first);
    return { ...this.#target, firstBlock: border * EXTENT_BLOCKS - GROUP_BLOCKS / 2 + first, blocks };
  }
}

/** Every block that any client writes, read once each, by a client of its own. Rejects when one is not answered: there are no faults any more. */
export async function readAll(id: number, { borders, volume, salt }: Target, socket: string, recorder: Recorder): Promise<void> {
  const connection = await HandNbdClient.open(socket, volume);
  try {
    for (let border = 1; border <= borders; border++) {
      const range = { volume, salt, firstBlock: border * EXTENT_BLOCKS - GROUP_BLOCKS / 2, blocks: GROUP_BLOCKS };
      const { end } = recorder.beginRead(id, range);
      const data = dataOf(await within(connection.read(range.firstBlock * BLOCK_BYTES, range.blocks * BLOCK_BYTES), 10_000));
      end(data);
      if (data === null)
        throw new Error(
          `${volume}: the last read of blocks ${range.firstBlock} to ${range.firstBlock + GROUP_BLOCKS - 1} was not answered`,
        );
    }
  } finally {
    connection.close();
  }
}

const isWell = (answer: NbdAnswer | null): boolean => answer !== null && answer.outcome === 'replied' && answer.error === 0;

const dataOf = (answer: NbdAnswer | null): Buffer | null => (answer?.outcome === 'replied' && answer.error === 0 ? answer.data : null);

/** Null: not in time. */
async function within(answer: Promise<NbdAnswer>, boundMs: number | null): Promise<NbdAnswer | null> {
  if (boundMs === null) return await answer;
  const given = new AbortController();
  const late = delay(boundMs, null, { signal: given.signal }).catch(() => null);
  try {
    return await Promise.race([answer, late]);
  } finally {
    given.abort();
  }
}
