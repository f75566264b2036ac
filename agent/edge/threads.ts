/**
 * How many threads libuv gets for syncs and removals. Imported before anything else by `main.ts`: the pool's size is read once, when it is first used.
 * A disk that hangs keeps its own few threads; with too small a pool it would keep those of the others, and of name resolution, too.
 */
import process from 'node:process';

/**
 * As in `disk.ts`, which this must not import: nothing that may use a thread is to be loaded before. All threads of the process share libuv's: also the
 * workers. One more is for the look at each pool's directory at the start, which may hang as well, and one for each worker of primaries, of which there are at
 * most four: each opens and closes one file of a pool at a time.
 */
const THREADS_PER_DISK = 4 + 1 + 4;
const THREADS_BESIDE = 8;
const THREADS_MAX = 256;

const pools = (process.env.POOLS ?? '').split(',').length;
process.env.UV_THREADPOOL_SIZE ??= String(Math.min(THREADS_MAX, pools * THREADS_PER_DISK + THREADS_BESIDE));
