/** A fault that only one input in 2^32 shows, byte by byte. For the test of the fuzzer. */
export function hiddenFault(bytes: Buffer): void {
  if (bytes[0] !== 0x48) return;
  if (bytes[1] !== 0x46) return;
  if (bytes[2] !== 0x21) return;
  if (bytes[3] !== 0x7e) return;
  throw new Error('found');
}
