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

/**
 * For a thread of primaries. `pools`: where they lie, by name. The library is loaded for the first replica, not before: Node ends with SIGABRT, whatever code it was
 * to exit with, when a process exits while a thread of it loads one, and an agent that may not start does so as its threads come up.
 */
export function localReads(pools: ReadonlyMap<string, string>, log: Log): OpenReads {
  const turns = new Map<string, Turns>([...pools.keys()].map((pool) => [pool, new Turns()]));
  let loading: Promise<PageCache | null> | null = null;
  return ({ replica, pool }) => {
    const path = pools.get(pool);
    const turnsOfPool = turns.get(pool);
    if (path === undefined || turnsOfPool === undefined) return null;
    loading ??= load(log);
    return new CachedFile(loading, `${replicaDirectory(replicasPath(path), replica)}/${DATA_FILE}`, turnsOfPool);
  };
}

async function load(log: Log): Promise<PageCache | null> {
  const cache = await openPageCache();
  if (!('problem' in cache)) return cache;
  log.warn('all reads go through the threads of the pools', { reason: cache.problem });
  return null;
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
  readonly #turns: Turns;
  #file: { cache: PageCache; descriptor: number } | null = null;
  #isClosed = false;

  /** `loading` resolves with null where this machine cannot: then it stays unread. */
  constructor(loading: Promise<PageCache | null>, path: string, turns: Turns) {
    this.#turns = turns;
    void loading.then((cache) => {
      if (cache) turns.wait((ended) => this.#open(cache, path, ended));
    });
  }

  read(offsetBytes: number, target: Buffer): boolean {
    return this.#file?.cache.read(this.#file.descriptor, offsetBytes, target) ?? false;
  }

  close(): void {
    this.#isClosed = true;
    if (this.#file) this.#closeLater(this.#file.descriptor);
    this.#file = null;
  }

  #open(cache: PageCache, path: string, ended: () => void): void {
    if (this.#isClosed) return ended();
    fs.open(path, O_RDONLY | O_NOATIME, (error, descriptor) => {
      // What cannot be opened is the pool's thread's to say.
      if (!error && this.#isClosed) this.#closeLater(descriptor);
      else if (!error) this.#file = { cache, descriptor };
      ended();
    });
  }

  #closeLater(descriptor: number): void {
    this.#turns.wait((ended) => fs.close(descriptor, () => ended()));
  }
}
