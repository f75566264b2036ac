/** A program for tests: opens the pool at argv[2] as an agent does, says so, and works on a replica until it is killed. */
import { RealDisk } from '../../agent/edge/disk.ts';
import { openPool } from '../../agent/pool/open.ts';
import type { ReplicaStore } from '../../agent/ports.ts';
import { EXTENT_BYTES, extentCount } from '../../core/extent.ts';
import { replicaId, volumeUid } from '../../core/ids.ts';
import { systemRandom } from '../../core/random.ts';

const [, , path = '', sizeText] = process.argv;
const say = (what: string): void => void process.stdout.write(`${what}\n`);

/** A clean may take longer than the next few writes. */
let isCleaning = false;

/** Numbered writes, each under its intent; says each one that is durable, together with what may be out of the log by then. */
function work(store: ReplicaStore, number: number): void {
  const extent = (number * 7) % extentCount(store.meta.sizeBytes);
  const fail = (error: Error | null): void => {
    if (error) throw error;
  };
  store.addIntents([extent], (error) => {
    fail(error);
    const bytes = Buffer.alloc(4096);
    bytes.writeUInt32LE(number, 0);
    store.write(extent * EXTENT_BYTES, [bytes], bytes.length);
    store.setStamp(extent, number);
    if (number % 3 === 0 && !isCleaning) {
      isCleaning = true;
      store.clean(
        [extent],
        () => true,
        (cleanError) => {
          isCleaning = false;
          fail(cleanError);
        },
      );
    }
    store.flush((flushError) => {
      fail(flushError);
      say(`durable ${extent} ${number}`);
      setImmediate(() => work(store, number + 1));
    });
  });
}

openPool({ name: 'fast', path, disk: new RealDisk(), bootId: 'boot-1', random: systemRandom }, (error, pool) => {
  if (error || !pool) {
    process.stderr.write(`${error?.message}\n`);
    process.exit(1);
  }
  say('held');
  if (sizeText === undefined) {
    // The lock is what the test is about: stay alive until killed.
    setInterval(() => undefined, 60_000);
    return;
  }
  const replica = { replica: replicaId('00112233aabbccdd'), volume: volumeUid('v-1'), volumeName: 'v', sizeBytes: Number(sizeText) };
  pool.createReplica(replica, (createError, store) => {
    if (createError || !store) throw createError;
    say(`first ${store.changedSince(0).size}`);
    work(store, Math.max(0, ...[...store.changedSince(0)].map((extent) => store.stamp(extent))) + 1);
  });
});
