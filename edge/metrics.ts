/** The registry of a program's metrics, and helpers that keep names honest: each ends in its unit. */
import {
  AggregatorRegistry,
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client';
import { assert } from '../core/assert.ts';

const PREFIX = 'holdfast_';
/** How often the default metrics look how late the event loop comes: their own default, 10 ms, wakes a process that is idle a hundred times a second. */
const EVENT_LOOP_LOOK_MS = 1_000;
const UNITS = ['total', 'seconds', 'bytes', 'ratio', 'info', 'bytes_per_second', 'count', 'timestamp_seconds'] as const;

export type ThreadMetrics = MetricObjectWithValues<MetricValue<string>>[];

export type Metrics = {
  readonly registry: Registry;
  /** What is shown: of this thread, and of others that told theirs. */
  render(): Promise<string>;
  /** All of another thread's metrics as they are now; they are added to those of the same name and labels. */
  told(thread: string, metrics: ThreadMetrics): void;
  /** Names without the prefix: `http_requests_total`. */
  counter<Label extends string = never>(
    name: string,
    help: string,
    labels?: readonly Label[],
    look?: (counter: Counter<Label>) => void,
  ): Counter<Label>;
  /** `look`: called before it is shown, for what is looked at and not counted. */
  gauge<Label extends string = never>(
    name: string,
    help: string,
    labels?: readonly Label[],
    look?: (gauge: Gauge<Label>) => void,
  ): Gauge<Label>;
  histogram<Label extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labels?: readonly Label[],
  ): Histogram<Label>;
  /** One that is counted elsewhere: `look` is called before it is shown. */
  shownHistogram<Label extends string>(
    name: string,
    help: string,
    bounds: readonly number[],
    labels: readonly Label[],
    look: () => readonly Durations<Label>[],
  ): void;
};

/** `buckets`: how many in each, of those up to its bound and above the one before; one more than bounds. */
export type Durations<Label extends string> = { labels: Record<Label, string>; buckets: readonly number[]; sum: number };

function fullName(name: string, units: readonly string[]): string {
  assert(
    units.some((unit) => name.endsWith(`_${unit}`)),
    `metric ${name} must end in its unit: ${units.join(', ')}`,
  );
  return `${PREFIX}${name}`;
}

/** The library calls it on the metric itself. */
function collecting<Shown>(look: ((metric: Shown) => void) | undefined): { collect?: (this: Shown) => void } {
  if (look === undefined) return {};
  return {
    collect(this: Shown) {
      look(this);
    },
  };
}

/** As the library's own histogram shows itself: buckets that each count what is in those before, too. */
function histogramValues(name: string, bounds: readonly number[], { labels, buckets, sum }: Durations<string>) {
  let count = 0;
  const shown = buckets.map((many, index) => {
    count += many;
    return { metricName: `${name}_bucket`, labels: { ...labels, le: bounds[index] ?? '+Inf' }, value: count };
  });
  return [...shown, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: count }];
}

/** `processMetrics`: also memory, CPU and event loop of this process. */
export function createMetrics(options: { processMetrics: boolean }): Metrics {
  const registry = new Registry();
  if (options.processMetrics)
    collectDefaultMetrics({ register: registry, prefix: PREFIX, eventLoopMonitoringPrecision: EVENT_LOOP_LOOK_MS });
  const registers = [registry];
  const threads = new Map<string, ThreadMetrics>();
  return {
    registry,
    render: async () =>
      threads.size === 0
        ? registry.metrics()
        : AggregatorRegistry.aggregate([await registry.getMetricsAsJSON(), ...threads.values()]).metrics(),
    told: (thread, metrics) => threads.set(thread, metrics),
    counter: (name, help, labels = [], look) =>
      new Counter({ name: fullName(name, ['total']), help, labelNames: [...labels], registers, ...collecting(look) }),
    gauge: (name, help, labels = [], look) =>
      new Gauge({ name: fullName(name, UNITS.slice(1)), help, labelNames: [...labels], registers, ...collecting(look) }),
    histogram: (name, help, buckets, labels = []) =>
      new Histogram({ name: fullName(name, ['seconds', 'bytes']), help, buckets: [...buckets], labelNames: [...labels], registers }),
    shownHistogram(name, help, bounds, labelNames, look) {
      const shown = { name: fullName(name, ['seconds', 'bytes']), help, labelNames, type: 'histogram', aggregator: 'sum' as const };
      const get = async () => ({ ...shown, values: look().flatMap((durations) => histogramValues(shown.name, bounds, durations)) });
      // Of a metric the registry calls `get` and nothing else; its type wants all of the library's own class.
      registry.registerMetric({ ...shown, get } as unknown as Histogram);
    },
  };
}
