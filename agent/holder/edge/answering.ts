/**
 * Whether a device's volume answers just now: it has a connection, and as many requests of each kind have been answered since as were without an answer. Asked before a
 * change for which newer kernels wait until nothing is in flight. Must never wait for longer than it says: who asks tries again later.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Traffic } from './nbdDevices.ts';

const LOOK_EVERY_MS = 20;
const LOOKS_MAX = 250;

/** What is looked at. */
export type Sight = {
  isLinked(): boolean;
  /** Null: the device is gone. */
  traffic(): Traffic | null;
};

/** What waits where nothing is in flight is not counted by the kernel, which is why the connection is asked for, too. */
export async function answers({ isLinked, traffic }: Sight, looksMax = LOOKS_MAX): Promise<boolean> {
  const first = traffic();
  for (let looks = 0; looks < looksMax; looks++) {
    const now = traffic();
    if (first === null || now === null) return false;
    if (isLinked() && flows(first.reads, now.reads) && flows(first.writes, now.writes)) return true;
    await sleep(LOOK_EVERY_MS);
  }
  return false;
}

const flows = (first: Traffic['reads'], now: Traffic['reads']): boolean =>
  now.unanswered === 0 || now.answered - first.answered >= first.unanswered;
