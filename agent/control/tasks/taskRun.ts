/**
 * One attempt of one task.
 *
 *   claiming --committed--> doing --effect ended--> ending --committed--> over
 *      |--no answer--> checking --the claim is ours--> doing
 *      |                   |--it is not--> over            ending --conflict, no answer--> rechecking --still ours--> ending
 *      |--conflict--> over                                                                     |--ended, or another's--> over
 *
 * It must never perform an effect without a claim of this very instance and attempt, nor end a task of another attempt.
 */
import type { Clock } from '../../../core/clock.ts';
import type { InstanceId, NodeName } from '../../../core/ids.ts';
import type { Keys } from '../../../core/keys.ts';
import type { Log } from '../../../core/log.ts';
import type { Condition, Store } from '../../../core/store.ts';
import { type Claim, endTask, hasEnded, startTask, type Task, type TaskSpec } from '../../../core/task.ts';
import { retryDelayMs, whenAnswered } from '../calls.ts';
import { parseClaim, parseTask } from '../parse.ts';

/** Does what a task says. Idempotent. Resolves with null, or with what went wrong in words. `claim` holds while the task is this attempt's. */
export type Perform = (spec: TaskSpec, log: Log, claim: Condition) => Promise<string | null>;

export type RunEnvironment = {
  store: Store;
  keys: Keys;
  clock: Clock;
  log: Log;
  node: NodeName;
  instance: InstanceId;
  perform: Perform;
  ended: (spec: TaskSpec, error: string | null, durationMs: number) => void;
};

export const subjectOf = (spec: TaskSpec): string => ('replica' in spec ? spec.replica : spec.snapshot);

type State = 'claiming' | 'checking' | 'doing' | 'ending' | 'rechecking' | 'over';

export class TaskRun {
  readonly #environment: RunEnvironment;
  readonly #log: Log;
  readonly #claim: string;
  #task: Task;
  #revision: string;
  #state: State;
  #error: string | null = null;
  #isBusy = false;
  #failures = 0;
  #notBeforeMs = 0;
  #startedAtMs = 0;

  /** A filed task is claimed; a running one may have been claimed by us without our hearing of it, and is looked at. */
  constructor(task: Task, revision: string, environment: RunEnvironment) {
    const { node, instance, log } = environment;
    this.#environment = environment;
    this.#task = task;
    this.#revision = revision;
    this.#state = task.state === 'filed' ? 'claiming' : 'checking';
    this.#claim = JSON.stringify({ node, instance, attempt: task.attempt } satisfies Claim);
    const { kind, volume: uid } = task.spec;
    const subject = 'replica' in task.spec ? { replica: task.spec.replica } : { snapshot: task.spec.snapshot };
    this.#log = log.child({ uid, ...subject, operation: kind, task: task.id, attempt: task.attempt, traceId: task.traceId });
    this.#step();
  }

  get isOver(): boolean {
    return this.#state === 'over';
  }

  /** What it is about: a replica or a snapshot. */
  get subject(): string {
    return subjectOf(this.#task.spec);
  }

  tick(): void {
    this.#step();
  }

  #step(): void {
    if (this.#isBusy || this.#environment.clock.monotonicMs() < this.#notBeforeMs) return;
    this.#isBusy = true;
    switch (this.#state) {
      case 'over':
        return;
      case 'claiming':
        return this.#claimIt();
      case 'checking':
      case 'rechecking':
        return this.#check();
      case 'doing':
        return this.#perform();
      case 'ending':
        return this.#end();
    }
  }

  #claimIt(): void {
    const { store, keys } = this.#environment;
    const running = startTask(this.#task);
    const task = keys.task(running.node, running.id);
    const claim = keys.claim(running.id);
    const commit = store.commit(
      [
        { key: task, is: 'revision', revision: this.#revision },
        { key: claim, is: 'absent' },
      ],
      [
        { put: claim, value: this.#claim, leased: true },
        { put: task, value: JSON.stringify(running) },
      ],
    );
    whenAnswered(
      commit,
      ({ committed, revision }) => {
        if (committed) this.#claimed(running, revision);
        else this.#become('over');
      },
      () => this.#unanswered('checking'),
    );
  }

  #claimed(task: Task, revision: string): void {
    this.#task = task;
    this.#revision = revision;
    this.#become(this.#startedAtMs === 0 ? 'doing' : 'ending');
  }

  #perform(): void {
    const { perform, clock } = this.#environment;
    this.#startedAtMs = clock.monotonicMs();
    this.#log.info('task claimed');
    // What it throws is a programmer error, and must reach the program's own handler as one.
    const claim: Condition = { key: this.#environment.keys.claim(this.#task.id), is: 'value', value: this.#claim };
    void perform(this.#task.spec, this.#log, claim).then((error) => {
      const durationMs = clock.monotonicMs() - this.#startedAtMs;
      this.#error = error;
      this.#environment.ended(this.#task.spec, error, durationMs);
      if (error === null) this.#log.info('task performed', { durationMs });
      else this.#log.error('task failed', { durationMs, reason: error });
      this.#become('ending');
    });
  }

  #end(): void {
    const { store, keys } = this.#environment;
    const task = keys.task(this.#task.node, this.#task.id);
    const claim = keys.claim(this.#task.id);
    const commit = store.commit(
      [
        { key: claim, is: 'value', value: this.#claim },
        { key: task, is: 'revision', revision: this.#revision },
      ],
      [{ put: task, value: JSON.stringify(endTask(this.#task, this.#error)) }, { delete: claim }],
    );
    whenAnswered(
      commit,
      ({ committed }) => this.#become(committed ? 'over' : 'rechecking'),
      () => this.#unanswered('rechecking'),
    );
  }

  /** Is the task running, in this attempt, under a claim of ours? If not, then somebody else has it, or it has ended. */
  #check(): void {
    const { store, keys } = this.#environment;
    const { node, id } = this.#task;
    const read = Promise.all([store.get(keys.claim(id)), store.get(keys.task(node, id))]);
    whenAnswered(
      read,
      ([claim, entry]) => {
        const task = entry === null ? null : parseTask(entry.value).value;
        const isOurs = task !== null && task.attempt === this.#task.attempt && claim !== null && this.#isMine(claim.value);
        if (isOurs && entry !== null && task.state === 'running') this.#claimed(task, entry.revision);
        else {
          if (this.#startedAtMs !== 0) this.#tellLoss(task);
          this.#become('over');
        }
      },
      () => this.#unanswered(this.#state),
    );
  }

  /** The leader takes a task away when it sees that what it was for is there, or is not wanted any more. */
  #tellLoss(task: Task | null): void {
    if (task === null) this.#log.info('task was taken away by the leader before its end was told');
    else if (!hasEnded(task)) this.#log.warn('task was taken over, its end here does not count');
  }

  #isMine(text: string): boolean {
    const claim = parseClaim(text);
    return claim?.instance === this.#environment.instance && claim.attempt === this.#task.attempt;
  }

  #become(state: State): void {
    this.#state = state;
    this.#isBusy = false;
    this.#failures = 0;
    this.#step();
  }

  /** It may have happened, or may still: only a look can tell. */
  #unanswered(next: State): void {
    this.#state = next;
    this.#isBusy = false;
    this.#failures++;
    this.#notBeforeMs = this.#environment.clock.monotonicMs() + retryDelayMs(this.#failures);
  }
}
