/**
 * The tasks of this node: claims those that are filed, has them done, ends them. Level-based over `tasks/<me>/`. Must never do more than TASKS_MAX at
 * a time, nor two for one replica or snapshot, nor take over what a former instance of this agent has claimed: the leader files that again.
 */
import type { Entry, StoreLease, View } from '../../../core/store.ts';
import { hasEnded, type Task } from '../../../core/task.ts';
import type { SchemaSight } from '../../../edge/schemaWatch.ts';
import { parseTask } from '../parse.ts';
import { type RunEnvironment, subjectOf, TaskRun } from './taskRun.ts';

/** Making and removing replicas is short, and the disks have other work. */
export const TASKS_MAX = 4;
/** How often a task that was not to be had, or that somebody else does, is looked at again. */
const LOOK_AGAIN_MS = 1_000;
/** Of the tasks of one node; the leader files far fewer. */
const TASKS_SEEN_MAX = 65_536;

export type TaskRunnerOptions = RunEnvironment & {
  lease: StoreLease;
  /** While there is a problem nothing is begun; what is in work goes on. */
  schema: SchemaSight;
  /** A task that cannot be read. */
  refused: () => void;
};

export class TaskRunner {
  readonly #options: TaskRunnerOptions;
  readonly #view: View;
  readonly #runs = new Map<string, TaskRun>();
  /** By key: what the entry of that revision says. */
  #parsed = new Map<string, { revision: string; task: Task | null }>();
  readonly #notBeforeMs = new Map<string, number>();
  #mustLook = false;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;

  constructor(options: TaskRunnerOptions) {
    this.#options = options;
    this.#view = options.store.view(options.keys.tasksOf(options.node), () => {
      this.#mustLook = true;
    });
  }

  get runsInWork(): number {
    return this.#runs.size;
  }

  /** Takes no more; what is in work goes on. */
  stop(): void {
    this.#isStopped = true;
    this.#view.close();
  }

  tick(nowMs: number): void {
    for (const [id, run] of this.#runs) {
      run.tick();
      if (!run.isOver) continue;
      this.#runs.delete(id);
      this.#notBeforeMs.set(id, nowMs + LOOK_AGAIN_MS);
      this.#mustLook = true;
    }
    if (!this.#mustLook && nowMs - this.#lookedAtMs < LOOK_AGAIN_MS) return;
    this.#mustLook = false;
    this.#lookedAtMs = nowMs;
    this.#look(nowMs);
  }

  /** When a tick finds something to do, unless something is heard before. */
  get dueAtMs(): number {
    return this.#mustLook || this.#runs.size > 0 ? 0 : this.#lookedAtMs + LOOK_AGAIN_MS;
  }

  #look(nowMs: number): void {
    const parsed = new Map<string, { revision: string; task: Task | null }>();
    for (const entry of this.#view.entries.values()) {
      if (parsed.size >= TASKS_SEEN_MAX) break;
      parsed.set(entry.key, { revision: entry.revision, task: this.#read(entry) });
    }
    this.#parsed = parsed;
    const ids = new Set([...parsed.values()].map(({ task }) => task?.id));
    for (const id of this.#notBeforeMs.keys()) if (!ids.has(id)) this.#notBeforeMs.delete(id);
    const { lease, schema } = this.#options;
    if (this.#isStopped || !lease.isAlive || schema.problem !== null) return;
    for (const { revision, task } of parsed.values()) if (task !== null) this.#startIfFree(task, revision, nowMs);
  }

  #read(entry: Entry): Task | null {
    const before = this.#parsed.get(entry.key);
    if (before?.revision === entry.revision) return before.task;
    const { value, problem } = parseTask(entry.value);
    const { keys, node, log, refused } = this.#options;
    const wrong =
      problem ?? (keys.task(node, value.id) === entry.key && value.node === node ? null : 'task.id and task.node must be those of its key');
    if (wrong === null) return value;
    refused();
    log.error('task refused', { key: entry.key, problem: wrong });
    return null;
  }

  #startIfFree(task: Task, revision: string, nowMs: number): void {
    if (hasEnded(task) || this.#runs.has(task.id) || this.#runs.size >= TASKS_MAX) return;
    if (nowMs < (this.#notBeforeMs.get(task.id) ?? 0)) return;
    if ([...this.#runs.values()].some((run) => run.subject === subjectOf(task.spec))) return;
    this.#runs.set(task.id, new TaskRun(task, revision, this.#options));
  }
}
