/**
 * Invariant 8: what a primary keeps stays below the maxima that its parts name, and below what clients have open. A replica looks after its queues itself, and calls a primary
 * that fills them a breaker of the protocol (`contract`); the network looks after its own.
 */
import { Frontend } from '../../../agent/primary/frontend.ts';
import type { Serving } from '../agentProcess.ts';
import { Violation } from '../violation.ts';

/** What the story of rot asks for beside the clients: its cold block, once at a time. */
const COLD_REQUESTS = 1;

export function checkBounded({ device, primary }: Serving, requestsOpen: number): void {
  for (const { what, count, max } of primary.load()) {
    if (count > max) throw new Violation('bounded', `${what}: ${count}, and at most ${max} may be`);
  }
  if (!(device instanceof Frontend)) return;
  const waiting = device.waitingCount;
  if (waiting > requestsOpen + COLD_REQUESTS)
    throw new Violation('bounded', `${waiting} requests wait, while clients have ${requestsOpen} open`);
}
