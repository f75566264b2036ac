import { expect } from 'chai';
import type { Etcd3 } from 'etcd3';
import { isOperatingError, messageOf } from '../../../core/errors.ts';
import { Calls } from '../../../edge/etcd/calls.ts';
import type { Connection } from '../../../edge/etcd/endpoints.ts';

const NOT_SENT = '14 UNAVAILABLE: No connection established. Last error: ECONNREFUSED';
const NO_ANSWER = '4 DEADLINE_EXCEEDED: Deadline exceeded';
const RIGHTS_CHANGED = '3 INVALID_ARGUMENT: etcdserver: revision of auth store is old';
const REFUSED = '3 INVALID_ARGUMENT: etcdserver: request is too large';

/** Members that fail as they are told to, one word for each call to them; the last word goes on for ever. */
function membersOf(...behaviours: string[][]) {
  let index = 0;
  const asked: string[] = [];
  const connections = behaviours.map(
    (_, member): Connection => ({ url: `https://etcd-${member}`, client: { member } as unknown as Etcd3, answeredMs: 0 }),
  );
  const current = () => connections[index] as Connection;
  const calls = new Calls(
    {
      current,
      answered: () => undefined,
      failed: () => {
        index = (index + 1) % connections.length;
      },
    },
    null,
  );
  const run = async (client: Etcd3): Promise<string> => {
    const { member } = client as unknown as { member: number };
    asked.push(`etcd-${member}`);
    const words = behaviours[member] ?? [];
    const word = (words.length > 1 ? words.shift() : words[0]) ?? '';
    if (word === 'ok') return `answer of etcd-${member}`;
    throw new Error(word);
  };
  return { calls, run, asked };
}

async function failing(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(isOperatingError(error, 'Unavailable')).to.equal(true);
  return messageOf(error);
}

describe('a call to etcd', () => {
  it('that changes something is never repeated when its outcome is unknown, though another member would answer', async () => {
    const { calls, run, asked } = membersOf([NO_ANSWER], ['ok']);
    expect(await failing(calls.write('commit a', run))).to.contain('the outcome is unknown, it may have been done or may still be done');
    expect(asked).to.deep.equal(['etcd-0']);
    expect(await calls.write('commit a', run)).to.equal('answer of etcd-1');
  });

  it('that never left this process is given to every other member, once', async () => {
    const some = membersOf([NOT_SENT], [NOT_SENT], ['ok']);
    expect(await some.calls.write('commit a', some.run)).to.equal('answer of etcd-2');
    expect(some.asked).to.deep.equal(['etcd-0', 'etcd-1', 'etcd-2']);
    const none = membersOf([NOT_SENT], [NOT_SENT], [NOT_SENT]);
    expect(await failing(none.calls.write('commit a', none.run))).to.match(/nothing was changed$/);
    expect(none.asked).to.deep.equal(['etcd-0', 'etcd-1', 'etcd-2']);
  });

  it('during which somebody was given other rights is asked again, also when it changes something: etcd did nothing', async () => {
    const some = membersOf([RIGHTS_CHANGED, RIGHTS_CHANGED, 'ok']);
    expect(await some.calls.write('commit a', some.run)).to.equal('answer of etcd-0');
    const always = membersOf([RIGHTS_CHANGED]);
    expect(await failing(always.calls.write('commit a', always.run))).to.match(/revision of auth store is old; nothing was changed$/);
    expect(always.asked.length).to.be.within(2, 10);
  });

  it('that changes something is not repeated when it was perhaps sent after all', async () => {
    const { calls, run, asked } = membersOf([NOT_SENT], [NO_ANSWER], ['ok']);
    expect(await failing(calls.write('commit a', run))).to.contain('the outcome is unknown');
    expect(asked).to.deep.equal(['etcd-0', 'etcd-1']);
  });

  it('that only reads is asked once more elsewhere, no oftener', async () => {
    const some = membersOf([NO_ANSWER], ['ok']);
    expect(await some.calls.read('read a', some.run)).to.equal('answer of etcd-1');
    const none = membersOf([NO_ANSWER], [NO_ANSWER], ['ok']);
    expect(await failing(none.calls.read('read a', none.run))).to.match(/^read a: etcd gave no answer .* nothing was changed$/);
    expect(none.asked).to.deep.equal(['etcd-0', 'etcd-1']);
  });

  it('that etcd refused is not asked again', async () => {
    const { calls, run, asked } = membersOf([REFUSED], ['ok']);
    expect(await failing(calls.read('read a', run))).to.equal(
      'read a: etcd refused: etcdserver: request is too large; nothing was changed',
    );
    expect(asked).to.deep.equal(['etcd-0']);
  });

  it('of one member that is not there fails at once', async () => {
    const { calls, run, asked } = membersOf([NOT_SENT]);
    await failing(calls.read('read a', run));
    expect(asked).to.deep.equal(['etcd-0']);
  });
});
