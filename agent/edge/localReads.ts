/**
 * The data files of this agent's replicas as the threads of primaries read them: what is in the page cache, by a descriptor of their own, while a session with the
 * replica is open. All else is the pool's thread's to read.
 *
 *   opening --opened--> open --close--> closed        opening, open --close, cannot be read so--> closed
 *
 * Must never wait for a disk: files are opened and closed by libuv's threads, for each pool one at a time, so that a disk that hangs keeps no more than one of them
 * from every worker. Must never read for a session that has ended: the descriptor is this file's alone, and closed with it.
 */
import fs from 'node:fs';
import type { Log } from '../../core/log.ts';
import { replicasPath } from '../pool/layout.ts';
import type { LocalReads, OpenReads } from '../ports.ts';
import { replicaDirectory } from '../replica/store/create.ts';
import { DATA_FILE } from '../replica/store/files.ts';
import { openPageCache, type PageCache } from './pageCache.ts';

const { O_RDONLY, O_NOATIME } = fs.constants;

/** For a thread of primaries. `pools`: where they lie, by name. */
export async function localReads(pools: ReadonlyMap<string, string>, log: Log): Promise<OpenReads> {
  const cache = await openPageCache();
  if ('problem' in cache) {
    log.warn('all reads go through the threads of the pools', { reason: cache.problem });
    return () => null;
  }
  const turns = new Map<string, Turns>([...pools.keys()].map((pool) => [pool, new Turns()]));
  return ({ replica, pool }) => {
    const path = pools.get(pool);
    const turnsOfPool = turns.get(pool);
    if (path === undefined || turnsOfPool === undefined) return null;
    return new CachedFile(cache, `${replicaDirectory(replicasPath(path), replica)}/${DATA_FILE}`, turnsOfPool);
  };
}

/** One after the other: `next` begins when the one before has said that it ended. */
class Turns {
  readonly #waiting: ((ended: () => void) => void)[] = [];
  #isBusy = false;

  /** As many as there are sessions to replicas of the pool. */
  wait(act: (ended: () => void) => void): void {
    this.#waiting.push(act);
    if (!this.#isBusy) this.#next();
  }

  #next(): void {
    const act = this.#waiting.shift();
    this.#isBusy = act !== undefined;
    act?.(() => this.#next());
  }
}

class CachedFile implements LocalReads {
  readonly #cache: PageCache;
  readonly #turns: Turns;
  #descriptor: number | null = null;
  #isClosed = false;

  constructor(cache: PageCache, path: string, turns: Turns) {
    this.#cache = cache;
    this.#turns = turns;
    turns.wait((ended) => {
      if (this.#isClosed) return ended();
      fs.open(path, O_RDONLY | O_NOATIME, (error, descriptor) => {
        // What cannot be opened is the pool's thread's to say.
        if (!error) this.#opened(descriptor);
        ended();
      });
    });
  }

  read(offsetBytes: number, target: Buffer): boolean {
    return this.#descriptor !== null && this.#cache.read(this.#descriptor, offsetBytes, target);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#descriptor === null) return;
    this.#closeLater(this.#descriptor);
    this.#descriptor = null;
  }

  #opened(descriptor: number): void {
    if (this.#isClosed) this.#closeLater(descriptor);
    else this.#descriptor = descriptor;
  }

  #closeLater(descriptor: number): void {
    this.#turns.wait((ended) => fs.close(descriptor, () => ended()));
  }
}
