import { expect } from 'chai';
import { OperatingError } from '../../../../core/errors.ts';
import { Access } from '../../../../operator/api/access.ts';
import type { KubeAnswer } from '../../../../operator/api/ports.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { FakeKubeCalls } from '../../../support/operator/fakeKubeCalls.ts';

const known = (username: string): KubeAnswer => ({
  status: 201,
  body: { status: { authenticated: true, user: { username, groups: ['g'] } } },
});
const unknown: KubeAnswer = { status: 201, body: { status: { authenticated: false, error: 'invalid bearer token' } } };
const said = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'nothing',
    (error: Error) => error.message,
  );

describe('operator: who may ask the REST API', () => {
  it('asks the API server whose a token is, as the operator, and not again for 10 s', async () => {
    const clock = new ManualClock();
    const kube = new FakeKubeCalls(() => known('ada'));
    const access = new Access(kube, clock);
    const [one, two] = await Promise.all([access.authenticate('Bearer abc'), access.authenticate('bearer abc')]);
    expect([one, two]).to.deep.equal(Array(2).fill({ token: 'abc', user: 'ada', uid: '', groups: ['g'], extra: {} }));
    clock.advance(9_999);
    await access.authenticate('Bearer abc');
    expect(kube.asked.map(({ token, request }) => [token, request.path])).to.deep.equal([
      [null, '/apis/authentication.k8s.io/v1/tokenreviews'],
    ]);
    clock.advance(1);
    kube.answering = () => unknown;
    expect(await said(access.authenticate('Bearer abc'))).to.match(/does not accept this token/);
  });

  it('remembers no more than its bound, and no token itself', async () => {
    const kube = new FakeKubeCalls(() => unknown);
    const access = new Access(kube, new ManualClock());
    for (let index = 0; index < 1_100; index++) await said(access.authenticate(`Bearer t${index}`));
    const asked = kube.asked.length;
    await said(access.authenticate('Bearer t1099'));
    expect(kube.asked.length, 'the newest is remembered').to.equal(asked);
    await said(access.authenticate('Bearer t0'));
    expect(kube.asked.length, 'the oldest is not').to.equal(asked + 1);
  });

  it('takes no answer for no verdict: the next request asks again', async () => {
    const kube = new FakeKubeCalls(() => Promise.reject(new OperatingError('Unavailable', 'ask', 'no answer')));
    const access = new Access(kube, new ManualClock());
    expect(await said(access.authenticate('Bearer abc'))).to.equal('ask: no answer');
    kube.answering = () => known('ada');
    expect((await access.authenticate('Bearer abc')).user).to.equal('ada');
  });

  it('calls what the operator may not ask no fault of the caller', async () => {
    const access = new Access(new FakeKubeCalls(() => ({ status: 403, body: { message: 'no' } })), new ManualClock());
    const error = await access.authenticate('Bearer abc').catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(OperatingError);
  });

  const refused = [undefined, '', 'Bearer', 'Bearer ', 'Basic abc', 'Bearer a b', `Bearer ${'x'.repeat(8_193)}`, 'Bearer \u00e4'];
  for (const header of refused) {
    it(`asks nobody about ${JSON.stringify(header)?.slice(0, 20)}`, async () => {
      const kube = new FakeKubeCalls(() => known('ada'));
      expect(await said(new Access(kube, new ManualClock()).authenticate(header))).to.match(/a bearer token is needed/);
      expect(kube.asked).to.deep.equal([]);
    });
  }

  it('asks for rights each time, with all that the API server said of the user', async () => {
    const kube = new FakeKubeCalls((_, { path }) =>
      path.includes('tokenreviews') ? known('ada') : { status: 201, body: { status: { allowed: kube.asked.length < 3, reason: 'RBAC' } } },
    );
    const access = new Access(kube, new ManualClock());
    const caller = await access.authenticate('Bearer abc');
    const signal = new AbortController().signal;
    await access.authorize(caller, 'update', 'settings', signal);
    expect(kube.asked[1]?.request.body).to.have.nested.property('spec.resourceAttributes').that.deep.equals({
      group: 'holdfast.dev',
      resource: 'settings',
      verb: 'update',
    });
    expect(await said(access.authorize(caller, 'update', 'settings', signal))).to.equal(
      'user "ada" may not update settings in the API group "holdfast.dev": RBAC',
    );
  });
});
