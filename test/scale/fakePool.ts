/**
 * A pool that keeps no data, behind the port through which an agent's control speaks to a pool's worker: it answers as one whose disk is quick and never fails.
 * Must never touch a disk.
 */
import type { Channel } from '../../agent/workers/channel.ts';
import type { FromPool, ToPool } from '../../agent/workers/messages.ts';
import type { ReplicaId } from '../../core/ids.ts';
import type { PoolReport } from '../../core/machine.ts';
import type { PoolSpec } from '../../core/task.ts';

/** Of a file system that was just made. */
const USED_SHARE = 0.01;

export class FakePool implements Channel<ToPool, FromPool> {
  readonly #name: string;
  readonly #capacityBytes: number;
  readonly #sizes = new Map<ReplicaId, number>();
  #listener: (message: FromPool) => void = () => undefined;

  constructor(name: string, capacityBytes: number) {
    this.#name = name;
    this.#capacityBytes = capacityBytes;
  }

  listen(listener: (message: FromPool) => void): void {
    this.#listener = listener;
    this.#say({ type: 'opened', port: 1, report: this.#report(), held: [] });
  }

  post(message: ToPool): void {
    switch (message.type) {
      case 'ping':
        return this.#say({ type: 'pong', id: message.id, oldestCallMs: 0 });
      case 'observe':
        return this.#say({ type: 'observed', id: message.id });
      case 'perform':
        this.#perform(message.spec);
        return this.#say({ type: 'performed', id: message.id, problem: null });
      case 'inventory':
        return this.#say({ type: 'inventory', id: message.id, found: null, problem: 'nothing lies in it' });
      case 'close':
        return this.#say({ type: 'closed' });
      case 'giveUp':
      case 'appointment':
        return;
    }
  }

  #perform(spec: PoolSpec): void {
    if (spec.kind === 'create-replica') {
      const { replica, volume, sizeBytes } = spec;
      this.#sizes.set(replica, sizeBytes);
      this.#say({ type: 'held', held: [{ replica, volume, failure: null, isBeingRemoved: false }], gone: [] });
    } else if (spec.kind === 'delete-replica') {
      this.#sizes.delete(spec.replica);
      this.#say({ type: 'held', held: [], gone: [spec.replica] });
    }
    this.#say({ type: 'report', report: this.#report() });
  }

  #report(): PoolReport {
    let allocatedBytes = 0;
    for (const sizeBytes of this.#sizes.values()) allocatedBytes += sizeBytes;
    const capacityBytes = this.#capacityBytes;
    const space = { capacityBytes, usedBytes: capacityBytes * USED_SHARE, allocatedBytes };
    return { name: this.#name, ...space, tags: [], reflink: true, state: 'ready' };
  }

  /** Never from within `post`, as between threads. */
  #say(message: FromPool): void {
    setImmediate(() => this.#listener(message));
  }
}
