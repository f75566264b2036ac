/** kubectl holdfast move --wait: when it is said to be done, and when refused. The API server is played: what it says at each look. */
import { expect } from 'chai';
import { move, type Surroundings } from '../../../bin/commands.ts';
import type { EventObject, Kube } from '../../../bin/kube.ts';
import type { VolumeObject } from '../../../operator/api.ts';
import { facts, NOW_MS, replica, volume } from './fixtures.ts';

const event = (reason: string, eventTime: string, uid = volume('pgdata').metadata.uid): EventObject => ({
  apiVersion: 'events.k8s.io/v1',
  kind: 'Event',
  metadata: { name: `${reason}-${eventTime}`, uid: eventTime, resourceVersion: '1' },
  reason,
  note: `it is ${reason}`,
  eventTime,
  regarding: { uid },
});
const on = (...nodes: string[]): VolumeObject =>
  volume('pgdata', { status: { replicas: nodes.map((name) => replica(name, { state: 'InSync' })) } });
const asked = (object: VolumeObject): VolumeObject => ({
  ...object,
  metadata: { ...object.metadata, annotations: { 'holdfast.dev/move': 'node-a=node-d' } },
});

type Look = { volume: VolumeObject; events: EventObject[] };

/** The first look is before the move is asked for; the last one is what stays. */
async function moved(looks: Look[]): Promise<{ said: string[]; looked: number }> {
  const said: string[] = [];
  let at = 0;
  const look = (): Look => looks[Math.min(at, looks.length - 1)] as Look;
  const kube: Kube = {
    get: <Body>(path: string) => Promise.resolve((path.includes('/volumes/') ? look().volume : null) as Body | null),
    list: <Item>(path: string) => {
      const lists: Record<string, readonly unknown[]> = {
        events: look().events,
        volumes: [look().volume],
        storagenodes: facts().nodes,
      };
      return Promise.resolve((lists[path.split('/').at(-1) ?? ''] ?? []) as Item[]);
    },
    patch: <Body>() => {
      at++;
      return Promise.resolve(look().volume as Body);
    },
  };
  const print = (lines: readonly { text: string }[]): void => void said.push(...lines.map(({ text }) => text));
  const around: Surroundings = {
    kube,
    terminal: { isLive: false, print, redraw: print, json: () => undefined },
    nowMs: () => NOW_MS + at * 1_000,
    sleep: () => Promise.resolve(void at++),
    traceparent: '',
    place: { namespace: 'n', lease: 'l' },
    isJson: false,
  };
  await move(around, 'pgdata', 'node-a', 'node-d', { wait: true, timeout: 60 });
  return { said, looked: at };
}

describe('kubectl holdfast move --wait', () => {
  const before = on('a', 'b', 'c');

  it('is done when the status says so, which is a moment after the annotation is gone and the Event told', async () => {
    const { said, looked } = await moved([
      { volume: before, events: [] },
      { volume: asked(before), events: [] },
      { volume: before, events: [event('Moved', '2026-01-01T00:00:02Z')] },
      { volume: on('b', 'c', 'd'), events: [event('Moved', '2026-01-01T00:00:02Z')] },
    ]);
    expect(said.at(-1)).to.equal('pgdata has its replica on node-d.');
    expect(looked).to.equal(3);
  });

  it('is refused in the operators’ sentence, and not for a refusal of before', async () => {
    const old = event('MoveRefused', '2026-01-01T00:00:00Z');
    const refusal = await moved([
      { volume: before, events: [old] },
      { volume: before, events: [old] },
      { volume: before, events: [event('MoveRefused', '2026-01-01T00:00:03Z'), old] },
    ]).catch((error: Error) => error.message);
    expect(refusal).to.equal('the replica of pgdata was not moved: it is MoveRefused');
    const { said } = await moved([
      { volume: before, events: [old] },
      { volume: before, events: [old] },
      { volume: on('b', 'c', 'd'), events: [old] },
    ]);
    expect(said.at(-1)).to.equal('pgdata has its replica on node-d.');
  });

  it('ends after its time where nobody answers', async () => {
    const refusal = await moved([
      { volume: before, events: [] },
      { volume: asked(before), events: [] },
    ]).catch((error: Error) => error.message);
    expect(refusal).to.equal('the replica of pgdata has not moved yet; the operators go on (waited 60 s)');
  });
});
