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
import { promisify } from 'node:util';
import type { Log } from '../../core/log.ts';
import { Turns } from '../../core/turns.ts';
import { replicasPath } from '../pool/layout.ts';
import type { LocalReads, OpenReads } from '../ports.ts';
import { replicaDirectory } from '../replica/store/create.ts';
import { DATA_FILE } from '../replica/store/files.ts';
import { openPageCache, type PageCache } from './pageCache.ts';

const { O_RDONLY, O_NOATIME } = fs.constants;
const [open, close] = [promisify(fs.open), promisify(fs.close)];

/**
 * For a thread of primaries. `pools`: where they lie, by name. The library is loaded for the first replica, not before: Node ends with SIGABRT, whatever code it was
 * to exit with, when a process exits while a thread of it loads one, and an agent that may not start does so as its threads come up.
 */
export function localReads(pools: ReadonlyMap<string, string>, log: Log): OpenReads {
  const turns = new Turns();
  let loading: Promise<PageCache | null> | null = null;
  return ({ replica, pool }) => {
    const path = pools.get(pool);
    if (path === undefined) return null;
    loading ??= load(log);
    const file = `${replicaDirectory(replicasPath(path), replica)}/${DATA_FILE}`;
    return new CachedFile(loading, file, (work) => void turns.take(pool, work));
  };
}

async function load(log: Log): Promise<PageCache | null> {
  const cache = await openPageCache();
  if (!('problem' in cache)) return cache;
  log.warn('all reads go through the threads of the pools', { reason: cache.problem });
  return null;
}

/** What is done to one pool's files, one after the other. */
type InTurn = (work: () => Promise<void>) => void;

/** As many wait for a turn as there are sessions to replicas of the pool. */
class CachedFile implements LocalReads {
  readonly #inTurn: InTurn;
  #file: { cache: PageCache; descriptor: number } | null = null;
  #isClosed = false;

  /** `loading` resolves with null where this machine cannot: then it stays unread. */
  constructor(loading: Promise<PageCache | null>, path: string, inTurn: InTurn) {
    this.#inTurn = inTurn;
    void loading.then((cache) => {
      if (cache) inTurn(() => this.#open(cache, path));
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

  async #open(cache: PageCache, path: string): Promise<void> {
    if (this.#isClosed) return;
    // What cannot be opened is the pool's thread's to say.
    const descriptor = await open(path, O_RDONLY | O_NOATIME).catch(() => null);
    if (descriptor === null) return;
    if (this.#isClosed) this.#closeLater(descriptor);
    else this.#file = { cache, descriptor };
  }

  #closeLater(descriptor: number): void {
    this.#inTurn(() => close(descriptor).catch(() => undefined));
  }
}
