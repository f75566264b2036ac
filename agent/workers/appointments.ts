/**
 * Whether the leader appointed whoever sends a Seal, found out before a replica of this pool has it: by what the replica has promised, else by the config in force,
 * which control says. Must never let a Seal through on its own word, nor have one wait for longer than its bound; what is refused here has changed nothing.
 *
 *   heard --promised to him before, or refused by the replica anyway--> through
 *     |--else--> waiting --the config in force names him--> through
 *                   |--another, or an earlier epoch--> refused     |--etcd or control does not say--> refused, as one who is not there
 */
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { VolumeUid } from '../../core/ids.ts';
import type { Seal } from '../../core/wire/messages.ts';
import type { SealJudgement } from '../control/engines.ts';
import type { Appointed, AppointmentRefusal } from '../replication/link.ts';
import type { InForce } from './messages.ts';

/** Long for a reading of etcd; short beside `replicaTimeoutMs`, for a promotion goes on without this replica then, if it may. */
export const APPOINTMENT_WAIT_MS = 2_000;
/** As many as there may be connections: they are freed later than those. */
export const APPOINTMENTS_WAITING_MAX = 4_096;

type Waiting = { seal: Seal; untilMs: number; answered: (refusal: AppointmentRefusal | null) => void };
/** What control says now is the last word for `asked`; whoever came later may have to be asked for again. */
type OfVolume = { asked: Waiting[]; later: Waiting[] };

export type AppointmentsOptions = {
  judge: (seal: Seal) => SealJudgement;
  /** Tells the replicas of this pool. */
  observe: (config: VolumeConfig) => void;
  /** Control tells which config is in force, once for each call: `told`. */
  ask: (uid: VolumeUid, epoch: number) => void;
  clock: Clock;
};

export class Appointments {
  readonly #options: AppointmentsOptions;
  /** One of a volume is asked for at a time. */
  readonly #volumes = new Map<VolumeUid, OfVolume>();
  #count = 0;

  constructor(options: AppointmentsOptions) {
    this.#options = options;
  }

  get areWaiting(): boolean {
    return this.#count > 0;
  }

  readonly appointed: Appointed = (seal, answered) => {
    const { judge, clock } = this.#options;
    if (judge(seal) !== 'unknown') return answered(null);
    if (this.#count >= APPOINTMENTS_WAITING_MAX) return answered(unknown(seal, `more than ${APPOINTMENTS_WAITING_MAX} Seals wait for it`));
    this.#count++;
    const waiting = { seal, untilMs: clock.monotonicMs() + APPOINTMENT_WAIT_MS, answered };
    const ofVolume = this.#volumes.get(seal.volume);
    if (ofVolume) ofVolume.later.push(waiting);
    else this.#ask(seal.volume, [waiting]);
  };

  told(uid: VolumeUid, inForce: InForce): void {
    const ofVolume = this.#volumes.get(uid);
    if (!ofVolume) return;
    this.#volumes.delete(uid);
    for (const waiting of ofVolume.asked) if (!this.#letThrough(waiting, inForce)) this.#answer(waiting, refusalOf(waiting.seal, inForce));
    // What was read before these came may have changed since, and only a later epoch can be what they wait for.
    const later = ofVolume.later.filter((waiting) => !this.#letThrough(waiting, inForce));
    if (later.length > 0) this.#ask(uid, later);
  }

  tick(): void {
    if (this.#count === 0) return;
    const nowMs = this.#options.clock.monotonicMs();
    for (const ofVolume of this.#volumes.values()) {
      const due = [...ofVolume.asked, ...ofVolume.later].filter(({ untilMs }) => nowMs >= untilMs);
      if (due.length === 0) continue;
      // What is out stays out: until control has answered it nothing more of this volume is asked for.
      ofVolume.asked = ofVolume.asked.filter((waiting) => !due.includes(waiting));
      ofVolume.later = ofVolume.later.filter((waiting) => !due.includes(waiting));
      for (const waiting of due) this.#answer(waiting, unknown(waiting.seal, `no answer within ${APPOINTMENT_WAIT_MS} ms`));
    }
  }

  #ask(uid: VolumeUid, asked: Waiting[]): void {
    this.#volumes.set(uid, { asked, later: [] });
    this.#options.ask(uid, Math.max(...asked.map(({ seal }) => seal.epoch)));
  }

  /** Also one that the replica refuses by itself, now that it knows what is in force: it says so in words that tell the sender what it missed. */
  #letThrough(waiting: Waiting, { config }: InForce): boolean {
    const { seal } = waiting;
    if (config === null || !names(config, seal)) {
      if (config !== null && config.epoch >= seal.epoch) this.#options.observe(config);
      if (this.#options.judge(seal) === 'unknown') return false;
    }
    this.#answer(waiting, null);
    return true;
  }

  #answer({ answered }: Waiting, refusal: AppointmentRefusal | null): void {
    this.#count--;
    answered(refusal);
  }
}

const names = ({ epoch, primary }: VolumeConfig, seal: Seal): boolean =>
  epoch === seal.epoch && primary !== null && primary.instance === seal.instance && primary.node === seal.config.primary?.node;

const senderOf = ({ config, instance }: Seal): string => `${config.primary?.node ?? 'nobody'} (instance ${instance})`;

const unknown = (seal: Seal, why: string): AppointmentRefusal => ({
  rule: 'appointmentUnknown',
  message: `whether ${senderOf(seal)} is the primary of ${seal.volume} in epoch ${seal.epoch} could not be found out: ${why}`,
});

function refusalOf(seal: Seal, { config, isCurrent }: InForce): AppointmentRefusal {
  if (!isCurrent) return unknown(seal, 'etcd does not answer');
  const said = `a Seal of ${senderOf(seal)} as primary of ${seal.volume} in epoch ${seal.epoch}`;
  const found =
    config === null ? 'no config of that volume is there' : `in force is epoch ${config.epoch} of ${config.primary?.node ?? 'nobody'}`;
  return { rule: 'appointment', message: `${said}, whom the leader has not appointed: ${found}` };
}
