import { expect } from 'chai';
import { keysOf } from '../../../../core/keys.ts';
import { silentLog } from '../../../../core/log.ts';
import { HttpError } from '../../../../edge/http/errors.ts';
import { LongPolls } from '../../../../operator/api/longPoll.ts';
import { Objects } from '../../../../operator/api/objects.ts';
import type { ApiRequest, Parameters } from '../../../../operator/api/ports.ts';
import type { KubeObject } from '../../../../operator/api.ts';
import type { WatchEvent } from '../../../../operator/ports.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { FakeKubeCalls } from '../../../support/operator/fakeKubeCalls.ts';
import { ScriptedStore } from '../../../support/scriptedStore.ts';

const volume = (resourceVersion: string, phase: string, change: { generation?: number; node?: string } = {}) =>
  ({
    metadata: { name: 'v', uid: 'u', resourceVersion, generation: change.generation ?? 1, managedFields: [{}] },
    spec: { attachTo: change.node },
    status: { phase, observedGeneration: 1 },
  }) as unknown as KubeObject;
const event = (type: WatchEvent['type'], object: KubeObject): WatchEvent => ({ type, object });

describe('operator: long polls of the REST API', () => {
  const caller = { token: 't', user: 'ada', uid: '', groups: [], extra: {} };
  const trace = { traceId: 'a'.repeat(32), parentId: 'b'.repeat(16), sampled: true };
  const set = (now: KubeObject, events: WatchEvent[], parameters: Parameters) => {
    const kube = new FakeKubeCalls(() => ({ status: 200, body: now }));
    kube.events = events;
    const timers = {
      sleep: (_: number, signal?: AbortSignal) => new Promise<void>((end) => signal?.addEventListener('abort', () => end())),
    };
    const ports = { kube, store: new ScriptedStore(), keys: keysOf('test'), clock: new ManualClock(), timers, log: silentLog };
    const signal = new AbortController().signal;
    const request: ApiRequest = {
      parameters: { name: 'v', timeoutSeconds: 5, ...parameters },
      body: undefined,
      ifMatch: null,
      caller,
      trace,
      signal,
    };
    return { kube, polls: new LongPolls(ports), objects: new Objects(ports, 'volumes'), request };
  };

  it('tells at once what is so already, and asks for no watch', async () => {
    const { kube, polls, objects, request } = set(volume('7', 'Healthy'), [], {});
    const { body } = await polls.phase(objects, request);
    expect(body).to.deep.include({ reached: true });
    expect(kube.asked).to.have.length(1);
  });

  it('waits for what the leader says of the spec that stands now, from the version that was read', async () => {
    const events = [
      event('BOOKMARK', volume('8', 'Healthy')),
      event('MODIFIED', volume('9', 'Healthy', { generation: 2 })),
      event('MODIFIED', volume('10', 'Healthy')),
      event('MODIFIED', volume('11', 'Failed')),
    ];
    const { kube, polls, objects, request } = set(volume('7', 'Degraded'), events, { phase: 'Healthy' });
    const answer = await polls.phase(objects, request);
    expect([answer.version, (answer.body as { reached: boolean }).reached]).to.deep.equal(['10', true]);
    const watched = new URL(`https://x${kube.asked[1]?.request.path}`).searchParams;
    expect(Object.fromEntries(watched)).to.include({ resourceVersion: '7', fieldSelector: 'metadata.name=v', timeoutSeconds: '5' });
    expect(kube.asked[1]?.token).to.equal('t');
  });

  it('tells how far it is when the time is over, and that it was deleted', async () => {
    const late = set(volume('7', 'Degraded'), [event('MODIFIED', volume('8', 'Degraded'))], {});
    expect((await late.polls.phase(late.objects, late.request)).body).to.deep.include({ reached: false });
    const gone = set(volume('7', 'Degraded'), [event('DELETED', volume('8', 'Deleting'))], {});
    const error = await gone.polls.phase(gone.objects, gone.request).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(HttpError).with.property('status', 404);
  });

  it('answers with the first change that is asked for, and the version to go on from', async () => {
    const events = [
      event('MODIFIED', volume('8', 'Healthy', { node: 'b' })),
      event('MODIFIED', volume('9', 'Healthy', { node: 'a' })),
      event('DELETED', volume('10', 'Healthy', { node: 'a' })),
    ];
    const { polls, objects, request } = set(volume('7', 'Healthy'), events, { resourceVersion: '7', node: 'a' });
    const { body } = await polls.changes('volumes', objects, request);
    const { changes, resourceVersion } = body as { changes: { object: KubeObject }[]; resourceVersion: string };
    expect([changes.length, resourceVersion]).to.deep.equal([1, '9']);
    expect(changes[0]?.object.metadata).to.not.have.property('managedFields');
  });

  it('leads on past what was not asked for, and wants to know from where', async () => {
    const { polls, objects, request } = set(volume('7', 'Healthy'), [event('BOOKMARK', volume('8', ''))], { resourceVersion: '7' });
    expect((await polls.changes('volumes', objects, request)).body).to.deep.equal({ changes: [], resourceVersion: '8' });
    const without = { ...request, parameters: {} };
    expect(await polls.changes('volumes', objects, without).catch((error: HttpError) => error.status)).to.equal(400);
  });
});
