/** An instance as the u64 that it is on the wire: two halves, so that comparing it makes no bigint for each frame. Pure. */
import { assert } from '../assert.ts';
import { type InstanceId, isHexId } from '../ids.ts';

export type Halves = { readonly high: number; readonly low: number };

const HALF_DIGITS = 8;

export function halvesOf(instance: InstanceId): Halves {
  assert(isHexId(instance), 'an instance is 16 hex digits');
  return { high: Number.parseInt(instance.slice(0, HALF_DIGITS), 16), low: Number.parseInt(instance.slice(HALF_DIGITS), 16) };
}

const digitsOf = (half: number): string => half.toString(16).padStart(HALF_DIGITS, '0');

export const instanceOf = ({ high, low }: Halves): InstanceId => (digitsOf(high) + digitsOf(low)) as InstanceId;

export const isSameInstance = (one: Halves, other: Halves): boolean => one.low === other.low && one.high === other.high;
