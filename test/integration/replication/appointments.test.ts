/** A Seal whose sender has yet to be known as appointed: it is handed on when it is answered for, and nothing of it or behind it before. */
import { expect } from 'chai';
import { Encoder } from '../../../core/wire/encode.ts';
import type { ToReplica } from '../../../core/wire/messages.ts';
import { until } from '../../support/until.ts';
import { listening } from './listening.ts';
import { SEAL } from './support.ts';

const LIMITS = { sealTimeoutMs: 300, closeTimeoutMs: 300 };
const encoder = new Encoder(SEAL);
const frame = (message: ToReplica): Buffer => Buffer.concat(encoder.encode(message));

describe('a Seal of which it must be asked who sends it', () => {
  const ends = listening(LIMITS);

  for (const rule of ['appointment', 'appointmentUnknown'] as const) {
    it(`is not handed on when its sender is not appointed, and he is told: ${rule}`, async () => {
      const message = 'the leader has not appointed node-a';
      const asked: (() => void)[] = [];
      ends.replica.appointed = (seal, answered) => {
        expect(seal).to.deep.equal(SEAL);
        asked.push(() => answered({ rule, message }));
      };
      const primary = ends.open();
      const answer = await until('it is asked', () => asked[0]);
      ends.nothingWasHeard();
      expect(primary.heard).to.deep.equal([]);
      answer();
      await until('the primary hears the end', () => primary.closedWith);
      expect(await ends.refusal()).to.deep.equal({ peer: 'agent:node-a', rule, message });
      expect(primary.heard).to.deep.equal([{ type: 'refused', code: 'protocol', message, promisedEpoch: 0, seenVersion: 0 }]);
      ends.nothingWasHeard();
      expect(ends.replica.opened).to.equal(0);
    });
  }

  it('is handed on when it is answered for, however long after the time for the Seal itself', async () => {
    const asked: (() => void)[] = [];
    ends.replica.appointed = (_, answered) => asked.push(() => answered(null));
    const primary = ends.open();
    const answer = await until('it is asked', () => asked[0]);
    ends.raw();
    // That one connected later; so when its time is over, the other's is, too.
    expect((await ends.refusal()).rule).to.equal('sealTimeout');
    expect(primary.closedWith).to.equal(null);
    answer();
    await until('it is open', () => primary.types[0] === 'sealed');
    primary.send({ type: 'flush', id: 1 });
    await until('the session goes on', () => ends.replica.heard.length === 1);
  });

  it('is not asked about where its sender is not the node that it names', async () => {
    let asked = 0;
    ends.replica.appointed = () => asked++;
    const primary = ends.open(await ends.shelf.of('agent:node-c'));
    await until('the primary hears the end', () => primary.closedWith);
    expect(asked).to.equal(0);
  });

  it('is refused when its sender goes on before he is answered for', async () => {
    ends.replica.appointed = () => undefined;
    const client = ends.raw();
    client.socket.write(Buffer.concat([frame(SEAL), frame({ type: 'flush', id: 1 })]));
    expect(await ends.refusal()).to.deep.equal({ peer: 'agent:node-a', rule: 'order', message: 'flush before the Seal was answered' });
    await until('the connection is gone', () => client.isClosed);
    ends.nothingWasHeard();
  });

  it('is not handed on when its sender has gone before he was answered for', async () => {
    const asked: (() => void)[] = [];
    ends.replica.appointed = (_, answered) => asked.push(() => answered(null));
    const primary = ends.open();
    const answer = await until('it is asked', () => asked[0]);
    primary.link.close();
    await until('the connection is gone', () => ends.replica.server?.connectionCount === 0);
    answer();
    ends.nothingWasHeard();
    expect([ends.replica.opened, ends.replica.refusals]).to.deep.equal([0, []]);
  });
});
