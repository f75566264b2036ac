/**
 * What this agent knows of one volume, and what it does about it: every later config goes to the local replicas and to the primary, if one runs
 * here; where the config names this very process as primary, one is started.
 *
 *   known --no config, and its deletion was filed--> gone
 *     |----no config, and nobody filed a deletion--> unrecorded --a later config--> known
 *
 * Level-based: whatever woke us, the latest config decides. It must never go back to an earlier version, nor start a primary again for an epoch
 * in which one of this process has ended; nor take a config that was lost for a volume that was deleted: a primary that runs goes on as it is (it can change nothing
 * without etcd, and whoever is promoted after a recovery seals its replicas first), and none is started; nor start one while etcd is of a schema that this program does
 * not know.
 */
import { nodesOf, type VolumeConfig } from '../../core/config.ts';
import type { VolumeUid } from '../../core/ids.ts';
import type { Keys } from '../../core/keys.ts';
import type { Log } from '../../core/log.ts';
import type { ScrubState } from '../../core/scrub.ts';
import type { Store } from '../../core/store.ts';
import type { SchemaInForce } from '../../edge/schemaWatch.ts';
import type { SnapshotRequest } from '../ports.ts';
import type { SnapshotDone } from '../primary/snapshot.ts';
import { Askers, type TellInForce } from './askers.ts';
import { type CallSlots, retryDelayMs, whenAnswered } from './calls.ts';
import { HostedPrimary, type PrimaryEnvironment } from './hostedPrimary.ts';
import { type Found, type KnownConfig, readKnown } from './knownConfig.ts';
import { ScrubRecord } from './scrubRecord.ts';

/** A primary that hears of later configs from all its replicas asks for one read, not for one each. */
const RECHECK_MS = 100;
/** While a config is not where it was. That it is there again is told by its pointer. */
const UNRECORDED_READ_MS = 5_000;

export type VolumeOptions = {
  store: Store;
  keys: Keys;
  slots: CallSlots;
  log: Log;
  environment: PrimaryEnvironment;
  /** While there is a problem no primary is started; what runs goes on. */
  schema: SchemaInForce;
  /** Gives a config to the replicas of its volume on this node. */
  toReplicas: (config: VolumeConfig) => void;
};

export class Volume {
  readonly uid: VolumeUid;
  readonly #options: VolumeOptions;
  readonly #log: Log;
  #latest: KnownConfig | null = null;
  #primary: HostedPrimary | null = null;
  /** Primaries that ended, until their last connection has gone. */
  #ended: HostedPrimary[] = [];
  #endedEpoch = -1;
  #mayStart = true;
  #isGone = false;
  /** The store has lost its config: nobody deleted it. */
  #isUnrecorded = false;
  /** The version that etcd is said to hold; null: the volume is said to have gone, or not to concern this node. */
  #pointer: number | null = null;
  /** The version that a primary said it made, the last time that one was heard. */
  #rung: number | null = null;
  #mustRead = false;
  #isReading = false;
  #failures = 0;
  #readNotBeforeMs = 0;
  #mustTellAgain = false;
  #problem: string | null = null;
  /** A primary is about to start as soon as it is known how far the one before it came with its scrub. */
  #isStarting = false;
  readonly #askers = new Askers();

  constructor(uid: VolumeUid, options: VolumeOptions) {
    this.uid = uid;
    this.#options = options;
    this.#log = options.log.child({ uid });
  }

  get latest(): VolumeConfig | null {
    return this.#latest?.config ?? null;
  }

  /** It was deleted; the latest config that was seen is of the past. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** A primary runs here. */
  get isServing(): boolean {
    return this.#primary !== null;
  }

  /** Primaries that ended and still have a connection. */
  get endings(): number {
    return this.#ended.length;
  }

  get resyncLeftBytes(): number {
    return this.#primary?.resyncLeftBytes ?? 0;
  }

  /** No primary, no connection of one, and nothing that says that the volume concerns this node. */
  get isForgettable(): boolean {
    const isBusy =
      this.#mustRead || this.#isReading || this.#askers.areWaiting || this.#isStarting || this.#primary !== null || this.#ended.length > 0;
    return !isBusy && this.#pointer === null && !this.#concernsUs;
  }

  get #concernsUs(): boolean {
    const { node } = this.#options.environment;
    return !this.#isGone && this.#latest !== null && nodesOf(this.#latest.config).includes(node);
  }

  /** Ticks find nothing to do until something is heard. */
  get isResting(): boolean {
    const mustRead = (this.#mustRead || this.#askers.areUnread) && !this.#isReading;
    if (this.#mustTellAgain || mustRead || this.isForgettable) return false;
    const mustStart = this.#primary === null && !this.#isStarting && this.#mayStart && this.#named !== null && this.#isKnownSchema;
    return !mustStart && this.#ended.every((primary) => !primary.isOver) && this.#primary?.isResting !== false;
  }

  /** Null: there is no pointer (any more). */
  pointedAt(version: number | null): void {
    const isLookedFor = this.#isUnrecorded && this.#options.environment.clock.monotonicMs() >= this.#readNotBeforeMs;
    const isNews = version === null ? this.#pointer !== null || isLookedFor : version > (this.#latest?.config.version ?? -1);
    this.#pointer = version;
    if (isNews) this.#mustRead = true;
    this.#readIfDue();
  }

  /** A primary says that it has made that version. Each bell is heard once, true or not. */
  rung(version: number): void {
    const isNews = version !== this.#rung && version > (this.#latest?.config.version ?? -1);
    this.#rung = version;
    if (isNews) this.#mustRead = true;
    this.#readIfDue();
  }

  /** Somebody says that there is a later one. */
  recheck(): void {
    this.#mustRead = true;
  }

  /**
   * Which config is in force, for who has heard of a primary of that epoch: what is known, if that is so late, else what a reading finds that begins now. One that
   * fails tells what is known, and that it may not be all.
   */
  ask(epoch: number, tell: TellInForce): void {
    this.#askers.add(epoch, tell);
    if (this.#isGone) this.#askers.end({ config: null, isCurrent: true });
    else if (this.#latest !== null) this.#askers.known(this.#latest.config);
    this.#readIfDue();
  }

  /** False: no primary runs here, and nothing will be called. */
  snapshot(request: SnapshotRequest, done: SnapshotDone): boolean {
    return this.#primary?.snapshot(request, done) ?? false;
  }

  letGo(): void {
    this.#mayStart = false;
    this.#primary?.letGo();
  }

  stop(reason: string): void {
    this.#mayStart = false;
    this.#primary?.stop(reason);
    this.#afterPrimary();
  }

  tick(): void {
    if (this.#mustTellAgain) this.#tell();
    this.#primary?.tick();
    this.#afterPrimary();
    this.#readIfDue();
  }

  #readIfDue(): void {
    if (this.#isReading) return;
    const { store, keys, slots, environment } = this.#options;
    const nowMs = environment.clock.monotonicMs();
    const isDue = (this.#mustRead && nowMs >= this.#readNotBeforeMs) || this.#askers.mayRead(nowMs);
    if (!isDue || !slots.tryTake()) return;
    this.#mustRead = false;
    this.#isReading = true;
    this.#askers.readingBegan(nowMs);
    this.#readNotBeforeMs = nowMs + RECHECK_MS;
    whenAnswered(
      this.#read(store, keys),
      (found) => {
        this.#answered(slots);
        this.#failures = 0;
        if (found === 'deleted') this.#gone();
        else if (found === 'lost') this.#lost();
        else this.#seen(found);
        this.#tellAskers(true);
      },
      () => {
        this.#answered(slots);
        this.#failures++;
        this.#mustRead = true;
        this.#readNotBeforeMs = environment.clock.monotonicMs() + retryDelayMs(this.#failures);
        this.#tellAskers(false);
      },
    );
  }

  #answered(slots: CallSlots): void {
    this.#isReading = false;
    slots.release();
  }

  /** A reading has ended. Whoever asked meanwhile needs another. */
  #tellAskers(isCurrent: boolean): void {
    this.#askers.readingEnded({ config: this.#isGone ? null : this.latest, isCurrent });
    if (this.#askers.areUnread) this.#readIfDue();
  }

  /** That it was deleted is written together with the config's end, so whoever finds no config finds that, if it is so. */
  async #read(store: Store, keys: Keys): Promise<Exclude<Found, null> | 'deleted' | 'lost'> {
    const found = await readKnown({ store, keys }, this.uid, this.#options.environment.node, this.#latest);
    if (found !== null) return found;
    if (this.#latest === null) return 'deleted';
    return (await store.get(keys.deletedOf(this.uid))) === null ? 'lost' : 'deleted';
  }

  #seen(found: Found): void {
    // The primary's proposer found none: what that means is found out by the next reading.
    if (found === null) return this.recheck();
    if ('problem' in found) {
      if (this.#problem !== found.problem) this.#log.error('config refused, the one before stays in force', { problem: found.problem });
      this.#problem = found.problem;
      return;
    }
    // What a primary wrote and does not count: what the leader wrote does.
    if (found.refusal !== null && this.#problem !== found.refusal)
      this.#log.error('what a primary wrote is refused', { problem: found.refusal });
    this.#problem = found.refusal;
    const before = this.#latest?.config.version ?? -1;
    const { version } = found.config;
    if (version < before) {
      // An answer that was overtaken by a later one; or etcd was restored from a backup, over which only a person may decide.
      this.#log.debug('earlier config ignored', { version, before });
      return;
    }
    if (this.#isUnrecorded) this.#log.info('the store has its config again', { version, before });
    this.#isUnrecorded = false;
    this.#latest = found;
    if (version > before) this.#tell();
    this.#askers.known(found.config);
  }

  /** What runs goes on as it is. */
  #lost(): void {
    if (!this.#isUnrecorded)
      this.#log.error('the store has lost its config, and nobody deleted the volume: what is served is served on, until it is recovered', {
        version: this.#latest?.config.version,
        isServed: this.#primary !== null,
      });
    this.#isUnrecorded = true;
    this.#readNotBeforeMs = this.#options.environment.clock.monotonicMs() + UNRECORDED_READ_MS;
  }

  /** Deleted for good: a uid never comes again. Its replicas wait for their tasks. */
  #gone(): void {
    this.#isGone = true;
    this.#isUnrecorded = false;
    this.#mayStart = false;
    this.#primary?.stop('the volume was deleted');
    this.#afterPrimary();
    this.#pointer = null;
  }

  #tell(): void {
    this.#mustTellAgain = false;
    const config = this.latest;
    if (config === null) return;
    this.#options.toReplicas(config);
    this.#primary?.observe(config);
    this.#afterPrimary();
  }

  /** The engine may have ended in any of the calls above. */
  #afterPrimary(): void {
    if (this.#primary?.hasEnded) {
      this.#endedEpoch = this.#primary.epoch;
      this.#ended.push(this.#primary);
      this.#primary = null;
    }
    if (this.#ended.length > 0) this.#ended = this.#ended.filter((primary) => !primary.isOver);
    this.#startIfNamed();
  }

  /** The config that names this process, in an epoch in which none of its primaries has ended. */
  get #named(): KnownConfig | null {
    const { node, instance } = this.#options.environment;
    const { primary, epoch } = this.#latest?.config ?? { primary: null, epoch: -1 };
    if (this.#isUnrecorded) return null;
    return primary?.node === node && primary.instance === instance && epoch > this.#endedEpoch ? this.#latest : null;
  }

  get #isKnownSchema(): boolean {
    return this.#options.schema.problem === null;
  }

  #startIfNamed(): void {
    const { environment, store, keys, slots } = this.#options;
    const isBusy = this.#primary !== null || this.#isStarting;
    if (isBusy || !this.#mayStart || this.#named === null || !this.#isKnownSchema || !slots.tryTake()) return;
    this.#isStarting = true;
    const { clock } = environment;
    const record = new ScrubRecord(this.uid, { store, keys, slots, clock, log: this.#log, latest: () => this.#named });
    record.read((scrub) => {
      this.#isStarting = false;
      slots.release();
      // Meanwhile it may name another, or an epoch more.
      if (this.#mayStart && this.#named !== null) this.#start(this.#named, scrub, record);
    });
  }

  #start(known: KnownConfig, scrub: ScrubState | null, record: ScrubRecord): void {
    const { environment, store, keys, schema } = this.#options;
    const proposing = {
      store,
      keys,
      schema,
      node: environment.node,
      latest: () => this.#latest ?? known,
      read: () => readKnown({ store, keys }, this.uid, environment.node, this.#latest),
      seen: (found: Found) => this.#seen(found),
      tellAgain: () => {
        this.#mustTellAgain = true;
      },
      recheck: () => this.recheck(),
    };
    this.#primary = new HostedPrimary({ config: known.config, scrub, record, proposing }, environment);
  }
}
