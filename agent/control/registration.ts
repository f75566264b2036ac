/**
 * `machines/<node>`: says that this node's agent is alive and what it has, under its lease. Must never take the place of another agent that lives
 * on another machine under the same name, nor go on once another has taken this one's; nor come where etcd is of a schema that this program does not know.
 */
import type { Clock } from '../../core/clock.ts';
import type { Keys } from '../../core/keys.ts';
import type { Log } from '../../core/log.ts';
import type { MachineState, PoolReport } from '../../core/machine.ts';
import type { Store, StoreLease } from '../../core/store.ts';
import type { SchemaSight } from '../../edge/schemaWatch.ts';
import type { CallSlots } from './calls.ts';
import { LeasedKey } from './leasedKey.ts';
import { parseMachine } from './parse.ts';

/** How full pools are changes with every write; the placement of replicas does not need it finer than this. */
const USAGE_SHARE = 0.01;
const USAGE_INTERVAL_MS = 10_000;
const LOOK_MS = 1_000;
/** Until the schema is known: others wait for this agent. */
const SCHEMA_LOOK_MS = 20;
const WRITE_INTERVAL_MS = 500;
const VERIFY_MS = 5_000;
/** Room for a lease that was kept alive at the last moment, and for etcd being slow to let it go. */
const OTHERS_MARGIN_MS = 3_000;

type Space = Pick<PoolReport, 'capacityBytes' | 'usedBytes'>;

const withoutSpace = (state: MachineState): string =>
  JSON.stringify({ ...state, pools: state.pools.map(({ capacityBytes: _, usedBytes: __, ...rest }) => rest) });

function spaceMoved(told: Space, now: Space): boolean {
  const moved = Math.max(Math.abs(now.usedBytes - told.usedBytes), Math.abs(now.capacityBytes - told.capacityBytes));
  return moved > now.capacityBytes * USAGE_SHARE;
}

/** Everything is told at once but space, which is told when it moved noticeably and not too often. */
export function isWorthTelling(told: MachineState | null, now: MachineState, sinceToldMs: number): boolean {
  if (told === null || withoutSpace(told) !== withoutSpace(now)) return true;
  if (sinceToldMs < USAGE_INTERVAL_MS) return false;
  return now.pools.some((pool, index) => spaceMoved(told.pools[index] ?? { capacityBytes: 0, usedBytes: 0 }, pool));
}

export type RegistrationOptions = {
  store: Store;
  lease: StoreLease;
  leaseMs: number;
  clock: Clock;
  slots: CallSlots;
  keys: Keys;
  log: Log;
  state: () => MachineState;
  /** While there is a problem it does not come; one that has come stays. */
  schema: SchemaSight;
  /** Another agent has this node's name: this one must end. The sentence says who. */
  displaced: (sentence: string) => void;
};

export class Registration {
  readonly #options: RegistrationOptions;
  readonly #key: LeasedKey;
  readonly #identity: { node: string; instance: string; bootId: string };
  #told: MachineState | null = null;
  #toldAtMs = 0;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #wasRegistered = false;
  /** The schema is not known: when that was seen last. */
  #withheldAtMs: number | null = null;
  #isStopping = false;
  /** Another agent's registration that was there before ours, and since when we see it. */
  #other: { instance: string; sinceMs: number } | null = null;

  constructor(options: RegistrationOptions) {
    this.#options = options;
    const { node, instance, bootId } = options.state();
    this.#identity = { node, instance, bootId };
    this.#key = new LeasedKey({
      ...options,
      key: options.keys.machine(node),
      intervalMs: WRITE_INTERVAL_MS,
      verifyMs: VERIFY_MS,
      isOurs: (value) => parseMachine(value)?.instance === instance,
      mayReplace: (value) => this.#mayReplace(value),
    });
    options.lease.onGranted(() => this.#key.granted());
  }

  /** It stood in etcd once. Whether it still does, others see by its key. */
  get wasRegistered(): boolean {
    return this.#wasRegistered;
  }

  /**
   * Says that nothing new is to begin here, before anything is let go: else the leader would give it back. A crash behind this leaves a key that goes with its
   * lease, or is replaced by the next process.
   */
  stopping(): void {
    this.#isStopping = true;
    this.#lookedAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Etcd has it. */
  get isToldStopping(): boolean {
    return this.#told?.stopping === true && this.#key.isSettled;
  }

  tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#told === null && this.#options.schema.problem !== null) {
      this.#withheldAtMs = nowMs;
      return;
    }
    this.#withheldAtMs = null;
    if (nowMs - this.#lookedAtMs >= LOOK_MS) {
      this.#lookedAtMs = nowMs;
      const state: MachineState = { ...this.#options.state(), ...(this.#isStopping ? { stopping: true } : {}) };
      if (isWorthTelling(this.#told, state, nowMs - this.#toldAtMs)) {
        this.#told = state;
        this.#toldAtMs = nowMs;
        this.#key.want(JSON.stringify(state));
      }
    }
    this.#key.tick();
    if (this.#wasRegistered || !this.#key.isSettled) return;
    this.#wasRegistered = true;
    this.#options.log.info('machine registered', { node: this.#identity.node, instance: this.#identity.instance });
  }

  /** When a tick finds something to do, unless something is heard before. */
  get dueAtMs(): number {
    if (this.#withheldAtMs !== null) return this.#withheldAtMs + SCHEMA_LOOK_MS;
    const isToBeTold = !this.#wasRegistered && this.#key.isSettled;
    return isToBeTold ? 0 : Math.min(this.#lookedAtMs + LOOK_MS, this.#key.dueAtMs);
  }

  /**
   * Of the same boot: this machine's earlier process. It has ended, or we would not hold the pools' locks; its key only waits for its lease.
   * Of another boot: the machine before it was restarted, whose key goes with its lease; or another machine under our name, whose key stays.
   */
  #mayReplace(value: string): boolean {
    const other = parseMachine(value);
    if (other === null) return true;
    const { node, bootId } = this.#identity;
    const who = `instance ${other.instance} at ${other.addresses.http}`;
    if (this.#wasRegistered) {
      this.#options.displaced(`another agent has registered as ${node} (${who}): this one is no longer ${node} and ends`);
      return false;
    }
    if (other.bootId === bootId) return true;
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#other?.instance !== other.instance) {
      this.#other = { instance: other.instance, sinceMs: nowMs };
      this.#options.log.warn('another machine is registered under this name, waiting for it to go', { node, other: who });
    } else if (nowMs - this.#other.sinceMs > 2 * this.#options.leaseMs + OTHERS_MARGIN_MS) {
      this.#options.displaced(`another machine is alive under the name ${node} (${who}): NODE_NAME must be unique`);
    }
    return false;
  }
}
