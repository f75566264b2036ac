/** Counted by volume while it is served, bounded, and beside the node's own sums. */
import { expect } from 'chai';
import { createWorkerMetrics } from '../../../../agent/control/metrics.ts';
import { VOLUMES_TOLD_MAX } from '../../../../agent/control/volumeMetrics.ts';
import { NBD_ERROR } from '../../../../agent/nbd/layout.ts';
import { createMetrics } from '../../../../edge/metrics.ts';

function setUp() {
  const metrics = createMetrics({ processMetrics: false });
  const { nbdOf } = createWorkerMetrics(metrics, { acceptFailed: () => undefined, counted: () => undefined });
  return { nbdOf, shown: () => metrics.render() };
}

describe('agent: metrics of volumes', () => {
  it('count requests, errors, bytes and time by volume, and in the sums', async () => {
    const { nbdOf, shown } = setUp();
    const { events } = nbdOf('db');
    events.requestCompleted('write', 4096, 2, NBD_ERROR.none);
    events.requestCompleted('write', 4096, 6, NBD_ERROR.none);
    events.requestCompleted('write', 4096, 2, NBD_ERROR.io);
    nbdOf('logs').events.requestCompleted('read', 512, 1, NBD_ERROR.none);
    const text = await shown();
    expect(text).to.include('holdfast_volume_requests_total{volume="db",operation="write"} 3');
    expect(text).to.include('holdfast_volume_errors_total{volume="db",operation="write"} 1');
    expect(text).to.include('holdfast_volume_bytes_total{volume="db",operation="write"} 8192');
    expect(text).to.include('holdfast_volume_request_seconds_total{volume="db",operation="write"} 0.01');
    expect(text).to.include('holdfast_volume_requests_total{volume="logs",operation="read"} 1');
    expect(text).to.include('holdfast_nbd_requests_total{operation="write",result="none"} 2');
    // Looked at twice, they are the same: nothing is counted by looking.
    expect(await shown()).to.include('holdfast_volume_requests_total{volume="db",operation="write"} 3');
  });

  it('say how long requests took, in the bucket whose bound they do not exceed', async () => {
    const { nbdOf, shown } = setUp();
    for (const durationMs of [0.1, 0.11, 2.5, 40_000]) nbdOf('db').events.requestCompleted('flush', 0, durationMs, NBD_ERROR.none);
    const text = await shown();
    const upTo = (bound: string) =>
      /} (\d+)$/m.exec(
        text.split('\n').find((line) => line.includes(`duration_seconds_bucket{operation="flush",le="${bound}"`)) ?? '',
      )?.[1];
    expect(['0.0001', '0.00025', '0.001', '0.0025', '30', '+Inf'].map(upTo)).to.deep.equal(['1', '2', '2', '3', '3', '4']);
  });

  it('go when the volume is not served any more', async () => {
    const { nbdOf, shown } = setUp();
    const [first, second] = [nbdOf('db'), nbdOf('db')];
    first.events.requestCompleted('read', 512, 1, NBD_ERROR.none);
    first.closed();
    expect(await shown()).to.include('volume="db"');
    second.closed();
    expect(await shown()).not.to.include('volume="db"');
  });

  it('are of so many volumes and no more; the sums are of all', async () => {
    const { nbdOf, shown } = setUp();
    for (let index = 0; index <= VOLUMES_TOLD_MAX; index++) nbdOf(`v-${index}`).events.requestCompleted('read', 1, 1, NBD_ERROR.none);
    const text = await shown();
    expect([...text.matchAll(/^holdfast_volume_requests_total\{/gm)]).to.have.length(VOLUMES_TOLD_MAX);
    expect(text).to.include(`holdfast_nbd_requests_total{operation="read",result="none"} ${VOLUMES_TOLD_MAX + 1}`);
  });
});
