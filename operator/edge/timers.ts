/** Waiting with the machine's clock, as the operator's port. */
import { sleep } from '../../edge/timers.ts';
import type { Timers } from '../ports.ts';

export const systemTimers: Timers = { sleep };
