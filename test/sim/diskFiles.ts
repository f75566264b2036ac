/**
 * The store that ships, on a simulated disk of its own: made as a pool makes it, opened by each process anew, its syncs and removals ended in any order.
 * While no process has it open, the checkers read what the next one would find.
 */
import { IoError, type ReplicaMeta, type ReplicaStore } from '../../agent/ports.ts';
import { createReplica, replicaDirectory } from '../../agent/replica/store/create.ts';
import { DATA_FILE, INTENTS_FILE, STAMPS_FILE } from '../../agent/replica/store/files.ts';
import { IntentLog } from '../../agent/replica/store/intentLog.ts';
import { type NewReplica, readMeta } from '../../agent/replica/store/meta.ts';
import { openReplica } from '../../agent/replica/store/open.ts';
import type { SnapshotKeeper } from '../../agent/replica/store/snapshot.ts';
import { StampFile } from '../../agent/replica/store/stampFile.ts';
import { messageOf } from '../../core/errors.ts';
import { type ExtentSet, extentCount } from '../../core/extent.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import { SimulatedDisk } from '../support/simulatedDisk.ts';
import type { SimulatedInode } from '../support/simulatedFiles.ts';
import type { ReplicaFiles, StoreTiming } from './files.ts';
import { encodePiece, PIECE_BYTES, PIECES_PER_EXTENT } from './layout.ts';
import { delayMs } from './seeds.ts';
import { Violation } from './violation.ts';

const POOL = '/pool';
const SECTORS_PER_PIECE = PIECE_BYTES / 512;
/** Of those that wait, any of so many may end next. */
const REORDER_MAX = 3;

const NO_KEEPER: SnapshotKeeper = { keep: (_source, _request, done) => done(new IoError('notSupported', 'no snapshots here')) };

type Found = { meta: ReplicaMeta; log: ExtentSet; stamps: StampFile };

export class DiskFiles implements ReplicaFiles {
  readonly shard: number;
  readonly #replica: NewReplica;
  readonly #directory: string;
  #disk = new SimulatedDisk({}, [POOL]);
  #store: ReplicaStore | null = null;
  #timing: StoreTiming | null = null;
  #isPumping = false;
  /** Read from the disk, until a process has it open. */
  #found: Found | null = null;
  #dataFile: SimulatedInode | null = null;

  constructor(replica: NewReplica, shard: number) {
    this.shard = shard;
    this.#replica = replica;
    this.#directory = replicaDirectory(POOL, replica.replica);
    let problem: Error | null = null;
    createReplica(this.#disk, POOL, replica, null, (error) => {
      problem = error;
    });
    this.#disk.drain();
    if (problem) throw problem;
  }

  get meta(): ReplicaMeta {
    return this.#store?.meta ?? this.#find().meta;
  }

  get extents(): number {
    return extentCount(this.meta.sizeBytes);
  }

  isLogged(extent: number): boolean {
    return (this.#store?.intents ?? this.#find().log).has(extent);
  }

  /** The disk alone knows: as far as anybody can tell here, it may. */
  mayBeLogged(): boolean {
    return true;
  }

  get logged(): number[] {
    return [...(this.#store?.intents ?? this.#find().log)];
  }

  stamp(extent: number): number {
    return this.#store?.stamp(extent) ?? this.#find().stamps.version(extent);
  }

  value(piece: number): number {
    return this.#valueOf(piece, (sector) => this.#data.cachedWord(sector));
  }

  durableValue(piece: number): number {
    return this.#valueOf(piece, (sector) => this.#data.durableWord(sector));
  }

  *written(extent: number): Iterable<number> {
    let last = -1;
    for (const sector of this.#data.writtenSectors()) {
      const piece = Math.floor(sector / SECTORS_PER_PIECE);
      if (piece === last || Math.floor(piece / PIECES_PER_EXTENT) !== extent) continue;
      last = piece;
      yield piece;
    }
  }

  open(bootId: string, timing: StoreTiming, opened: (store: ReplicaStore | null) => void): void {
    this.#timing = timing;
    const { replica } = this.#replica;
    const options = { disk: this.#disk, directory: this.#directory, replica, bootId, onFailed: () => undefined, keeper: NO_KEEPER };
    openReplica(options, (error, store) => {
      this.#store = store;
      if (!store && this.#find().meta.failed === null) throw new Violation('contract', `${replica} cannot be opened: ${messageOf(error)}`);
      opened(store);
    });
    this.pump();
  }

  pump(): void {
    const timing = this.#timing;
    if (!timing) return;
    this.#disk.mend();
    if (timing.isFull()) this.#disk.fail({ call: 'write', path: new RegExp(`/${DATA_FILE}$`), code: 'ENOSPC' });
    if (this.#isPumping || this.#disk.waitingCompletions.length === 0) return;
    this.#isPumping = true;
    timing.later(delayMs(timing.random, timing.usualMs, timing.usualMs * 50), 'disk', () => {
      this.#isPumping = false;
      const waiting = this.#disk.waitingCompletions;
      const index = timing.random.below(Math.min(REORDER_MAX, waiting.length));
      const isFlush = waiting[index]?.endsWith(`/${DATA_FILE}`) ?? false;
      if (isFlush && timing.flushFails()) this.#disk.fail({ call: 'syncData', code: 'EIO', times: 1 });
      this.#disk.completeNext(index);
      this.pump();
    });
  }

  killed(_random: SeededRandom): void {
    this.#disk = this.#disk.killProcess();
    this.#closed();
  }

  powerLost(random: SeededRandom, tears: boolean): number {
    this.#disk = this.#disk.losePower({ random, sectors: tears ? SECTORS_PER_PIECE : 2 * SECTORS_PER_PIECE });
    this.#closed();
    return 0;
  }

  rot(piece: number, value: number): void {
    const bytes = Buffer.alloc(PIECE_BYTES);
    encodePiece(value, bytes, 0);
    this.#data.rot(bytes, piece * PIECE_BYTES);
  }

  #closed(): void {
    this.#store = null;
    this.#timing = null;
    this.#isPumping = false;
    this.#found = null;
    this.#dataFile = null;
  }

  get #data(): SimulatedInode {
    const file = this.#dataFile ?? this.#disk.inode(`${this.#directory}/${DATA_FILE}`);
    if (!file) throw new Violation('contract', `${this.#replica.replica} has lost its data file`);
    this.#dataFile = file;
    return file;
  }

  #valueOf(piece: number, word: (sector: number) => number): number {
    const first = piece * SECTORS_PER_PIECE;
    const value = word(first);
    for (let sector = first + 1; sector < first + SECTORS_PER_PIECE; sector++) if (word(sector) !== value) return -1;
    return value;
  }

  #find(): Found {
    if (this.#found) return this.#found;
    const { replica } = this.#replica;
    const meta = readMeta(this.#disk, this.#directory, replica);
    if (meta.problem !== null) throw new Violation('contract', `the meta of ${replica} cannot be read: ${meta.problem}`);
    const extents = extentCount(meta.value.sizeBytes);
    const file = (name: string) => this.#disk.openFile(`${this.#directory}/${name}`);
    const never = () => undefined;
    const log = new IntentLog(file(INTENTS_FILE), { name: 'intents', replica }, extents, never).extents;
    const stamps = new StampFile(file(STAMPS_FILE), { name: 'stamps', replica }, extents, never);
    this.#found = { meta: meta.value, log, stamps };
    return this.#found;
  }
}
