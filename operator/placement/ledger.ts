/**
 * What is promised to replicas, by pool and by node: the configs in etcd, and what this very pass gives away, so that two volumes decided
 * together never both take the last space. Does no I/O.
 */
import type { VolumeConfig } from '../../core/config.ts';
import { shardBytes } from '../../core/extent.ts';
import type { NodeName } from '../../core/ids.ts';

const poolKey = (node: NodeName, pool: string): string => `${node}/${pool}`;
const add = (map: Map<string, number>, key: string, amount: number): void => void map.set(key, (map.get(key) ?? 0) + amount);

export class Ledger {
  readonly #promised = new Map<string, number>();
  readonly #reserved = new Map<string, number>();
  readonly #replicas = new Map<NodeName, number>();
  readonly #reservedReplicas = new Map<NodeName, number>();
  /** Of what is promised, what goes as soon as its primary and its agent have done their part. */
  readonly #leaving = new Map<string, number>();
  readonly #departing = new Map<string, number>();
  readonly #touched = new Set<NodeName>();

  constructor(configs: Iterable<VolumeConfig>) {
    for (const config of configs) this.replace(null, config);
  }

  /** What one pass gave away is in the configs of the next, or was not given. */
  beginPass(): void {
    for (const node of this.#reservedReplicas.keys()) this.#touched.add(node);
    this.#reserved.clear();
    this.#departing.clear();
    this.#reservedReplicas.clear();
  }

  /** A config as it was counted, and as it is. */
  replace(before: VolumeConfig | null, after: VolumeConfig | null): void {
    if (before) this.#count(before, -1);
    if (after) this.#count(after, 1);
  }

  #count({ shards, sizeBytes }: VolumeConfig, sign: 1 | -1): void {
    for (const [index, { members }] of shards.entries()) {
      const bytes = shardBytes(sizeBytes, shards.length, index);
      for (const { node, pool, leaving } of members) {
        add(this.#promised, poolKey(node, pool), sign * bytes);
        if (leaving) add(this.#leaving, poolKey(node, pool), sign * bytes);
        add(this.#replicas, node, sign);
        this.#touched.add(node);
      }
    }
  }

  /** The pool's own count holds replicas that are still being deleted, the configs those that are still being made: the larger is nearer the truth. */
  allocatedBytes(node: NodeName, pool: string, reportedBytes: number): number {
    const key = poolKey(node, pool);
    return Math.max(reportedBytes, this.#promised.get(key) ?? 0) + (this.#reserved.get(key) ?? 0);
  }

  /** By configs and by this pass: what will be there once all that goes is gone. */
  promisedBytes(node: NodeName, pool: string): number {
    const key = poolKey(node, pool);
    const going = (this.#leaving.get(key) ?? 0) + (this.#departing.get(key) ?? 0);
    return (this.#promised.get(key) ?? 0) + (this.#reserved.get(key) ?? 0) - going;
  }

  replicas(node: NodeName): number {
    return (this.#replicas.get(node) ?? 0) + (this.#reservedReplicas.get(node) ?? 0);
  }

  reserve(node: NodeName, pool: string, sizeBytes: number): void {
    add(this.#reserved, poolKey(node, pool), sizeBytes);
    add(this.#reservedReplicas, node, 1);
    this.#touched.add(node);
  }

  /** Decided in this pass to leave: whoever is to say next where most is promised shall know. Its space is not free before it is deleted. */
  depart(node: NodeName, pool: string, sizeBytes: number): void {
    add(this.#departing, poolKey(node, pool), sizeBytes);
  }

  /** Takes a reservation back: what was tried together did not fit together. */
  release(node: NodeName, pool: string, sizeBytes: number): void {
    add(this.#reserved, poolKey(node, pool), -sizeBytes);
    add(this.#reservedReplicas, node, -1);
    this.#touched.add(node);
  }

  /** More for a replica that is there. */
  grow(node: NodeName, pool: string, moreBytes: number): void {
    add(this.#reserved, poolKey(node, pool), moreBytes);
    add(this.#reservedReplicas, node, 0);
    this.#touched.add(node);
  }

  /** Of which nodes something changed since this was asked. For one asker only: the ranking. */
  takeTouched(): NodeName[] {
    const touched = [...this.#touched];
    this.#touched.clear();
    return touched;
  }
}
