/** For how long tasks have been as they are, as this leader saw it: for an alarm only. Must never decide anything; the next leader begins to count anew. */
import type { NodeName } from '../../core/ids.ts';
import { hasEnded, type Task } from '../../core/task.ts';

type Known = { what: string; sinceMs: number };

export class TaskAges {
  #known = new Map<string, Known>();

  /** Of each node with tasks that have not ended, the age of the oldest. */
  update(tasks: Iterable<Task>, nowMs: number): ReadonlyMap<NodeName, number> {
    const known = new Map<string, Known>();
    const oldest = new Map<NodeName, number>();
    for (const task of tasks) {
      if (hasEnded(task)) continue;
      const what = `${task.state} ${task.attempt}`;
      const before = this.#known.get(task.id);
      const now = before?.what === what ? before : { what, sinceMs: nowMs };
      known.set(task.id, now);
      oldest.set(task.node, Math.max(oldest.get(task.node) ?? 0, nowMs - now.sinceMs));
    }
    this.#known = known;
    return oldest;
  }
}
