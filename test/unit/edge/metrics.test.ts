import { expect } from 'chai';
import { createMetrics } from '../../../edge/metrics.ts';

const withSortedLabels = (line: string): string =>
  line.replace(/\{(.*)\}/, (_, labels: string) => `{${labels.split(',').sort().join(',')}}`);

describe('metrics', () => {
  it('carry our prefix and end in their unit', async () => {
    const metrics = createMetrics({ processMetrics: false });
    metrics.counter('writes_total', 'Writes', ['pool']).inc({ pool: 'fast' });
    metrics.gauge('used_bytes', 'Used').set(5);
    metrics.histogram('write_seconds', 'How long', [0.1, 1]).observe(0.5);
    const text = await metrics.registry.metrics();
    expect(text).to.contain('holdfast_writes_total{pool="fast"} 1');
    expect(text).to.contain('holdfast_used_bytes 5');
    expect(text).to.contain('holdfast_write_seconds_bucket{le="1"} 1');
  });

  it('that are counted elsewhere look as the library’s own, alone and added up with another thread’s', async () => {
    const [own, counted] = [createMetrics({ processMetrics: false }), createMetrics({ processMetrics: false })];
    const histogram = own.histogram('write_seconds', 'How long', [0.125, 1], ['operation']);
    for (const seconds of [0.125, 0.25, 1, 2, 4]) histogram.observe({ operation: 'write' }, seconds);
    counted.shownHistogram('write_seconds', 'How long', [0.125, 1], ['operation'], () => [
      { labels: { operation: 'write' }, buckets: [1, 2, 2], sum: 7.375 },
    ]);
    const lines = async (metrics: typeof own) => (await metrics.render()).split('\n').map(withSortedLabels);
    expect(await lines(counted)).to.deep.equal(await lines(own));
    for (const metrics of [own, counted]) metrics.told('other', await counted.registry.getMetricsAsJSON());
    expect(await lines(counted)).to.deep.equal(await lines(own));
    expect(await counted.render()).to.contain('holdfast_write_seconds_count{operation="write"} 10');
  });

  it('without a unit are a mistake of the programmer', () => {
    const metrics = createMetrics({ processMetrics: false });
    expect(() => metrics.counter('writes', 'x')).to.throw('must end in its unit');
    expect(() => metrics.gauge('used_mb', 'x')).to.throw('must end in its unit');
    expect(() => metrics.gauge('writes_total', 'x')).to.throw('must end in its unit');
    expect(() => metrics.histogram('write_ms', 'x', [1])).to.throw('must end in its unit');
  });

  it('of the process are there when asked for', async () => {
    const text = await createMetrics({ processMetrics: true }).registry.metrics();
    expect(text).to.match(/^holdfast_process_resident_memory_bytes \d+/m);
  });
});
