/** Who may seal a replica here: whom it promised, else whom the config in force names; told by a control and a clock that the test plays. */
import { expect } from 'chai';
import type { SealJudgement } from '../../../../agent/control/engines.ts';
import type { AppointmentRefusal } from '../../../../agent/replication/link.ts';
import { APPOINTMENT_WAIT_MS, APPOINTMENTS_WAITING_MAX, Appointments } from '../../../../agent/workers/appointments.ts';
import type { VolumeConfig } from '../../../../core/config.ts';
import type { VolumeUid } from '../../../../core/ids.ts';
import type { Seal } from '../../../../core/wire/messages.ts';
import { configWith, INSTANCE, member, OTHER_INSTANCE, UID } from '../../../support/configs.ts';
import { ManualClock } from '../../../support/manualClock.ts';

const BEFORE = configWith({ epoch: 4, version: 10, primary: { node: 'node-c', instance: OTHER_INSTANCE, mode: 'serve' } });
const IN_FORCE = configWith({ epoch: 5, version: 11 });
const LATER = configWith({ epoch: 6, version: 12, primary: { node: 'node-c', instance: OTHER_INSTANCE, mode: 'serve' } });

function sealOf(config: VolumeConfig): Seal {
  const { uid: volume, epoch, primary } = config;
  return { type: 'seal', volume, replica: member(1).replica, epoch, instance: primary?.instance ?? INSTANCE, config };
}

class Bench {
  readonly clock = new ManualClock();
  readonly asked: { uid: VolumeUid; epoch: number }[] = [];
  readonly observed: VolumeConfig[] = [];
  judgement: SealJudgement = 'unknown';
  readonly appointments = new Appointments({
    judge: () => this.judgement,
    observe: (config) => {
      this.observed.push(config);
      // As the replica does: it promises what it sees.
      this.judgement = 'refused';
    },
    ask: (uid, epoch) => this.asked.push({ uid, epoch }),
    clock: this.clock,
  });

  /** What became of it: undefined, nothing yet. */
  seal(config: VolumeConfig): { answer: AppointmentRefusal | null | undefined } {
    const heard: { answer: AppointmentRefusal | null | undefined } = { answer: undefined };
    this.appointments.appointed(sealOf(config), (refusal) => {
      expect(heard.answer, 'answered once').to.equal(undefined);
      heard.answer = refusal;
    });
    return heard;
  }

  tell(config: VolumeConfig | null, isCurrent = true): void {
    this.appointments.told(UID, { config, isCurrent });
  }
}

describe('the sender of a Seal', () => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench();
  });
  afterEach(() => expect(bench.appointments.areWaiting).to.equal(false));

  for (const judgement of ['promised', 'refused'] as const) {
    it(`is let through at once, and nobody is asked, where the replica says: ${judgement}`, () => {
      bench.judgement = judgement;
      expect(bench.seal(IN_FORCE).answer).to.equal(null);
      expect(bench.asked).to.deep.equal([]);
    });
  }

  it('waits till it is known, and is let through when the config in force names him', () => {
    const seal = bench.seal(IN_FORCE);
    expect([seal.answer, bench.asked]).to.deep.equal([undefined, [{ uid: UID, epoch: 5 }]]);
    bench.tell(IN_FORCE);
    expect([seal.answer, bench.observed]).to.deep.equal([null, []]);
  });

  const MADE_UP: [string, VolumeConfig, VolumeConfig | null, string][] = [
    ['of an epoch that has not begun', configWith({ epoch: 99, version: 99 }), IN_FORCE, 'in force is epoch 5 of node-a'],
    ['of a volume that is not there', IN_FORCE, null, 'no config of that volume is there'],
    ['of the next epoch', configWith({ epoch: 5 }), BEFORE, 'in force is epoch 4 of node-c'],
  ];
  for (const [what, madeUp, inForce, found] of MADE_UP) {
    it(`is refused, and nothing is told to the replica, with one ${what}`, () => {
      const seal = bench.seal(madeUp);
      bench.tell(inForce);
      expect(seal.answer?.rule).to.equal('appointment');
      expect(seal.answer?.message).to.equal(
        `a Seal of node-a (instance ${INSTANCE}) as primary of ${UID} in epoch ${madeUp.epoch}, whom the leader has not appointed: ${found}`,
      );
      expect(bench.observed).to.deep.equal([]);
      expect(bench.asked.length).to.equal(1);
    });
  }

  const IMPOSTORS: [string, VolumeConfig][] = [
    [
      'another node with the primary’s epoch and instance',
      configWith({ epoch: 5, primary: { node: 'node-c', instance: INSTANCE, mode: 'serve' } }),
    ],
    ['another process of its node', configWith({ epoch: 5, primary: { node: 'node-a', instance: OTHER_INSTANCE, mode: 'serve' } })],
  ];
  for (const [who, config] of IMPOSTORS) {
    it(`is left to the replica, which is told what is in force first, if it is ${who}`, () => {
      const seal = bench.seal(config);
      bench.tell(IN_FORCE);
      expect(bench.observed).to.deep.equal([IN_FORCE]);
      expect(seal.answer, 'it refuses him itself').to.equal(null);
    });

    it(`is refused all the same where the replica cannot promise anybody, if it is ${who}`, () => {
      const seal = bench.seal(config);
      Object.defineProperty(bench, 'judgement', { get: () => 'unknown', set: () => undefined });
      bench.tell(IN_FORCE);
      expect(seal.answer?.rule).to.equal('appointment');
    });
  }

  it('is told by the replica that he is fenced, where a later epoch is in force', () => {
    const seal = bench.seal(IN_FORCE);
    bench.tell(LATER);
    expect([seal.answer, bench.observed]).to.deep.equal([null, [LATER]]);
  });

  it('nobody is primary of an epoch whose primary has let go', () => {
    const seal = bench.seal(IN_FORCE);
    bench.tell({ ...IN_FORCE, primary: null, version: 12 });
    expect([seal.answer, bench.observed.length]).to.deep.equal([null, 1]);
  });

  it('is asked about once with others of the same volume, for the highest epoch', () => {
    const seals = [bench.seal(IN_FORCE), bench.seal(configWith({ epoch: 99 })), bench.seal(IN_FORCE)];
    expect(bench.asked.length).to.equal(1);
    bench.tell(IN_FORCE);
    expect(seals.map(({ answer }) => answer)).to.deep.equal([null, undefined, null]);
    // What was read before the second came is not the last word about it.
    expect(bench.asked.at(-1)).to.deep.equal({ uid: UID, epoch: 99 });
    bench.tell(IN_FORCE);
    expect(seals[1]?.answer?.rule).to.equal('appointment');
    expect(bench.asked.length).to.equal(2);
  });

  it('is refused as one about whom nobody knows while etcd does not answer', () => {
    const seal = bench.seal(IN_FORCE);
    bench.tell(BEFORE, false);
    expect(seal.answer?.rule).to.equal('appointmentUnknown');
    expect(seal.answer?.message).to.match(/could not be found out: etcd does not answer$/);
  });

  it('is let through by what is known, also while etcd does not answer', () => {
    const seal = bench.seal(IN_FORCE);
    bench.tell(IN_FORCE, false);
    expect(seal.answer).to.equal(null);
  });

  it('waits no longer than its bound, and control is not asked again before it has answered', () => {
    const first = bench.seal(IN_FORCE);
    bench.clock.advance(APPOINTMENT_WAIT_MS - 1);
    bench.appointments.tick();
    const second = bench.seal(IN_FORCE);
    expect(first.answer).to.equal(undefined);
    bench.clock.advance(1);
    bench.appointments.tick();
    expect(first.answer?.message).to.match(/could not be found out: no answer within 2000 ms$/);
    expect([second.answer, bench.asked.length]).to.deep.equal([undefined, 1]);
    bench.tell(BEFORE);
    expect(bench.asked.length).to.equal(2);
    bench.tell(IN_FORCE);
    expect(second.answer).to.equal(null);
  });

  it('an answer that nobody waits for any more changes nothing', () => {
    bench.seal(IN_FORCE);
    bench.clock.advance(APPOINTMENT_WAIT_MS);
    bench.appointments.tick();
    bench.tell(IN_FORCE);
    bench.tell(LATER);
    expect([bench.observed, bench.asked.length]).to.deep.equal([[], 1]);
  });

  it('is refused at once when too many wait', () => {
    const seals = Array.from({ length: APPOINTMENTS_WAITING_MAX + 1 }, () => bench.seal(IN_FORCE));
    expect(seals.at(-1)?.answer).to.include({ rule: 'appointmentUnknown' });
    expect(seals.filter(({ answer }) => answer === undefined).length).to.equal(APPOINTMENTS_WAITING_MAX);
    bench.tell(IN_FORCE);
    bench.tell(IN_FORCE);
    expect(bench.seal(IN_FORCE).answer, 'there is room again').to.equal(undefined);
    bench.tell(IN_FORCE);
  });
});
