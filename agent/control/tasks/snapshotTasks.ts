/**
 * Snapshots that the leader wants of volumes whose primary is here: asks the primary, and records what it kept.
 *
 *   looking --not recorded--> waiting --a primary is here--> taking --kept--> recording --committed--> over
 *      |--recorded--> over       |--nobody in time--> over      |--not kept--> over   |--claim, epoch or primary is another--> over
 *                                                                                     |--no answer, conflict--> checking --not recorded--> recording
 *                                                                                                                  |--recorded--> over
 *
 * An attempt's number is the store's revision from before its barrier, read under a claim of its own: no other attempt has the same, and a later one has
 * a higher. What an attempt kept counts from the transaction on that records it, which compares the config (so no later epoch has begun) and the claim (so the
 * leader has not given it up). It must never end before the outcome of that transaction is known: the next attempt removes what this one kept.
 */
import type { Clock } from '../../../core/clock.ts';
import type { InstanceId, NodeName, VolumeUid } from '../../../core/ids.ts';
import { unchangedConfig } from '../../../core/inForce.ts';
import type { Keys } from '../../../core/keys.ts';
import type { Log } from '../../../core/log.ts';
import type { RecordedSnapshot } from '../../../core/snapshot.ts';
import type { Condition, Store } from '../../../core/store.ts';
import type { TaskSpec } from '../../../core/task.ts';
import type { SnapshotRequest } from '../../ports.ts';
import type { SnapshotDone, SnapshotOutcome } from '../../primary/snapshot.ts';
import { retryDelayMs, whenAnswered } from '../calls.ts';
import { type KnownConfig, readKnown } from '../knownConfig.ts';

/** How long a task waits for the primary that it was filed for to be started here. */
const PRIMARY_WAIT_MS = 10_000;

export type SnapshotSpec = Extract<TaskSpec, { kind: 'snapshot' }>;

export type SnapshotTasksOptions = {
  store: Store;
  keys: Keys;
  clock: Clock;
  node: NodeName;
  instance: InstanceId;
  /** Asks the primary of the volume that runs here; false: there is none, and nothing will be called. */
  ask: (volume: VolumeUid, request: SnapshotRequest, done: SnapshotDone) => boolean;
};

type Ended = (problem: string | null) => void;

export class SnapshotTasks {
  readonly #options: SnapshotTasksOptions;
  readonly #running = new Set<SnapshotTask>();

  constructor(options: SnapshotTasksOptions) {
    this.#options = options;
  }

  /** Resolves with null when it is recorded, or with what went wrong in words. */
  take(spec: SnapshotSpec, claim: Condition, log: Log): Promise<string | null> {
    return new Promise((resolve) => {
      const task: SnapshotTask = new SnapshotTask(spec, claim, log, this.#options, (problem) => {
        this.#running.delete(task);
        resolve(problem);
      });
      this.#running.add(task);
      task.tick();
    });
  }

  get isResting(): boolean {
    return this.#running.size === 0;
  }

  tick(): void {
    for (const task of this.#running) task.tick();
  }
}

type State = 'looking' | 'waiting' | 'taking' | 'recording' | 'checking' | 'over';

class SnapshotTask {
  readonly #options: SnapshotTasksOptions;
  readonly #spec: SnapshotSpec;
  readonly #claim: Condition;
  readonly #log: Log;
  readonly #ended: Ended;
  readonly #key: string;
  readonly #waitUntilMs: number;
  #state: State = 'looking';
  #isBusy = false;
  #failures = 0;
  #notBeforeMs = 0;
  #attempt = 0;
  #kept: RecordedSnapshot | null = null;

  constructor(spec: SnapshotSpec, claim: Condition, log: Log, options: SnapshotTasksOptions, ended: Ended) {
    this.#options = options;
    this.#spec = spec;
    this.#claim = claim;
    this.#log = log;
    this.#ended = ended;
    this.#key = options.keys.snapshot(spec.volume, spec.snapshot);
    this.#waitUntilMs = options.clock.monotonicMs() + PRIMARY_WAIT_MS;
  }

  tick(): void {
    if (this.#isBusy || this.#options.clock.monotonicMs() < this.#notBeforeMs) return;
    switch (this.#state) {
      case 'looking':
      case 'checking':
        return this.#look();
      case 'waiting':
        return this.#ask();
      case 'recording':
        return this.#record();
      case 'taking':
      case 'over':
        return;
    }
  }

  /** Is it recorded already, by this attempt or by one that nobody heard of? */
  #look(): void {
    this.#isBusy = true;
    whenAnswered(
      this.#options.store.list(this.#key),
      ({ entries, revision }) => {
        this.#failures = 0;
        if (entries.some(({ key }) => key === this.#key)) return this.#end(null);
        if (this.#state === 'looking') {
          this.#attempt = Number(revision);
          this.#become('waiting');
        } else this.#become('recording');
      },
      () => this.#unanswered(this.#state),
    );
  }

  #ask(): void {
    const { ask, clock } = this.#options;
    const { volume, snapshot } = this.#spec;
    // Before: the answer may come from within.
    this.#state = 'taking';
    if (ask(volume, { snapshot, attempt: this.#attempt }, (outcome) => this.#answered(outcome))) return;
    this.#state = 'waiting';
    if (clock.monotonicMs() >= this.#waitUntilMs) this.#end('the volume’s primary is not on this node');
  }

  #answered(outcome: SnapshotOutcome): void {
    if (outcome.problem !== null) return this.#end(outcome.problem);
    const { epoch, sizeBytes, replicas } = outcome;
    this.#log.info('snapshot kept by every replica in sync', { epoch, snapshotAttempt: this.#attempt });
    this.#kept = { attempt: this.#attempt, epoch, sizeBytes, createdAtMs: this.#options.clock.wallMs(), replicas };
    this.#become('recording');
  }

  /** The config first: its revision is what the record compares. */
  #record(): void {
    this.#isBusy = true;
    whenAnswered(
      readKnown(this.#options, this.#spec.volume, this.#options.node, null),
      (known) => {
        // What was sent under an earlier revision can land no more: a later one was seen.
        if (known === null || !('config' in known) || !this.#isOurs(known.config))
          return this.#end('another primary has taken over meanwhile');
        this.#commit(known);
      },
      () => this.#unanswered('recording'),
    );
  }

  #isOurs({ epoch, primary }: { epoch: number; primary: { node: NodeName; instance: InstanceId } | null }): boolean {
    const { node, instance } = this.#options;
    return epoch === this.#kept?.epoch && primary?.node === node && primary.instance === instance;
  }

  #commit(known: KnownConfig): void {
    const { store } = this.#options;
    const conditions: Condition[] = [...unchangedConfig(known), { key: this.#key, is: 'absent' }, this.#claim];
    whenAnswered(
      store.commit(conditions, [{ put: this.#key, value: JSON.stringify(this.#kept) }]),
      // A crash right after it: the snapshot exists, and its task is done by whoever looks next.
      ({ committed }) => (committed ? this.#end(null) : this.#checkClaim()),
      () => this.#unanswered('checking'),
    );
  }

  /** Not committed: one of the three is another. Without the claim nothing of ours can land any more, and somebody else's turn it is. */
  #checkClaim(): void {
    whenAnswered(
      this.#options.store.get(this.#claim.key),
      (entry) => {
        const isHeld = this.#claim.is === 'value' && entry?.value === this.#claim.value;
        if (!isHeld) return this.#end('the task was given up meanwhile');
        this.#unanswered('checking');
      },
      () => this.#unanswered('checking'),
    );
  }

  #become(state: State): void {
    this.#state = state;
    this.#isBusy = false;
    this.tick();
  }

  /** It may have happened, or may still: only a look can tell. */
  #unanswered(next: State): void {
    this.#state = next;
    this.#isBusy = false;
    this.#failures++;
    this.#notBeforeMs = this.#options.clock.monotonicMs() + retryDelayMs(this.#failures);
  }

  #end(problem: string | null): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#ended(problem);
  }
}
