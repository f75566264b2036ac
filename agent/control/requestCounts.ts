/**
 * Requests of clients in plain numbers: the data path adds to them, metrics are made of them only when somebody looks. (prom-client's own `inc` and `observe` make a text of the labels
 * each time: 7 % of a primary's thread under a database.) Must never throw, nor grow with what clients do.
 */
import { NBD_ERROR, type NbdError } from '../nbd/layout.ts';
import type { NbdEvents } from '../nbd/ports.ts';

/** Upper bounds of the buckets that durations are counted in. */
export const REQUEST_SECONDS = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30];
const MS_PER_SECOND = 1000;

export type Operation = Parameters<NbdEvents['requestCompleted']>[0];

export type OperationCounts = {
  /** Of those that succeeded. */
  bytes: number;
  seconds: number;
  /** How many ended so. */
  readonly results: Map<NbdError, number>;
  /** How many took so long, by `REQUEST_SECONDS`; the last: longer than all of them. */
  readonly buckets: number[];
};

export const requestsOf = ({ results }: OperationCounts): number => [...results.values()].reduce((sum, many) => sum + many, 0);
export const errorsOf = (counts: OperationCounts): number => requestsOf(counts) - (counts.results.get(NBD_ERROR.none) ?? 0);

export class RequestCounts {
  readonly operations = new Map<Operation, OperationCounts>();

  completed(operation: Operation, lengthBytes: number, durationMs: number, error: NbdError): void {
    const counts = this.#of(operation);
    const seconds = durationMs / MS_PER_SECOND;
    counts.seconds += seconds;
    counts.results.set(error, (counts.results.get(error) ?? 0) + 1);
    let bucket = 0;
    while (seconds > (REQUEST_SECONDS[bucket] ?? Number.POSITIVE_INFINITY)) bucket++;
    counts.buckets[bucket] = (counts.buckets[bucket] ?? 0) + 1;
    if (error === NBD_ERROR.none) counts.bytes += lengthBytes;
  }

  #of(operation: Operation): OperationCounts {
    let counts = this.operations.get(operation);
    if (counts === undefined) {
      const buckets = new Array<number>(REQUEST_SECONDS.length + 1).fill(0);
      counts = { bytes: 0, seconds: 0, results: new Map(), buckets };
      this.operations.set(operation, counts);
    }
    return counts;
  }
}
