/** A node: disks that outlive processes, a boot that ends with the power, and at most one agent, for the pool's lock lets no second one work. */
import type { NodeName, ReplicaId } from '../../core/ids.ts';
import type { AgentProcess } from './agentProcess.ts';
import type { ReplicaFiles } from './files.ts';

export class Machine {
  readonly node: NodeName;
  readonly replicas = new Map<ReplicaId, ReplicaFiles>();
  boot = 1;
  isOn = true;
  /** Its pool has no space left. */
  isFull = false;
  wallOffsetMs = 0;
  process: AgentProcess | null = null;
  /** Its clock: how far off, and how fast. */
  readonly clockOffsetMs: number;
  readonly clockRate: number;

  constructor(node: NodeName, clockOffsetMs: number, clockRate: number) {
    this.node = node;
    this.clockOffsetMs = clockOffsetMs;
    this.clockRate = clockRate;
  }

  get bootId(): string {
    return `${this.node}-boot-${this.boot}`;
  }

  /** It lost power and was not levelled since, as far as anybody could know. */
  isSuspect(files: ReplicaFiles): boolean {
    const { suspect, openBootId } = files.meta;
    return suspect || (openBootId !== null && (openBootId !== this.bootId || !this.isOn));
  }
}
