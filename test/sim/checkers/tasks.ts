/**
 * Invariant 7: a task that was filed ends exactly once in effect, whoever crashed. Looks at every change of a task in etcd and at every effect on a node:
 *
 *   nothing -> filed -> running (with the claim of that attempt) -> done | failed (by whoever has that claim) -> put away
 *                 ^--- refiled, the next attempt ---|   only without a claim of its attempt: nobody had it, or it is taken away with that
 *
 * One attempt is performed by one process at most, and what is done is so on the node: made, or taken away for ever.
 */
import { type Claim, hasEnded, type ReplicaSpec, type Task } from '../../../core/task.ts';
import { Violation } from '../violation.ts';

/** The replicas of a node, as its pool has them. */
export type NodeState = { replicas: ReadonlySet<string> };

export class Tasks {
  readonly #nodes: (node: string) => NodeState;
  readonly #claimOf: (task: string) => Claim | null;
  /** By task and attempt: which instance performs it. */
  readonly #performers = new Map<string, string>();
  readonly #ended = new Map<string, Task>();
  readonly #deleted = new Set<string>();

  constructor(options: { nodes: (node: string) => NodeState; claimOf: (task: string) => Claim | null }) {
    this.#nodes = options.nodes;
    this.#claimOf = options.claimOf;
  }

  get endedCount(): number {
    return this.#ended.size;
  }

  /** The claims: as they stood before the same transaction, and behind it. */
  changed(before: Task | null, after: Task | null, claimBefore: Claim | null, claimAfter: Claim | null): void {
    if (after === null) return this.#removed(before);
    if (before && after.attempt < before.attempt) throw wrong(after, `attempt ${after.attempt} after ${before.attempt}`);
    if (before === null) return this.#filed(after);
    if (hasEnded(after)) return this.#endedAs(before, after, claimBefore);
    if (after.state === 'running') this.#started(before, after);
    else this.#refiled(before, after, claimAfter);
  }

  performs(task: Task, instance: string): void {
    const key = `${task.id} ${task.attempt}`;
    const performer = this.#performers.get(key);
    if (performer) throw wrong(task, `attempt ${task.attempt} is performed by ${performer} and by ${instance}`);
    this.#performers.set(key, instance);
  }

  /** After every effect, whosever. */
  checkEffects(node: string): void {
    for (const replica of this.#nodes(node).replicas) {
      if (this.#deleted.has(replica)) throw new Violation('tasks', `${replica} is on ${node} again after its deletion was done`);
    }
  }

  #removed(before: Task | null): void {
    if (before && !hasEnded(before)) throw wrong(before, `it is ${before.state}, and taken away`);
  }

  #filed(after: Task): void {
    if (this.#ended.has(after.id)) throw wrong(after, 'it is filed again after it had ended');
    if (after.state !== 'filed' || after.attempt !== 1) throw wrong(after, `it begins as ${after.state}, attempt ${after.attempt}`);
  }

  #started(before: Task, after: Task): void {
    const claim = this.#claimOf(after.id);
    if (before.state !== 'filed' || claim?.attempt !== after.attempt) throw wrong(after, `it runs after ${before.state} without its claim`);
  }

  #refiled(before: Task, after: Task, claimAfter: Claim | null): void {
    if (before.state === 'done') throw wrong(after, 'it is filed again after it was done');
    if (after.attempt !== before.attempt + 1) throw wrong(after, `attempt ${after.attempt} is filed after ${before.attempt}`);
    if (before.state === 'running' && claimAfter?.attempt === before.attempt)
      throw wrong(after, 'it is filed again while somebody does it');
  }

  #endedAs(before: Task, after: Task, claimBefore: Claim | null): void {
    if (hasEnded(before)) throw wrong(after, `it ends twice: ${before.state}, then ${after.state}`);
    const performer = this.#performers.get(`${after.id} ${after.attempt}`);
    if (!performer) throw wrong(after, `attempt ${after.attempt} ends and was never performed`);
    if (claimBefore?.attempt !== after.attempt || claimBefore.instance !== performer)
      throw wrong(after, 'it ends without the claim of that attempt');
    if (after.state === 'failed') return;
    this.#ended.set(after.id, after);
    const { kind, replica } = after.spec as ReplicaSpec;
    const isThere = this.#nodes(after.node).replicas.has(replica);
    if (kind === 'create-replica' && !isThere) throw wrong(after, 'it is done, and the replica is not there');
    if (kind === 'delete-replica' && isThere) throw wrong(after, 'it is done, and the replica is still there');
    if (kind === 'delete-replica') this.#deleted.add(replica);
  }
}

const wrong = (task: Task, what: string): Violation => new Violation('tasks', `${task.id} on ${task.node}: ${what}`);
