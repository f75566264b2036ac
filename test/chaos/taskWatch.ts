/** Hears of every task's filing and end from etcd while faults go on, through whichever member answers: one that ends twice was done twice, one without an end is lost. Changes nothing. */
import { readFileSync } from 'node:fs';
import { Etcd3, type Watcher } from 'etcd3';
import { keysOf } from '../../core/keys.ts';
import { hasEnded, type Task } from '../../core/task.ts';
import type { Cluster } from '../../tools/local/cluster.ts';
import { CLUSTER_NAME } from '../../tools/local/layout.ts';

export class TaskWatch {
  readonly #client: Etcd3;
  /** Of each task that ended, how often it was done. */
  readonly #ends = new Map<string, number>();
  readonly #filed = new Set<string>();
  #watcher: Watcher | null = null;
  #isClosed = false;

  private constructor(client: Etcd3) {
    this.#client = client;
  }

  static async open({ etcd: { endpoints, tls } }: Cluster): Promise<TaskWatch> {
    const credentials = { rootCertificate: readFileSync(tls.ca), certChain: readFileSync(tls.cert), privateKey: readFileSync(tls.key) };
    const watch = new TaskWatch(new Etcd3({ hosts: endpoints, credentials }));
    const watcher = await watch.#client.watch().prefix(keysOf(CLUSTER_NAME).tasks).create();
    watcher.on('put', ({ value }) => watch.#put(JSON.parse(value.toString()) as Task));
    watch.#watcher = watcher;
    watcher.on('disconnected', () => watch.#isClosed && watch.#cancel());
    return watch;
  }

  #put(task: Task): void {
    this.#filed.add(task.id);
    if (hasEnded(task)) this.#ends.set(task.id, (this.#ends.get(task.id) ?? 0) + (task.state === 'done' ? 1 : 0));
  }

  get filed(): number {
    return this.#filed.size;
  }

  /** When nothing is to be done any more. */
  problems(): string[] {
    return [
      ...[...this.#ends].filter(([, count]) => count > 1).map(([id, count]) => `the task ${id} was done ${count} times`),
      ...[...this.#filed].filter((id) => !this.#ends.has(id)).map((id) => `the task ${id} was filed and has never ended`),
    ];
  }

  /** The library connects again for as long as it has a watcher, also when its client is closed: one that has lost its connection is forgotten at once. */
  close(): void {
    this.#isClosed = true;
    this.#cancel();
    this.#client.close();
  }

  #cancel(): void {
    this.#watcher?.cancel().catch(() => undefined); // etcd has gone, and the watcher with it
  }
}
