/**
 * What clients do with each volume that is served here: counted in plain numbers on the data path, made metrics only when somebody looks. Must never keep a
 * volume that is not served any more, and never more than VOLUMES_TOLD_MAX of a worker: those beyond it are counted in the sums of the node only.
 */
import type { Metrics } from '../../edge/metrics.ts';
import { NBD_ERROR } from '../nbd/layout.ts';
import type { NbdEvents } from '../nbd/ports.ts';

export const VOLUMES_TOLD_MAX = 256;
const MS_PER_SECOND = 1000;

type Count = { requests: number; errors: number; bytes: number; seconds: number };
type Operation = Parameters<NbdEvents['requestCompleted']>[0];
type Served = { counts: Map<Operation, Count>; servers: number };

export type VolumeEvents = { events: NbdEvents; closed(): void };

/** Of a worker. `all` hears everything, too. */
export function volumeMetrics(metrics: Metrics, all: NbdEvents): (volume: string) => VolumeEvents {
  const served = new Map<string, Served>();
  const look = (of: (count: Count) => number) => (counter: Resettable) => {
    counter.reset();
    for (const [volume, { counts }] of served) for (const [operation, count] of counts) counter.inc({ volume, operation }, of(count));
  };
  const labels = ['volume', 'operation'] as const;
  metrics.counter(
    'volume_requests_total',
    'Requests of clients answered, by volume',
    labels,
    look(({ requests }) => requests),
  );
  metrics.counter(
    'volume_errors_total',
    'Requests of clients answered with an error, by volume',
    labels,
    look(({ errors }) => errors),
  );
  metrics.counter(
    'volume_bytes_total',
    'Bytes of the requests that succeeded, by volume',
    labels,
    look(({ bytes }) => bytes),
  );
  metrics.counter(
    'volume_request_seconds_total',
    'Time from request to answer, summed; of volume_requests_total, the mean',
    labels,
    look(({ seconds }) => seconds),
  );
  return (volume) => {
    if (!served.has(volume) && served.size >= VOLUMES_TOLD_MAX) return { events: all, closed: () => undefined };
    const own = served.get(volume) ?? { counts: new Map<Operation, Count>(), servers: 0 };
    own.servers++;
    served.set(volume, own);
    return {
      events: { ...all, requestCompleted: counting(own.counts, all) },
      closed() {
        own.servers--;
        if (own.servers === 0) served.delete(volume);
      },
    };
  };
}

type Resettable = { reset(): void; inc(labels: { volume: string; operation: Operation }, value: number): void };

function counting(counts: Map<Operation, Count>, all: NbdEvents): NbdEvents['requestCompleted'] {
  return (operation, lengthBytes, durationMs, error) => {
    let count = counts.get(operation);
    if (count === undefined) {
      count = { requests: 0, errors: 0, bytes: 0, seconds: 0 };
      counts.set(operation, count);
    }
    count.requests++;
    count.seconds += durationMs / MS_PER_SECOND;
    if (error === NBD_ERROR.none) count.bytes += lengthBytes;
    else count.errors++;
    all.requestCompleted(operation, lengthBytes, durationMs, error);
  };
}
