/** How the simulator's programs end: 0 all held, 2 they cannot be run so, and for a violation one of these. */
import type { Outcome } from './simulate.ts';

export const EXIT = { violated: 1, crash: 3, liveness: 4 };

export function exitCodeOf(violation: NonNullable<Outcome['violation']>): number {
  return violation.checker === 'crash' ? EXIT.crash : violation.checker === 'liveness' ? EXIT.liveness : EXIT.violated;
}
