import { expect } from 'chai';
import { createMetrics } from '../../../edge/metrics.ts';

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
