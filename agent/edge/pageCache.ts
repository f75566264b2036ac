/**
 * What the kernel has of a file in its page cache, read by whichever thread asks, without waiting for the disk: two calls of the C library that Node has not.
 *
 * Must never wait for a disk: a thread of primaries serves volumes on many. `preadv2` with RWF_NOWAIT does not wait for pages, but it begins to read those that
 * are missing, and a disk that hangs can hold it up in that. So the kernel is asked first whether all of it is there (`cachestat`, Linux 6.5); what is dropped
 * between the two calls is read ahead, and no more. No file system needs to write for it either: the file is opened with O_NOATIME.
 */
import { messageOf } from '../../core/errors.ts';

/** x86 and ARM alike. */
const CACHESTAT = 451;
const RWF_NOWAIT = 0x08;

export type PageCache = {
  /** Whether `target` now has what the file has there: only if all of it was in the cache. */
  read(descriptor: number, offsetBytes: number, target: Buffer): boolean;
};

/** As in the kernel's headers: each of so many 64 bits. */
const RANGE_FIELDS = 2;
const STATISTICS_FIELDS = 5;
const VECTOR_FIELDS = 2;

/** Little-endian, as every machine is that this runs on. */
function setU64(words: Uint32Array, field: number, value: number): void {
  words[field * 2] = value % 2 ** 32;
  words[field * 2 + 1] = Math.floor(value / 2 ** 32);
}

/** Of this thread. Resolves with why there is none, where this machine cannot. */
export async function openPageCache(): Promise<PageCache | { problem: string }> {
  try {
    return bind((await import('koffi')).default);
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

type Koffi = typeof import('koffi')['default'];

function bind(koffi: Koffi): PageCache | { problem: string } {
  const library = koffi.load(null);
  const cachestat = library.func('long syscall(long number, int fd, uintptr_t range, uintptr_t statistics, unsigned int flags)');
  const preadv2 = library.func('int64_t preadv2(int fd, uintptr_t vectors, int count, int64_t offset, int flags)');
  const pageBytes = library.func('int getpagesize()')();
  const range = new Uint32Array(RANGE_FIELDS * 2);
  const statistics = new Uint32Array(STATISTICS_FIELDS * 2);
  const vector = new Uint32Array(VECTOR_FIELDS * 2);
  const at = { range: koffi.address(range), statistics: koffi.address(statistics), vector: koffi.address(vector) };
  const addresses = new Addresses((memory) => Number(koffi.address(memory)));

  const isCached = (descriptor: number, offsetBytes: number, lengthBytes: number): boolean => {
    const pages = Math.floor((offsetBytes + lengthBytes - 1) / pageBytes) - Math.floor(offsetBytes / pageBytes) + 1;
    setU64(range, 0, offsetBytes);
    setU64(range, 1, lengthBytes);
    return cachestat(CACHESTAT, descriptor, at.range, at.statistics, 0) === 0 && statistics[0] === pages;
  };
  // Of no file: a kernel that knows the call finds fault with the descriptor.
  cachestat(CACHESTAT, -1, at.range, at.statistics, 0);
  if (koffi.errno() !== EBADF) return { problem: 'the kernel does not tell what it has in its page cache (Linux 6.5)' };
  return {
    read(descriptor, offsetBytes, target) {
      if (!isCached(descriptor, offsetBytes, target.length)) return false;
      setU64(vector, 0, addresses.of(target));
      setU64(vector, 1, target.length);
      return preadv2(descriptor, at.vector, 1, offsetBytes, RWF_NOWAIT) === target.length;
    },
  };
}

const EBADF = 9;

/** Where memory lies: asked once for each block or slab, most of which are used again. */
class Addresses {
  readonly #ask: (memory: Uint8Array) => number;
  readonly #known = new WeakMap<ArrayBufferLike, number>();
  #last: ArrayBufferLike | null = null;
  #lastAt = 0;

  constructor(ask: (memory: Uint8Array) => number) {
    this.#ask = ask;
  }

  of({ buffer, byteOffset }: Buffer): number {
    if (buffer !== this.#last) {
      this.#lastAt = this.#known.get(buffer) ?? this.#ask(new Uint8Array(buffer));
      this.#known.set(buffer, this.#lastAt);
      this.#last = buffer;
    }
    return this.#lastAt + byteOffset;
  }
}
