/**
 * Bit rot: of a block that clients wrote once and nobody has read since, what a disk holds changes by itself. The budget: one rotten block at a time, on one
 * replica of three that are all in sync and sound, none with a log that may name its extent; so a majority always tells, and the scrub has to find it. Its extent is used for nothing else: what is
 * compared for another reason is made like the authority, which may be the rotten one.
 *
 * What rotted may spread in one history only (agent/primary/README.md, "Limits"): the scrub began to repair the victim, so that this one has the extent in its log while
 * all others are sound; the repair was cut short, or undone with the power before it was durable; and the next primary levels the extent from the victim. From the
 * first of these until all is sound and in no log again it may be anybody's, but as it rotted, and in the end everybody's. Whoever else has it
 * first, or has it in its log first, had it from somebody who guessed.
 */
import type { BlockClient } from '../../agent/ports.ts';
import { BLOCK_BYTES, BLOCKS_PER_EXTENT } from '../../core/extent.ts';
import type { SeededRandom } from '../support/seededRandom.ts';
import type { Serving } from './agentProcess.ts';
import { inSyncOf, type ReplicaView } from './checkers/view.ts';
import { encodeBlock, PIECE_BYTES } from './layout.ts';
import { pick } from './seeds.ts';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

/** What the cold block holds; no client writes that. */
const SOUND = 0x7fff_0001;
const RETRY_MS = 200;
const TRY_AGAIN_MS = 20;
const TRIES_MAX = 100;

export class Rot {
  readonly #world: World;
  readonly #random: SeededRandom;
  /** Of the volume: in its last whole extent, which clients do not use. */
  readonly #block: number;
  readonly #shard: number;
  readonly #piece: number;
  #isWritten = false;
  #asked: { serving: Serving; client: BlockClient } | null = null;
  #rotten = 0;
  #isOver = false;
  #victim: string | null = null;
  /** The victim had it in its log while it alone was rotten, and not all has been sound since: whoever was promoted then may have levelled it from there. */
  #mayHaveSpread = false;

  constructor(world: World, random: SeededRandom, coldExtent: number) {
    this.#world = world;
    this.#random = random;
    this.#block = coldExtent * BLOCKS_PER_EXTENT + 7;
    const piece = (this.#block * BLOCK_BYTES) / PIECE_BYTES;
    this.#shard = world.layout.shardOfPiece(piece);
    this.#piece = world.layout.pieceInShard(piece);
    this.#later();
  }

  /** Null: every replica in sync holds what was written; or every one what rotted, if that may have spread. */
  unmended(): string | null {
    if (!this.#isWritten) return null;
    const inSync = this.#inSync();
    const bad = inSync.find((view) => !this.#isSound(view));
    if (!bad) return null;
    const hasSpread = this.#mayHaveSpread && inSync.every((view) => this.#isAsItRotted(view));
    return hasSpread ? null : `what rotted on ${bad.id} is not mended`;
  }

  /** A majority of those in sync is sound at any time. */
  check(): void {
    if (!this.#isWritten) return;
    const inSync = this.#inSync();
    const rotten = inSync.filter((view) => !this.#isSound(view));
    const isInRepair = rotten.some((view) => view.id === this.#victim && view.files.isLogged(this.#extent)) && this.#othersAreSound();
    this.#mayHaveSpread = isInRepair || (this.#mayHaveSpread && !this.#isWell(inSync));
    const sound = inSync.length - rotten.length;
    if (inSync.length === 3 && sound < 2 && !this.#mayHaveSpread)
      throw new Violation('inSync', `what rotted on one replica is on ${3 - sound} of 3`);
  }

  /** With the faults: what rots later has nobody's time to be found. */
  end(): void {
    this.#isOver = true;
  }

  /** As soon as all is well, unless that takes too long. */
  strike(triesLeft = TRIES_MAX): void {
    if (this.#isOver) return;
    const scene = this.#world.scene();
    const members = scene.config.shards[this.#shard]?.members ?? [];
    const views = this.#inSync();
    const isWell = members.length === 3 && this.#isWell(views) && views.every((view) => !view.isSuspect);
    if (!this.#isWritten || !isWell) {
      if (triesLeft > 0) this.#world.schedule.after(TRY_AGAIN_MS, 'rot', () => this.strike(triesLeft - 1));
      return;
    }
    const victim = pick(this.#random, views);
    this.#victim = victim?.id ?? null;
    this.#mayHaveSpread = false;
    victim?.files.rot(this.#piece, SOUND + ++this.#rotten);
    this.#world.tally.count('rotten block');
    this.#world.schedule.trace(`rot on ${victim?.id}`);
  }

  #inSync(): ReplicaView[] {
    const scene = this.#world.scene();
    const shard = scene.config.shards[this.#shard];
    return shard ? inSyncOf(shard, scene) : [];
  }

  #isSound({ files }: ReplicaView): boolean {
    return files.value(this.#piece) === SOUND && files.value(this.#piece + 1) === SOUND;
  }

  /** The three that may be there are in sync, sound, and none has a log that may name the extent. */
  #isWell(inSync: readonly ReplicaView[]): boolean {
    return inSync.length === 3 && inSync.every((view) => this.#isSound(view) && !view.files.mayBeLogged(this.#extent));
  }

  /** In sync or not: no member but the victim has what rotted. */
  #othersAreSound(): boolean {
    const { config, replicas } = this.#world.scene();
    return (config.shards[this.#shard]?.members ?? []).every(({ replica }) => {
      const view = replicas.get(replica);
      return replica === this.#victim || !view || this.#isSound(view);
    });
  }

  #isAsItRotted({ files }: ReplicaView): boolean {
    return files.value(this.#piece) === SOUND + this.#rotten && files.value(this.#piece + 1) === SOUND;
  }

  /** Of the shard. */
  get #extent(): number {
    return Math.floor((this.#piece * PIECE_BYTES) / (BLOCKS_PER_EXTENT * BLOCK_BYTES));
  }

  #later(): void {
    this.#world.schedule.after(RETRY_MS, 'cold block', () => this.#write());
  }

  /** Until it is written, durably; again if nobody answers. */
  #write(): void {
    if (this.#isWritten) return;
    const [serving] = this.#world.openSockets();
    if (!serving) return this.#later();
    serving.process.run('cold block', () => {
      if (serving.isOver) return;
      // Who asks again has given up what he asked before: it must not wait beside it.
      if (this.#asked?.serving === serving) this.#asked.client.close();
      const client: BlockClient = serving.device.connect();
      this.#asked = { serving, client };
      client.write(this.#block * BLOCK_BYTES, [encodeBlock(SOUND)], BLOCK_BYTES, true, (error) => {
        this.#isWritten ||= error === null;
      });
    });
    this.#world.schedule.after(10 * RETRY_MS, 'cold block', () => this.#write());
  }
}
