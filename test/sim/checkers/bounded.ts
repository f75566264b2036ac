/** Invariant 8, as far as it shows from outside: requests that wait, and what is told of a primary. The network checks its own queues. */
import { Frontend } from '../../../agent/primary/frontend.ts';
import type { Serving } from '../agentProcess.ts';
import { Violation } from '../violation.ts';

export function checkBounded(serving: Serving, requestsOpen: number): void {
  if (!(serving.device instanceof Frontend)) return;
  const waiting = serving.device.waitingCount;
  if (waiting > requestsOpen) throw new Violation('bounded', `${waiting} requests wait, while clients have ${requestsOpen} open`);
}
