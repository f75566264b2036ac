/**
 * For tests: memory that was given back is overwritten, so that whoever still reads or sends it shows as wrong data. Off unless somebody says otherwise, once
 * for each thread; must never be on where speed is measured.
 */

/** What is added to the environment of a program whose freed memory is to be spoilt. */
export const SPOIL_FREED_MEMORY = { SPOIL_FREED_MEMORY: 'on' } as const;

/** Neither zeroes nor anything that tests write. */
export const SPOILT_BYTE = 0xdb;

let isOn = false;

export function spoilFreedMemory(on: boolean): void {
  isOn = on;
}

export const spoilsFreedMemory = (): boolean => isOn;

/** Call with what nobody has any more. */
export function spoil(memory: Uint8Array): void {
  if (isOn) memory.fill(SPOILT_BYTE);
}
