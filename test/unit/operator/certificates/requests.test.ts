/** Who may have which certificate, as a table of sentences. */
import { expect } from 'chai';
import { makeRequest, type RequestContents, readRequest } from '../../../../edge/issuing.ts';
import { isApproved, isDecided, judge, type PodObject, type RequestObject } from '../../../../operator/certificates/requests.ts';

const USER = 'system:serviceaccount:storage:holdfast-agent';
const meta = { name: 'one', uid: '1', resourceVersion: '1' };
const request = (change: Partial<RequestObject['spec']> = {}): RequestObject => ({
  metadata: meta,
  spec: {
    request: '',
    signerName: 'holdfast.dev/agent',
    username: USER,
    usages: ['digital signature', 'client auth', 'server auth'],
    extra: { 'authentication.kubernetes.io/node-name': ['node-a'], 'authentication.kubernetes.io/pod-name': ['agent-1'] },
    ...change,
  },
});
const contents = (change: Partial<RequestContents> = {}): RequestContents => ({
  commonName: 'agent:node-a',
  others: [],
  names: [],
  ...change,
});
const pod: PodObject = {
  metadata: meta,
  spec: { nodeName: 'node-a' },
  status: { podIPs: [{ ip: '10.0.0.5' }], hostIPs: [{ ip: '192.168.0.5' }] },
};
const ask = (
  asked: RequestObject,
  said: RequestContents | null = contents(),
  { by = pod as PodObject | null, ageMs = 0 }: { by?: PodObject | null; ageMs?: number } = {},
) => judge(asked, said, by, { user: USER, ageMs });

describe('operator: requests for certificates', () => {
  it('are granted to the agent of the node that the API server vouches for, with its own addresses', () => {
    expect(ask(request(), contents({ names: ['node-a', '10.0.0.5', '192.168.0.5'] }))).to.deep.equal({
      kind: 'grant',
      node: 'node-a',
      names: ['node-a', '10.0.0.5', '192.168.0.5'],
    });
  });

  const refused: [string, () => ReturnType<typeof judge>, RegExp][] = [
    [
      'another service account',
      () => ask(request({ username: 'system:serviceaccount:storage:other' })),
      /other asks; only .*holdfast-agent may/,
    ],
    [
      'an agent of another namespace',
      () => ask(request({ username: 'system:serviceaccount:x:holdfast-agent' })),
      /only system:serviceaccount:storage/,
    ],
    ['nobody', () => ask({ ...request(), spec: { request: '', signerName: '' } }), /^nobody asks/],
    ['a token without a node', () => ask(request({ extra: {} })), /not bound to a pod on a node/],
    [
      'a token with two nodes',
      () => ask(request({ extra: { 'authentication.kubernetes.io/node-name': ['node-a', 'node-b'] } })),
      /not bound/,
    ],
    [
      'the name of another node',
      () => ask(request(), contents({ commonName: 'agent:node-b' })),
      /agent:node-b is asked for by an agent of node node-a/,
    ],
    ["an operator's name", () => ask(request(), contents({ commonName: 'operator:operator' })), /may be agent:node-a only/],
    ["etcd's name", () => ask(request(), contents({ commonName: 'etcd' })), /may be agent:node-a only/],
    ['no single name', () => ask(request(), contents({ commonName: null })), /no single common name/],
    ['an organization', () => ask(request(), contents({ others: ['O=system:masters'] })), /O=system:masters may not stand/],
    ['what cannot be read', () => ask(request(), null), /cannot be read/],
    ['another use', () => ask(request({ usages: ['cert sign'] })), /not good for cert sign/],
    [
      'the name of a service',
      () => ask(request(), contents({ names: ['holdfast-etcd'] }), { ageMs: 120_000 }),
      /holdfast-etcd is neither node-a nor/,
    ],
    ["another pod's address", () => ask(request(), contents({ names: ['10.0.0.6'] }), { ageMs: 120_000 }), /10.0.0.6 is neither/],
    [
      'a pod on another node',
      () => ask(request(), contents(), { by: { ...pod, spec: { nodeName: 'node-b' } } }),
      /the pod that asks is on node-b, not on node-a/,
    ],
  ];
  for (const [what, run, message] of refused) {
    it(`are denied, with a sentence: ${what}`, () => {
      const verdict = run();
      expect(verdict.kind).to.equal('deny');
      expect(verdict.kind === 'deny' && verdict.message).to.match(message);
    });
  }

  it('wait for a minute while the addresses of the pod are not known yet', () => {
    const young = ask(request(), contents({ names: ['10.0.0.5'] }), { by: { ...pod, status: {} }, ageMs: 59_999 });
    expect(young.kind).to.equal('wait');
    expect(ask(request(), contents({ names: ['10.0.0.5'] }), { by: null, ageMs: 60_000 }).kind).to.equal('deny');
  });

  it('are decided by a condition that is true', () => {
    const said = (type: string, status: string) => ({ ...request(), status: { conditions: [{ type, status }] } });
    expect(['Approved', 'Denied', 'Failed'].map((type) => isDecided(said(type, 'True')))).to.deep.equal([true, true, true]);
    expect([isDecided(request()), isDecided(said('Approved', 'False')), isApproved(said('Denied', 'True'))]).to.deep.equal([
      false,
      false,
      false,
    ]);
  });

  it('are read as they were made, and not at all when somebody changed them', async () => {
    const { request: pem } = await makeRequest({ commonName: 'agent:node-a', organizations: ['x'] }, ['node-a', '10.0.0.5', 'fd00::5']);
    expect(await readRequest(pem)).to.deep.equal({ commonName: 'agent:node-a', others: ['O=x'], names: ['node-a', '10.0.0.5', 'fd00::5'] });
    const bytes = Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
    bytes[bytes.indexOf('node-a')] = 'm'.charCodeAt(0);
    const changed = `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    expect(await readRequest(changed)).to.equal(null);
    expect(await readRequest('nonsense')).to.equal(null);
  });
});
