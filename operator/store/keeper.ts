/**
 * Looks after etcd itself while this operator holds the Lease: asks its members, takes at most one step, tells people. It needs no generation: an etcd without space
 * takes none, and two that were at it at once would do no harm, since each asks all members before every step. Must never wait for a member where others wait for it.
 */
import type { Clock } from '../../core/clock.ts';
import { isOperatingError, messageOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { SeenMember, StoreUpkeep } from '../../edge/etcd/upkeep.ts';
import type { Condition } from '../api.ts';
import type { OperatorMetrics } from '../metrics.ts';
import type { Timers } from '../ports.ts';
import type { ObjectEvent } from '../volume/events.ts';
import {
  decideUpkeep,
  done,
  hasNoSpace,
  NO_MEMORY,
  noted,
  type SeenStore,
  type UpkeepLimits,
  type UpkeepMemory,
  type UpkeepStep,
} from './decide.ts';
import { storeConditions, storeEvents } from './status.ts';

/** etcd without space is looked at more often: each look is one step towards having some. */
const LOOK_EVERY_MS = 10_000;
const RESCUE_LOOK_EVERY_MS = 1_000;
/** Quotas change with a restart of the member; its metrics are long. */
const QUOTA_EVERY_MS = 600_000;

export type KeeperPorts = {
  upkeep: StoreUpkeep;
  clock: Clock;
  timers: Timers;
  log: Log;
  metrics: OperatorMetrics;
  limits: UpkeepLimits;
  tell(event: ObjectEvent): void;
  /** What no retry mends. */
  fail(error: unknown): void;
};

export class Keeper {
  readonly #ports: KeeperPorts;
  #memory: UpkeepMemory = NO_MEMORY;
  #conditions: readonly Condition[] = [];
  #quotas = new Map<string, number>();
  #quotasMs = Number.NEGATIVE_INFINITY;
  #hasNoSpace = false;
  #ending: AbortController | null = null;
  #terms: Promise<void> = Promise.resolve();
  /** What was wrong with looking, said once. */
  #said: string | null = null;

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
  }

  /** As of the last look; none before that, and after the term. */
  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** The Lease was won. */
  begin(): void {
    const ending = new AbortController();
    this.#ending = ending;
    this.#terms = this.#terms.then(() => this.#run(ending.signal)).catch((error: unknown) => this.#ports.fail(error));
  }

  /** The Lease was lost. A step that is under way goes on, no other is begun. */
  end(): void {
    this.#ending?.abort();
  }

  /** Resolves when nothing of a term runs any more. */
  idle(): Promise<void> {
    return this.#terms;
  }

  async #run(signal: AbortSignal): Promise<void> {
    this.#memory = NO_MEMORY;
    while (!signal.aborted) {
      await this.#look(signal);
      await this.#ports.timers.sleep(this.#hasNoSpace ? RESCUE_LOOK_EVERY_MS : LOOK_EVERY_MS, signal);
    }
    this.#conditions = [];
    this.#ports.metrics.storeForgotten();
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { clock, limits } = this.#ports;
    try {
      const seen = await this.#see();
      if (signal.aborted) return;
      const nowMs = clock.monotonicMs();
      this.#memory = noted(seen, this.#memory, limits, nowMs);
      const step = decideUpkeep(seen, this.#memory, limits, nowMs);
      this.#say(seen, step);
      if (step.kind !== 'none') await this.#take(step);
      this.#said = null;
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      const text = messageOf(error);
      if (this.#said !== text) this.#ports.log.warn('etcd could not be looked after', { error: text });
      this.#said = text;
    }
  }

  async #see(): Promise<SeenStore> {
    const { upkeep, metrics } = this.#ports;
    const members = await upkeep.members();
    const [alarms, revision, count] = await Promise.all([upkeep.alarms(), upkeep.revision(), upkeep.memberCount()]);
    this.#hasNoSpace = alarms.some(({ kind }) => kind === 'NOSPACE');
    await this.#askQuotas(members);
    const known = new Set(members.flatMap(({ status }) => status?.id ?? []));
    const seen = { members, alarms, revision, isWhole: known.size === count, quotas: this.#quotas };
    metrics.storeSeen(seen);
    return seen;
  }

  async #askQuotas(members: readonly SeenMember[]): Promise<void> {
    const { upkeep, clock } = this.#ports;
    const isDue = clock.monotonicMs() - this.#quotasMs >= QUOTA_EVERY_MS;
    if (!isDue && !this.#hasNoSpace) return;
    this.#quotasMs = clock.monotonicMs();
    const asked = members.map(async ({ url, status }): Promise<[string, number][]> => {
      const quotaBytes = status === null ? null : await upkeep.quotaBytes(url);
      return status === null || quotaBytes === null ? [] : [[status.id, quotaBytes]];
    });
    this.#quotas = new Map((await Promise.all(asked)).flat());
  }

  #say(seen: SeenStore, step: UpkeepStep): void {
    const { clock, tell, limits } = this.#ports;
    const hasTried = hasNoSpace(seen) && step.kind === 'none';
    const conditions = storeConditions({ seen, acts: limits.acts, hasTried }, this.#conditions, clock.wallMs());
    for (const event of storeEvents(this.#conditions, conditions)) tell(event);
    this.#conditions = conditions;
  }

  /** A crash in between leaves etcd as it would have been a step earlier, or later: what to do is found anew. */
  async #take(step: UpkeepStep): Promise<void> {
    const { upkeep, clock, log, metrics } = this.#ports;
    const startedMs = clock.monotonicMs();
    try {
      const wasDone = await perform(step, upkeep);
      metrics.storeStep(step.kind, wasDone ? 'done' : 'unneeded');
      if (wasDone) log.info('etcd was looked after', { step, tookMs: Math.round(clock.monotonicMs() - startedMs) });
    } catch (error) {
      metrics.storeStep(step.kind, 'failed');
      throw error;
    } finally {
      this.#memory = done(step, this.#memory, clock.monotonicMs());
    }
  }
}

/** False: somebody else had done it. */
async function perform(step: UpkeepStep, upkeep: StoreUpkeep): Promise<boolean> {
  switch (step.kind) {
    case 'none':
      return false;
    case 'compact':
      return upkeep.compact(step.revision);
    case 'defragment':
      await upkeep.defragment(step.url);
      return true;
    case 'disarm':
      await upkeep.disarm(step.alarm);
      return true;
  }
}
