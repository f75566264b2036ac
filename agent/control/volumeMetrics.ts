/**
 * What clients do with each volume that is served here: counted in plain numbers, made metrics only when somebody looks. Must never keep a
 * volume that is not served any more, and never more than VOLUMES_TOLD_MAX of a worker: those beyond it are counted in the sums of the node only.
 */
import type { Metrics } from '../../edge/metrics.ts';
import type { NbdEvents } from '../nbd/ports.ts';
import { errorsOf, type Operation, type OperationCounts, RequestCounts, requestsOf } from './requestCounts.ts';

export const VOLUMES_TOLD_MAX = 256;

type Served = { counts: RequestCounts; servers: number };

export type VolumeEvents = { events: NbdEvents; closed(): void };

/** Of a worker. `all` hears everything, too. */
export function volumeMetrics(metrics: Metrics, all: NbdEvents): (volume: string) => VolumeEvents {
  const served = new Map<string, Served>();
  const look = (of: (counts: OperationCounts) => number) => (counter: Resettable) => {
    counter.reset();
    for (const [volume, { counts }] of served)
      for (const [operation, each] of counts.operations) counter.inc({ volume, operation }, of(each));
  };
  const labels = ['volume', 'operation'] as const;
  metrics.counter('volume_requests_total', 'Requests of clients answered, by volume', labels, look(requestsOf));
  metrics.counter('volume_errors_total', 'Requests of clients answered with an error, by volume', labels, look(errorsOf));
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
    const own = served.get(volume) ?? { counts: new RequestCounts(), servers: 0 };
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

const counting =
  (counts: RequestCounts, all: NbdEvents): NbdEvents['requestCompleted'] =>
  (operation, lengthBytes, durationMs, error) => {
    counts.completed(operation, lengthBytes, durationMs, error);
    all.requestCompleted(operation, lengthBytes, durationMs, error);
  };
