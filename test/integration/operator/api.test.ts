/** The REST API of real operators over a real API server and etcd: rights, traces, versions, waiting, and what is told when a part is gone. */
import { expect } from 'chai';
import { DEFAULT_SETTINGS, type Settings } from '../../../core/settings.ts';
import type { Task } from '../../../core/task.ts';
import type { SnapshotObject, StorageNodeObject, VolumeObject } from '../../../operator/api.ts';
import { FIRST_START_MS, RealCluster } from '../../support/operator/realCluster.ts';
import { RestClient, type RestError } from '../../support/operator/restClient.ts';
import { until } from '../../support/until.ts';

type List<Item> = { items: Item[]; resourceVersion: string; continue: string | null; remaining: number | null };
type Changes<Item> = { changes: { type: string; object: Item }[]; resourceVersion: string };
type Wait = { reached: boolean; volume: VolumeObject };
type SettingsAnswer = { version: number; values: Settings; configured: Settings; change: { by: string; traceId: string } | null };

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const TRACEPARENT = `00-${TRACE_ID}-00f067aa0ba902b7-01`;
const PARALLEL = 200;

describe('operator: the REST API', function () {
  this.timeout(120_000);
  let real: RealCluster;
  let rest: RestClient;
  let other: RestClient;
  let viewer: string;
  let nobody: string;

  const serviceAccount = async (name: string, role: string | null): Promise<string> => {
    const { kubectl } = real.cluster;
    await kubectl(['create', 'serviceaccount', name, '-n', 'holdfast-system']);
    if (role !== null)
      await kubectl(['create', 'clusterrolebinding', name, `--clusterrole=${role}`, `--serviceaccount=holdfast-system:${name}`]);
    return (await kubectl(['create', 'token', name, '-n', 'holdfast-system'])).trim();
  };
  const volume = (name: string, spec: object = { size: '1Gi' }) => ({ metadata: { name }, spec });
  const made = (name: string, spec?: object) => rest.ask<VolumeObject>('POST', '/v1/volumes', { body: volume(name, spec) });

  before(async function () {
    this.timeout(FIRST_START_MS);
    real = await RealCluster.start({ operators: 2 });
    for (const letter of 'abc') real.play(letter, { settingsVersion: 1 });
    const client = async (operator: string) =>
      new RestClient(real.cluster.apiUrl(operator), real.cluster.administrator.ca, await real.cluster.token());
    [rest, other] = [await client('operator-0'), await client('operator-1')];
    [viewer, nobody] = [await serviceAccount('viewer', 'holdfast-viewer'), await serviceAccount('nobody', null)];
    await real.leader();
    await until('three nodes are known', async () => (await rest.get<List<StorageNodeObject>>('/v1/nodes')).body.items.length === 3);
  });
  after(async () => {
    rest?.close();
    other?.close();
    await real?.stop();
  });

  describe('who may', () => {
    it('answers nobody without a token that the API server accepts', async () => {
      for (const token of [null, 'x', `${viewer}x`]) {
        const { status, body } = await rest.get<RestError>('/v1/volumes', { token });
        expect([status, body.error.code]).to.deep.equal([401, 'Unauthorized']);
      }
      const basic = await rest.get<RestError>('/v1/volumes', { token: null, headers: { authorization: 'Basic YTpi' } });
      expect(basic.status).to.equal(401);
    });

    it('is to the API server whoever asks, never the operator', async () => {
      for (const path of ['/v1/volumes', '/v1/nodes', '/v1/snapshots', '/v1/tasks', '/v1/settings']) {
        const { status, body } = await rest.get<RestError>(path, { token: nobody });
        expect([path, status], JSON.stringify(body)).to.deep.equal([path, 403]);
        expect(body.error.message).to.include('system:serviceaccount:holdfast-system:nobody');
      }
    });

    it('lets a viewer see everything and change nothing', async () => {
      for (const path of ['/v1/volumes', '/v1/nodes', '/v1/snapshots', '/v1/tasks', '/v1/settings'])
        expect((await rest.get(path, { token: viewer })).status, path).to.equal(200);
      const refused = [
        await rest.ask('POST', '/v1/volumes', { token: viewer, body: volume('not-mine') }),
        await rest.ask('PATCH', '/v1/nodes/node-a', { token: viewer, body: { spec: { maintenance: true } } }),
        await rest.ask('DELETE', '/v1/nodes/node-a', { token: viewer }),
        await rest.ask('PUT', '/v1/settings', { token: viewer, body: { values: DEFAULT_SETTINGS } }),
      ];
      expect(refused.map(({ status }) => status)).to.deep.equal([403, 403, 403, 403]);
    });

    it('shows its document to anybody, and counts who was refused', async () => {
      const { status, body } = await rest.get<{ openapi: string }>('/openapi.json', { token: null });
      expect([status, body.openapi]).to.deep.equal([200, '3.1.0']);
      const url = real.cluster.url('operator/operator-0');
      const { fetchText } = await import('../../support/operator/realCluster.ts');
      const metrics = await fetchText(`${url}/metrics`, real.cluster.administrator);
      expect(metrics).to.match(/holdfast_api_refused_total\{reason="unauthorized"\} [1-9]/);
      expect(metrics).to.match(/holdfast_api_refused_total\{reason="forbidden"\} [1-9]/);
      expect(metrics).to.match(/holdfast_api_requests_total\{operation="listVolumes",status="200"\} [1-9]/);
    });
  });

  describe('volumes', () => {
    it('makes one under the trace that came with the request: object, tasks, answers', async () => {
      const answer = await rest.ask<VolumeObject>('POST', '/v1/volumes', {
        body: volume('traced', { size: '1Gi', replicas: 2 }),
        headers: { traceparent: TRACEPARENT },
      });
      expect(answer.status).to.equal(201);
      expect(answer.headers.traceparent).to.match(new RegExp(`^00-${TRACE_ID}-[0-9a-f]{16}-01$`));
      expect(answer.body.metadata.annotations?.['holdfast.dev/traceparent']).to.match(new RegExp(`^00-${TRACE_ID}-`));
      expect(answer.headers.etag).to.equal(`"${answer.body.metadata.resourceVersion}"`);
      const waited = await other.get<Wait>('/v1/volumes/traced/wait?timeoutSeconds=60');
      expect([waited.body.reached, waited.body.volume.status?.phase]).to.deep.equal([true, 'Healthy']);
      const { body } = await other.get<List<Task>>('/v1/tasks?volume=traced');
      expect(body.items.map(({ spec, traceId }) => [spec.kind, traceId])).to.deep.equal([
        ['create-replica', TRACE_ID],
        ['create-replica', TRACE_ID],
      ]);
      const [task] = body.items;
      expect((await rest.get<Task>(`/v1/tasks/${task?.id}`)).body.traceId).to.equal(TRACE_ID);
      expect((await rest.get('/v1/tasks/create-0123')).status).to.equal(404);
    });

    it('carries the trace of a deletion to its tasks', async () => {
      for (const letter of 'abc') real.agent(letter).isStill = true;
      const traceId = 'a'.repeat(32);
      const { status, body } = await rest.ask<VolumeObject>('DELETE', '/v1/volumes/traced', {
        headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
      });
      expect(status).to.equal(202);
      expect(body.metadata.deletionTimestamp).to.be.a('string');
      const tasks = await until('its tasks are filed', async () => {
        const { items } = (await rest.get<List<Task>>('/v1/tasks?state=filed')).body;
        return items.some(({ spec }) => spec.kind === 'delete-replica') ? items : null;
      });
      expect(new Set(tasks.map((task) => task.traceId))).to.deep.equal(new Set([traceId]));
      for (const letter of 'abc') real.agent(letter).isStill = false;
      await until('it is gone', async () => (await rest.get('/v1/volumes/traced')).status === 404);
    });

    it('names everything that is wrong', async () => {
      const several = await rest.ask<RestError>('POST', '/v1/volumes', { body: { kind: 'Pod', status: {}, metadata: { uid: 'x' } } });
      expect(several.status).to.equal(422);
      expect(several.body.error.problems?.map(({ field }) => field)).to.deep.equal([
        'status',
        'kind',
        'metadata.uid',
        'metadata.name',
        'spec',
      ]);
      const byRule = await made('small', { size: '0', replicas: 0 });
      expect(byRule.status).to.equal(422);
      expect((byRule.body as unknown as RestError).error.problems).to.deep.include({
        field: 'spec.size',
        message: 'Invalid value: "0": must be more than 0 (is 0)',
      });
      const unknown = await made('odd', { size: '1Gi', color: 'red' });
      expect([unknown.status, (unknown.body as unknown as RestError).error.message]).to.satisfy(
        ([status, message]: [number, string]) => status === 400 && message.includes('unknown field "spec.color"'),
      );
      const query = await rest.get<RestError>('/v1/volumes?limit=0&colour=red&phase=Happy');
      expect(query.body.error.problems?.map(({ field }) => field)).to.deep.equal(['colour', 'limit', 'phase']);
      expect((await rest.ask('POST', '/v1/volumes', { body: '{"a":' })).status).to.equal(400);
      expect((await rest.ask('POST', '/v1/volumes', { body: 'a: b', contentType: 'application/yaml' })).status).to.equal(415);
      expect((await rest.ask('POST', '/v1/volumes', { body: { a: 'x'.repeat(300_000) } })).status).to.equal(413);
      expect((await rest.ask('PUT', '/v1/volumes')).headers.allow).to.equal('GET, POST');
      expect((await rest.get('/v1/volumes/none')).status).to.equal(404);
      expect((await rest.get('/v2')).status).to.equal(404);
    });

    it('lists page by page, by label, phase and node', async () => {
      for (const name of ['one', 'two', 'three']) expect((await made(name, { size: '1Gi', replicas: 1 })).status).to.equal(201);
      expect((await made('one')).status).to.equal(409);
      expect((await made('wide', { size: '900Ti', replicas: 1 })).status).to.equal(422);
      expect((await made('huge', { size: '15Ti', replicas: 1 })).status).to.equal(201);
      await rest.ask('PATCH', '/v1/volumes/two', { body: { metadata: { labels: { tier: 'gold' } } } });
      for (const name of ['one', 'two', 'three']) expect((await rest.get<Wait>(`/v1/volumes/${name}/wait`)).body.reached).to.equal(true);
      await until('huge is Pending', async () => (await rest.get<Wait>('/v1/volumes/huge/wait?phase=Pending')).body.reached);
      const names = async (query: string): Promise<string[]> =>
        (await rest.get<List<VolumeObject>>(`/v1/volumes?${query}`)).body.items.map(({ metadata }) => metadata.name);
      expect(await names('')).to.deep.equal(['huge', 'one', 'three', 'two']);
      expect(await names('phase=Pending')).to.deep.equal(['huge']);
      expect(await names('labelSelector=tier%3Dgold')).to.deep.equal(['two']);
      const first = (await rest.get<List<VolumeObject>>('/v1/volumes?limit=3')).body;
      expect([first.items.length, first.remaining]).to.deep.equal([3, 1]);
      expect(await names(`limit=3&continue=${encodeURIComponent(first.continue ?? '')}`)).to.deep.equal(['two']);
      const node = (await rest.get<VolumeObject>('/v1/volumes/one')).body.status?.replicas?.[0]?.node ?? '';
      expect(await names(`node=${node}`)).to.include('one');
      expect(await names('node=node-z')).to.deep.equal([]);
    });

    it('changes on the version that was given, or says both', async () => {
      const { metadata } = (await rest.get<VolumeObject>('/v1/volumes/one')).body;
      const headers = { 'if-match': `"${metadata.resourceVersion}"` };
      expect((await rest.ask('PATCH', '/v1/volumes/one', { headers, body: { metadata: { labels: { a: 'b' } } } })).status).to.equal(200);
      for (const [method, body] of [
        ['PATCH', { metadata: { labels: { a: 'c' } } }],
        ['DELETE', undefined],
      ] as const) {
        const late = await rest.ask<RestError>(method, '/v1/volumes/one', { headers, body });
        expect(late.status).to.equal(409);
        expect(late.body.error.versions).to.include({ given: metadata.resourceVersion });
      }
      const inBody = { metadata: { resourceVersion: metadata.resourceVersion, labels: { a: 'd' } } };
      expect((await rest.ask('PATCH', '/v1/volumes/one', { body: inBody })).status).to.equal(409);
      expect((await rest.get<VolumeObject>('/v1/volumes/one')).body.metadata.labels).to.deep.equal({ a: 'b' });
    });

    it('loses none of 200 changes at once: what was answered with 200 is there', async () => {
      const change = (index: number, client: RestClient, headers: Record<string, string> = {}) =>
        client.ask<VolumeObject>('PATCH', '/v1/volumes/three', { headers, body: { metadata: { labels: { [`l${index}`]: 'x' } } } });
      const each = Array.from({ length: PARALLEL }, (_, index) => index);
      const answers = await Promise.all(each.map((index) => change(index, index % 2 === 0 ? rest : other)));
      const { labels = {} } = (await rest.get<VolumeObject>('/v1/volumes/three')).body.metadata;
      for (const [index, { status, body }] of answers.entries()) {
        expect([200, 409, 429], JSON.stringify(body)).to.include(status);
        expect(`l${index}` in labels, `change ${index}, answered ${status}`).to.equal(status === 200);
      }
      expect(answers.filter(({ status }) => status === 200).length, 'at least what two operators take at once').to.be.at.least(128);
      const { resourceVersion } = (await rest.get<VolumeObject>('/v1/volumes/three')).body.metadata;
      const based = await Promise.all(
        each.map((index) => change(1_000 + index, index % 2 === 0 ? rest : other, { 'if-match': `"${resourceVersion}"` })),
      );
      expect(based.filter(({ status }) => status === 200).length).to.equal(1);
    });

    it('answers a poll with what happened since, and an empty one in time', async () => {
      const { resourceVersion } = (await rest.get<List<VolumeObject>>('/v1/volumes')).body;
      const poll = rest.get<Changes<VolumeObject>>(`/v1/volumes?watch=true&resourceVersion=${resourceVersion}&timeoutSeconds=30`);
      await rest.ask('PATCH', '/v1/volumes/two', { body: { metadata: { labels: { tier: 'silver' } } } });
      const { changes, resourceVersion: next } = (await poll).body;
      expect(changes.map(({ type, object }) => [type, object.metadata.name, object.metadata.labels?.tier])).to.deep.equal([
        ['MODIFIED', 'two', 'silver'],
      ]);
      const idle = await rest.get<Changes<VolumeObject>>(`/v1/snapshots?watch=true&resourceVersion=${next}&timeoutSeconds=1`);
      expect(idle.body.changes).to.deep.equal([]);
      expect((await rest.get('/v1/volumes?watch=true')).status).to.equal(400);
      const slow = await rest.get<Wait>('/v1/volumes/huge/wait?timeoutSeconds=1');
      expect([slow.status, slow.body.reached]).to.deep.equal([200, false]);
      expect((await rest.get('/v1/volumes/none/wait')).status).to.equal(404);
    });

    it('holds at most 32 polls of one user', async () => {
      const { resourceVersion } = (await rest.get<List<SnapshotObject>>('/v1/snapshots')).body;
      const polls = await Promise.all(
        Array.from({ length: 40 }, () => rest.get(`/v1/snapshots?watch=true&resourceVersion=${resourceVersion}&timeoutSeconds=2`)),
      );
      const refused = polls.filter(({ status }) => status === 429);
      expect(refused).to.have.length(8);
      expect(refused[0]?.headers['retry-after']).to.equal('1');
    });
  });

  it('keeps snapshots, and nodes with what their agents run', async () => {
    const body = { metadata: { name: 'nightly' }, spec: { volume: 'one' } };
    expect((await rest.ask('POST', '/v1/snapshots', { body })).status).to.equal(201);
    const { items } = (await rest.get<List<SnapshotObject>>('/v1/snapshots?volume=one')).body;
    expect(items.map(({ metadata }) => metadata.name)).to.deep.equal(['nightly']);
    expect((await rest.get<List<SnapshotObject>>('/v1/snapshots?volume=two')).body.items).to.deep.equal([]);
    expect((await rest.ask('DELETE', '/v1/snapshots/nightly')).status).to.be.oneOf([202, 204]);
    const patched = await rest.ask<StorageNodeObject & { agent: object }>('PATCH', '/v1/nodes/node-a', {
      body: { spec: { maintenance: true } },
    });
    expect([patched.body.spec.maintenance, patched.body.agent]).to.deep.equal([true, { ...patched.body.agent, settingsVersion: 1 }]);
    await rest.ask('PATCH', '/v1/nodes/node-a', { body: { spec: { maintenance: false } } });
  });

  describe('settings', () => {
    it('change as a whole or not at all, on the version that was given', async () => {
      const { body: before, headers } = await rest.get<SettingsAnswer>('/v1/settings');
      expect(headers.etag).to.equal(`"${before.version}"`);
      const bad = await rest.ask<RestError>('PUT', '/v1/settings', { body: { values: { heartbeatMs: 1, leaseMs: 'long', speed: 9 } } });
      expect(bad.status).to.equal(422);
      expect(bad.body.error.problems?.map(({ field }) => field)).to.include.members([
        'values.heartbeatMs',
        'values.leaseMs',
        'values.speed',
        'values.ioTimeoutMs',
      ]);
      const values = { ...before.values, heartbeatMs: 150 };
      const ifMatch = { 'if-match': headers.etag ?? '' };
      const changed = await other.ask<SettingsAnswer>('PUT', '/v1/settings', {
        headers: { ...ifMatch, traceparent: TRACEPARENT },
        body: { values },
      });
      expect([changed.status, changed.body.version, changed.body.values]).to.deep.equal([200, before.version + 1, values]);
      expect(changed.body.change).to.deep.equal({ by: 'system:serviceaccount:holdfast-system:administrator', traceId: TRACE_ID });
      const late = await rest.ask<RestError>('PUT', '/v1/settings', { headers: ifMatch, body: { values: before.values } });
      expect([late.status, late.body.error.versions]).to.deep.equal([
        409,
        { given: String(before.version), current: String(before.version + 1) },
      ]);
    });

    it('stay when another operator with the same configuration leads', async () => {
      const leader = await real.leader();
      await real.cluster.process(`operator/${leader}`).kill('SIGTERM');
      await until('another leads', async () => (await real.leader()) !== leader, 20_000);
      await real.cluster.grow(0, 2);
      const { body } = await rest.get<SettingsAnswer>('/v1/settings');
      expect([body.values.heartbeatMs, body.configured.heartbeatMs]).to.deep.equal([150, DEFAULT_SETTINGS.heartbeatMs]);
    });
  });

  describe('without', () => {
    const gone = async (path: string, options = {}): Promise<RestError['error']> => {
      const { status, headers, body } = await rest.get<RestError>(path, options);
      expect([path, status, headers['retry-after']], JSON.stringify(body)).to.deep.equal([path, 503, '5']);
      return body.error;
    };

    it('etcd: says so, that nothing was changed, and when to come again', async () => {
      await rest.get('/v1/volumes');
      const etcd = real.cluster.process('etcd/etcd-0');
      await etcd.kill('SIGSTOP');
      try {
        expect((await gone('/v1/tasks')).message).to.match(
          /etcd has no quorum \(0 of 1 members answer\); nothing was changed; try again after 5 s$/,
        );
        await gone('/v1/volumes');
        await gone('/v1/nodes');
        const write = await rest.ask<RestError>('PATCH', '/v1/volumes/one', { body: { spec: { size: '2Gi' } } });
        expect([write.status, write.headers['retry-after']]).to.deep.equal([503, '5']);
        expect(write.body.error.message).to.match(/whether it was done is not known: look before you try again/);
      } finally {
        await etcd.kill('SIGCONT');
      }
      await until('it answers again', async () => (await rest.get('/v1/tasks')).status === 200, 30_000);
    });

    it('the API server: the same', async () => {
      await real.cluster.process('apiserver/apiserver').kill('SIGKILL');
      const { message, traceId } = await gone('/v1/volumes', { headers: { traceparent: TRACEPARENT } });
      expect(message).to.match(/the API server gives no answer \(.*\); nothing was changed; try again after 5 s$/);
      expect(traceId).to.equal(TRACE_ID);
      await gone('/v1/settings', { token: `${viewer}y` });
      await real.cluster.grow(0, 2);
      await until('it answers again', async () => (await rest.get('/v1/volumes')).status === 200, 30_000);
    });
  });
});
