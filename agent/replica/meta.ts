/** Changes of a replica's meta, one save at a time: changes made while one is saved share the next save. */
import type { Done, IoError, ReplicaMeta, ReplicaStore } from '../ports.ts';

type Change = { apply: (meta: ReplicaMeta) => ReplicaMeta; done: Done };

export class MetaWriter {
  readonly #store: ReplicaStore;
  #waiting: Change[] = [];
  #saving = false;

  constructor(store: ReplicaStore) {
    this.#store = store;
  }

  /** Calls back when the change is durable. A crash before that leaves the meta as it was before, or as changed: never anything between. */
  change(apply: (meta: ReplicaMeta) => ReplicaMeta, done: Done): void {
    this.#waiting.push({ apply, done });
    this.#next();
  }

  #next(): void {
    if (this.#saving || this.#waiting.length === 0) return;
    const changes = this.#waiting;
    this.#waiting = [];
    this.#saving = true;
    const next = changes.reduce((meta, change) => change.apply(meta), this.#store.meta);
    this.#store.saveMeta(next, (error: IoError | null) => {
      this.#saving = false;
      for (const change of changes) change.done(error);
      this.#next();
    });
  }
}
