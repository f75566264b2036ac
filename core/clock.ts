/** Time as a port. The only place, beside programs' edges, where a real clock is read. */

export interface Clock {
  /** For durations and deadlines within one process; never goes back. */
  monotonicMs(): number;
  /** For people and for other processes: milliseconds since 1970. */
  wallMs(): number;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};
