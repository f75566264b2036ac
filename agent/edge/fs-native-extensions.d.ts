/** What is used of the package, which brings no types. */
declare module 'fs-native-extensions' {
  /** An exclusive lock on the whole file, of this open descriptor. False: another descriptor has it. */
  export function tryLock(descriptor: number): boolean;
  /** Punches a hole; the size stays. */
  export function trimSync(descriptor: number, offsetBytes: number, lengthBytes: number): void;
  /** Two paths swap what they stand for, in one step. */
  export function swapSync(one: string, other: string): void;
}
