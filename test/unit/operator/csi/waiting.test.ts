import { expect } from 'chai';
import { sleep } from '../../../../edge/timers.ts';
import { Waiting } from '../../../../operator/csi/waiting.ts';

const NEVER = new AbortController().signal;

describe('waiting for the leader', () => {
  /** Nobody looks by the clock: only what changes is seen. */
  const waiting = () => new Waiting({ sleep: (_, signal) => sleep(60_000, signal) });

  it('asks at once, and waits for nothing where there is an answer', async () => {
    expect(await waiting().until(() => 'there', NEVER)).to.equal('there');
  });

  it('asks again whenever something changed, each who waits for himself', async () => {
    const waits = waiting();
    const seen = { one: null as string | null, other: null as string | null };
    const one = waits.until(() => seen.one, NEVER);
    const other = waits.until(() => seen.other, NEVER);
    waits.changed();
    seen.other = 'second';
    waits.changed();
    expect(await other).to.equal('second');
    seen.one = 'first';
    waits.changed();
    expect(await one).to.equal('first');
  });

  it('asks nobody again who has his answer', async () => {
    const waits = waiting();
    let asked = 0;
    let answer: string | null = null;
    const waited = waits.until(() => {
      asked++;
      return answer;
    }, NEVER);
    answer = 'now';
    for (let changes = 0; changes < 5; changes++) waits.changed();
    expect(await waited).to.equal('now');
    expect(asked, 'once at first, once when it was there').to.equal(2);
  });

  it('gives up when its time is over, after one more look', async () => {
    let asked = 0;
    const never = (): null => {
      asked++;
      return null;
    };
    const answer = await waiting().until(never, NEVER, 20);
    expect(answer).to.equal(null);
    expect(asked).to.equal(2);
    const late = await waiting().until(() => (++asked > 3 ? 'late' : null), NEVER, 20);
    expect(late).to.equal('late');
  });

  it('throws what asking throws, at once and later', async () => {
    const waits = waiting();
    let isWrong = false;
    const waited = waits.until(() => {
      if (isWrong) throw new Error('it failed');
      return null;
    }, NEVER);
    isWrong = true;
    waits.changed();
    expect(await waited.catch((error: Error) => error.message)).to.equal('it failed');
  });

  it('throws the reason of who gives up waiting', async () => {
    const ending = new AbortController();
    const waited = waiting().until(() => null, ending.signal);
    ending.abort(new Error('the caller went away'));
    expect(await waited.catch((error: Error) => error.message)).to.equal('the caller went away');
  });
});
