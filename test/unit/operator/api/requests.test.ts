import { expect } from 'chai';
import { DEFAULT_SETTINGS } from '../../../../core/settings.ts';
import { Turns } from '../../../../core/turns.ts';
import { HttpError } from '../../../../edge/http/errors.ts';
import { newObject, patchOf, settingsOf } from '../../../../operator/api/bodies.ts';
import { Gate } from '../../../../operator/api/gate.ts';
import { concernsNode, listQuery } from '../../../../operator/api/objects.ts';
import { refusalOf } from '../../../../operator/api/refusals.ts';
import { ROUTES } from '../../../../operator/api/routes.ts';
import { parseParameters } from '../../../../operator/api/schema.ts';
import type { KubeObject } from '../../../../operator/api.ts';
import { changed, parseSettingsRecord, seeded } from '../../../../operator/settingsRecord.ts';

const trace = { traceId: 'a'.repeat(32), parentId: 'b'.repeat(16), sampled: true };
const traceparent = `00-${trace.traceId}-${trace.parentId}-01`;
const thrown = (run: () => unknown): HttpError => {
  try {
    run();
  } catch (error) {
    if (error instanceof HttpError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};
const fieldsOf = (error: HttpError): string[] => (error.details.problems ?? []).map(({ field }) => field);
const parse = (query: Record<string, unknown>) => parseParameters(ROUTES.listVolumes.parameters, {}, query);

describe('operator: requests of the REST API', () => {
  const parameters: [query: Record<string, unknown>, problem: string][] = [
    [{ limit: '0' }, 'limit must be a whole number from 1 to 500 (is 0)'],
    [{ limit: '501' }, 'limit must be a whole number from 1 to 500 (is 501)'],
    [{ limit: '1e2' }, 'limit must be a whole number from 1 to 500 (is 1e2)'],
    [{ limit: ['1', '2'] }, 'limit may be given once'],
    [{ limit: { a: '1' } }, 'limit may be given once'],
    [{ timeoutSeconds: '61' }, 'timeoutSeconds must be a whole number from 1 to 60 (is 61)'],
    [{ watch: 'yes' }, 'watch must be true or false'],
    [{ phase: 'healthy' }, 'phase must be one of Pending, Creating, Healthy, Degraded, Unavailable, Deleting, Failed (is healthy)'],
    [{ node: 'a,b' }, 'node must be like ^[A-Za-z0-9][A-Za-z0-9.-]*$'],
    [{ fieldSelector: 'a=b' }, 'fieldSelector is no parameter of this request'],
    [{ labelSelector: 'x'.repeat(1_025) }, 'labelSelector may have at most 1024 characters'],
  ];
  for (const [query, problem] of parameters) {
    it(`says: ${problem}`, () => expect(parse(query).problems.map(({ field, message }) => `${field} ${message}`)).to.deep.equal([problem]));
  }

  it('fills in what is left out, and hands filters to the API server as they are', () => {
    const { values, problems } = parse({ phase: 'Healthy', labelSelector: 'a in (b,c)', node: 'node-a' });
    expect(problems).to.deep.equal([]);
    expect(values).to.include({ limit: 500, timeoutSeconds: 30 });
    expect(listQuery(values).toString()).to.equal('labelSelector=a+in+%28b%2Cc%29&fieldSelector=status.phase%3DHealthy');
    expect(listQuery({ phase: 'Ready', volume: 'v' }).get('fieldSelector')).to.equal('status.phase=Ready,spec.volume=v');
  });

  it('finds what concerns a node', () => {
    const object = (fields: object) => fields as KubeObject;
    expect(concernsNode(object({ spec: { attachTo: 'a' } }), 'a')).to.equal(true);
    expect(concernsNode(object({ spec: {}, status: { attachment: { node: 'a' } } }), 'a')).to.equal(true);
    expect(concernsNode(object({ spec: {}, status: { replicas: [{ node: 'b' }, { node: 'a' }] } }), 'a')).to.equal(true);
    expect(concernsNode(object({ spec: {}, status: { nodes: ['a'] } }), 'a')).to.equal(true);
    expect(concernsNode(object({ spec: { attachTo: 'b' }, status: {} }), 'a')).to.equal(false);
  });

  it('puts the trace on what is made and on what is changed', () => {
    const body = { metadata: { name: 'v', annotations: { a: 'b' } }, spec: { size: '1Gi' } };
    expect(newObject(body, 'volumes', trace).metadata).to.deep.equal({
      name: 'v',
      annotations: { a: 'b', 'holdfast.dev/traceparent': traceparent },
    });
    expect(patchOf({ spec: { size: '2Gi' } }, 'volumes', trace, null)).to.deep.equal({
      patch: { metadata: { annotations: { 'holdfast.dev/traceparent': traceparent } }, spec: { size: '2Gi' } },
      version: null,
    });
  });

  it('bases a change on the version of If-Match or of the body, and on no two', () => {
    const body = { metadata: { resourceVersion: '7' } };
    expect(patchOf(body, 'volumes', trace, null).version).to.equal('7');
    expect(patchOf({}, 'volumes', trace, '8').patch.metadata).to.include({ resourceVersion: '8' });
    expect(fieldsOf(thrown(() => patchOf(body, 'volumes', trace, '8')))).to.deep.equal(['metadata.resourceVersion']);
  });

  it('names everything in a body that it does not take', () => {
    const odd = { kind: 'Pod', apiVersion: 'v1', status: {}, metadata: { uid: 'x', labels: [], annotations: null }, spec: 'large' };
    expect(fieldsOf(thrown(() => newObject(odd, 'volumes', trace)))).to.deep.equal([
      'status',
      'apiVersion',
      'kind',
      'metadata.uid',
      'metadata.labels',
      'metadata.annotations',
      'metadata.name',
      'spec',
    ]);
    for (const body of [undefined, null, [], 'text', 7]) expect(thrown(() => patchOf(body, 'volumes', trace, null)).status).to.equal(415);
  });

  it('takes settings as a whole only', () => {
    expect(settingsOf({ values: DEFAULT_SETTINGS })).to.deep.equal(DEFAULT_SETTINGS);
    const { leaseMs: _, ...rest } = DEFAULT_SETTINGS;
    expect(fieldsOf(thrown(() => settingsOf({ values: { ...rest, heartbeatMs: 1 }, version: 3 })))).to.deep.equal([
      'version',
      'values.leaseMs',
      'values.heartbeatMs',
    ]);
  });

  it('makes of what the API server refuses one form, with all problems', () => {
    const causes = [{ field: 'spec.size', message: 'Invalid value' }];
    const error = refusalOf({ status: 422, body: { message: 'm', details: { causes } } }, { method: 'POST', path: '/p' }) as HttpError;
    expect([error.status, error.code, error.details]).to.deep.equal([422, 'Invalid', { problems: causes }]);
    const exists = refusalOf({ status: 409, body: { message: 'm', reason: 'AlreadyExists' } }, { method: 'POST', path: '/p' }) as HttpError;
    expect(exists.code).to.equal('AlreadyExists');
  });

  it('says of a read that nothing was changed, and of a write that it is not known', () => {
    const answer = { status: 500, body: { message: 'm' } };
    expect(refusalOf(answer, { method: 'GET', path: '/p?a=b' }).message).to.equal(
      'GET /p: the API server answered 500: m; nothing was changed; try again after 5 s',
    );
    expect(refusalOf(answer, { method: 'PATCH', path: '/p' }).message).to.include('whether it was done is not known');
  });
});

describe('operator: how much the REST API takes', () => {
  it('refuses beyond its bounds at once, and takes the next when one has left', () => {
    const gate = new Gate('polls', 3, 2);
    const leave = gate.enter('ada');
    gate.enter('ada');
    expect(thrown(() => gate.enter('ada')).message).to.match(/^2 polls of yours/);
    gate.enter('bob');
    expect([thrown(() => gate.enter('bob')).status, gate.count]).to.deep.equal([429, 3]);
    leave();
    gate.enter('ada');
    expect(gate.count).to.equal(3);
  });

  it('does one change of an object after the other, and none whose time is over', async () => {
    const turns = new Turns();
    const order: string[] = [];
    const late = new AbortController();
    const work = (name: string) => async () => {
      order.push(`${name} begins`);
      await Promise.resolve();
      order.push(`${name} ends`);
      if (name === 'b') throw new Error('b failed');
    };
    const all = [
      turns.take('x', work('a')),
      turns.take('x', work('b')),
      turns.take('x', work('late'), late.signal),
      turns.take('x', work('c')),
    ];
    late.abort(new Error('too late'));
    const outcomes = await Promise.allSettled(all);
    expect(outcomes.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
    expect(order).to.deep.equal(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  });
});

describe('operator: where the settings of agents come from', () => {
  const slower = { ...DEFAULT_SETTINGS, heartbeatMs: 300 };
  const change = { by: 'ada', traceId: 't' };
  const first = seeded(null, DEFAULT_SETTINGS).next;
  if (first === null) throw new Error('nothing was seeded');

  it('from the configuration at first', () =>
    expect(first).to.deep.equal({ version: 1, values: DEFAULT_SETTINGS, configured: DEFAULT_SETTINGS }));

  it('from the API afterwards: the same configuration does not undo it', () => {
    const next = changed(first, slower, change);
    expect(next).to.include({ version: 2, values: slower });
    expect(seeded(JSON.stringify(next), DEFAULT_SETTINGS)).to.deep.equal({ next: null, problems: [] });
    expect(changed(first, DEFAULT_SETTINGS, change)).to.equal(null);
  });

  it('from a later configuration, in what it says differently', () => {
    const stored = JSON.stringify(changed(first, slower, change));
    const configured = { ...DEFAULT_SETTINGS, leaseMs: 4_000 };
    expect(seeded(stored, configured).next).to.deep.include({ version: 3, values: { ...slower, leaseMs: 4_000 }, configured });
  });

  it('from nowhere, where the configuration contradicts what the API set: that stays, and why is told', () => {
    const stored = JSON.stringify(changed(first, { ...DEFAULT_SETTINGS, heartbeatMs: 500 }, change));
    const { next, problems } = seeded(stored, { ...DEFAULT_SETTINGS, leaseMs: 1_000 });
    expect([next, problems.map(({ key }) => key)]).to.deep.equal([null, ['leaseMs']]);
  });

  it('keeps the version where only the configuration caught up', () => {
    const stored = JSON.stringify(changed(first, slower, change));
    expect(seeded(stored, slower).next).to.deep.include({ version: 2, values: slower, configured: slower });
  });

  it('reads a record of before there was an API, and rises above one that is damaged', () => {
    expect(parseSettingsRecord(JSON.stringify({ version: 4, values: slower })).record).to.deep.equal({
      version: 4,
      values: slower,
      configured: slower,
    });
    expect(seeded(JSON.stringify({ version: 4, values: { heartbeatMs: 'fast' } }), slower).next?.version).to.equal(5);
    expect(seeded('nonsense', slower).next?.version).to.equal(1);
  });
});
