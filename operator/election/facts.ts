/**
 * What the leader tells of itself, as one annotation on its Lease: for people and programs that only know the API server. Shown, never decided on.
 */
import type { Clock } from '../../core/clock.ts';
import type { MembersAnswering } from '../../edge/etcd/members.ts';
import { type Condition, GROUP } from '../api.ts';
import type { PlacementLimits } from '../placement/checks.ts';

export const LEADER_ANNOTATION = `${GROUP}/leader`;

/** What of its configuration others have to know to foresee what it will do. */
export type RunningSettings = {
  limits: PlacementLimits;
  /** 0: never. */
  replaceAfterSeconds: number;
};

export type LeaderFacts = RunningSettings & {
  /** Of the operator's program. */
  version: string;
  /** Under which it writes to etcd. */
  generation: number;
  /** Since when it leads, in wall-clock time of its own. */
  since: string;
  /** Its name among the operators. */
  name: string;
  /** Of etcd: how many members it knows, and how many answered when they were asked last; null before that. */
  etcd: MembersAnswering | null;
  /** Of etcd itself; see `store/status.ts`. */
  conditions: readonly Condition[];
};

/** How often etcd's members are asked, while this operator leads. */
const ASK_INTERVAL_MS = 10_000;

export type FactsPorts = {
  version: string;
  name: string;
  clock: Clock;
  settings: RunningSettings;
  members(): Promise<MembersAnswering>;
  conditions(): readonly Condition[];
};

/** Of this process, while it leads. */
export class Facts {
  readonly #ports: FactsPorts;
  #term: { generation: number; since: string } | null = null;
  #etcd: MembersAnswering | null = null;
  #askedMs = Number.NEGATIVE_INFINITY;

  constructor(ports: FactsPorts) {
    this.#ports = ports;
  }

  began(generation: number): void {
    this.#term = { generation, since: new Date(this.#ports.clock.wallMs()).toISOString() };
  }

  ended(): void {
    this.#term = null;
  }

  /** Null: it does not lead. Asks etcd's members now and then, for the next time. */
  current(): LeaderFacts | null {
    if (this.#term === null) return null;
    const { version, name, clock, settings, conditions } = this.#ports;
    if (clock.monotonicMs() - this.#askedMs >= ASK_INTERVAL_MS) {
      this.#askedMs = clock.monotonicMs();
      void this.#ask();
    }
    return { version, name, ...this.#term, ...settings, etcd: this.#etcd, conditions: conditions() };
  }

  async #ask(): Promise<void> {
    this.#etcd = await this.#ports.members();
  }
}
