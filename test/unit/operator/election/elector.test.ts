import { expect } from 'chai';
import { OperatingError } from '../../../../core/errors.ts';
import { silentLog } from '../../../../core/log.ts';
import { Elector, type LeasePort } from '../../../../operator/election/elector.ts';
import { ELECTION_TIMES, type LeaseRecord } from '../../../../operator/election/step.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { atRest } from '../../../support/scriptedStore.ts';
import { SeededRandom } from '../../../support/seededRandom.ts';

/** A Lease in memory, and time that only the test moves; a wait lasts exactly as long as it was asked for. */
class Stage {
  readonly clock = new ManualClock(0);
  readonly said: string[] = [];
  readonly stopping = new AbortController();
  record: LeaseRecord | null = null;
  isDown = false;
  /** How long each call takes; one that would take longer than its deadline is not answered. */
  takesMs = 0;
  unfit: string | null = null;
  #waiting: { dueMs: number; resolve: () => void }[] = [];
  #version = 0;
  readonly elector = new Elector({
    lease: this.#lease(),
    clock: this.clock,
    timers: {
      sleep: (forMs, signal) =>
        new Promise((resolve) => {
          this.#waiting.push({ dueMs: this.clock.nowMs + forMs, resolve });
          signal?.addEventListener('abort', () => resolve());
        }),
    },
    random: new SeededRandom(1),
    identity: 'me',
    times: ELECTION_TIMES,
    log: silentLog,
    unfit: () => this.unfit,
    onElected: (transitions) => this.said.push(`elected ${transitions}`),
    onLost: (reason) => this.said.push(`lost: ${reason}`),
  });
  readonly running = this.elector.run(this.stopping.signal);

  #lease(): LeasePort {
    const later = (forMs: number): Promise<void> =>
      new Promise((resolve) => {
        if (forMs === 0) setImmediate(resolve);
        else this.#waiting.push({ dueMs: this.clock.nowMs + forMs, resolve });
      });
    const arrive = async (deadlineMs: number): Promise<void> => {
      await later(Math.min(this.takesMs, deadlineMs));
      if (this.isDown || this.takesMs > deadlineMs) throw new OperatingError('Unavailable', 'the Lease', 'no answer');
    };
    return {
      read: async (deadlineMs) => {
        await arrive(deadlineMs);
        return this.record;
      },
      write: async ({ holder, transitions, durationMs, basedOn }, deadlineMs) => {
        await arrive(deadlineMs);
        if ((this.record?.resourceVersion ?? null) !== basedOn) throw new OperatingError('Conflict', 'the Lease', 'it has changed');
        this.put({ holder, transitions, durationMs });
        return this.record as unknown as LeaseRecord;
      },
    };
  }

  put(change: Partial<LeaseRecord>): void {
    this.record = { holder: 'other', transitions: 1, durationMs: 6_000, ...change, resourceVersion: String(++this.#version) };
  }

  async pass(ms: number): Promise<void> {
    for (const endMs = this.clock.nowMs + ms; ; this.clock.advance(50)) {
      const due = this.#waiting.filter(({ dueMs }) => dueMs <= this.clock.nowMs);
      this.#waiting = this.#waiting.filter(({ dueMs }) => dueMs > this.clock.nowMs);
      for (const { resolve } of due) resolve();
      await atRest();
      if (this.clock.nowMs >= endMs) return;
    }
  }
}

describe('operator: the elector', () => {
  it('is elected at once where nobody holds the Lease, and once only while it renews', async () => {
    const stage = new Stage();
    await stage.pass(30_000);
    expect(stage.said).to.deep.equal(['elected 1']);
    expect(stage.elector.isLeading).to.equal(true);
    expect(Number(stage.record?.resourceVersion)).to.be.within(20, 30);
  });

  it('waits for another, and takes over when that is silent for longer than it promised', async () => {
    const stage = new Stage();
    stage.put({ transitions: 4 });
    await stage.pass(6_000);
    expect(stage.said).to.deep.equal([]);
    await stage.pass(1_700);
    expect(stage.said).to.deep.equal(['elected 5']);
  });

  it('gives the Lease up while it could not do the work, and does not ask for it', async () => {
    const stage = new Stage();
    await stage.pass(3_000);
    stage.unfit = 'etcd is silent';
    await stage.pass(1_600);
    expect(stage.said).to.deep.equal(['elected 1', 'lost: etcd is silent']);
    expect([stage.record?.holder, stage.record?.transitions]).to.deep.equal(['', 1]);
    await stage.pass(20_000);
    expect([stage.record?.holder, stage.said.length]).to.deep.equal(['', 2]);
    stage.unfit = null;
    await stage.pass(2_000);
    expect(stage.said.at(-1)).to.equal('elected 2');
  });

  it('leads on in the same term while the API server is silent, without believing in its Lease, and renews that afterwards', async () => {
    const stage = new Stage();
    await stage.pass(1_000);
    expect(stage.elector.holdsLease).to.equal(true);
    stage.isDown = true;
    await stage.pass(4_000);
    expect([stage.elector.isLeading, stage.elector.holdsLease]).to.deep.equal([true, false]);
    await stage.pass(60_000);
    expect([stage.elector.isLeading, stage.elector.holdsLease]).to.deep.equal([true, false]);
    stage.isDown = false;
    await stage.pass(3_000);
    expect([stage.said, stage.elector.holdsLease]).to.deep.equal([['elected 1'], true]);
  });

  it('leads on in the same term while the API server answers slowly, and has the Lease in its hand now and then', async () => {
    const stage = new Stage();
    await stage.pass(1_000);
    stage.takesMs = 3_000;
    let held = 0;
    for (let count = 0; count < 300; count++) {
      await stage.pass(100);
      if (stage.elector.holdsLease) held++;
    }
    expect(stage.said).to.deep.equal(['elected 1']);
    expect(held).to.be.within(15, 150);
    stage.takesMs = 0;
    await stage.pass(4_000);
    expect([stage.said, stage.elector.holdsLease]).to.deep.equal([['elected 1'], true]);
  });

  it('stops leading as soon as the API server says that another took the Lease meanwhile', async () => {
    const stage = new Stage();
    await stage.pass(1_000);
    stage.isDown = true;
    await stage.pass(10_000);
    stage.put({ holder: 'other', transitions: 2 });
    stage.isDown = false;
    await stage.pass(1_600);
    expect([stage.said.length, stage.elector.isLeading]).to.deep.equal([2, false]);
  });

  it('gives the holder a whole duration after a silence of the API server before it takes over', async () => {
    const stage = new Stage();
    stage.put({ transitions: 4 });
    await stage.pass(3_000);
    stage.isDown = true;
    await stage.pass(60_000);
    stage.isDown = false;
    await stage.pass(5_500);
    expect(stage.said).to.deep.equal([]);
    await stage.pass(3_000);
    expect(stage.said).to.deep.equal(['elected 5']);
  });

  it('stops leading at once when somebody else wrote the Lease', async () => {
    const stage = new Stage();
    await stage.pass(1_000);
    stage.put({ holder: 'other' });
    await stage.pass(1_600);
    expect([stage.said.length, stage.elector.isLeading]).to.deep.equal([2, false]);
  });

  it('stops leading at once when a higher generation was seen', async () => {
    const stage = new Stage();
    await stage.pass(1_000);
    stage.elector.stepDown('a higher generation');
    expect(stage.said.at(-1)).to.equal('lost: a higher generation');
  });

  it('brings the Lease up to the generation that was settled', async () => {
    const stage = new Stage();
    await stage.pass(1_000);
    stage.elector.settled(40);
    await stage.pass(2_000);
    expect(stage.record?.transitions).to.equal(40);
  });

  it('gives the Lease up when it is asked to stop', async () => {
    const stage = new Stage();
    await stage.pass(1_000);
    stage.stopping.abort();
    await stage.running;
    expect(stage.record?.holder).to.equal('');
    expect(stage.said.at(-1)).to.equal('lost: this operator stops');
  });
});
