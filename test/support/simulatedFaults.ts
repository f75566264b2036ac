/** What a simulated disk can be told to do wrong. Types, and the one error that is nobody's answer. */

/** Calls that take effect late and are no syncs: one that fails did nothing. */
export const NAMING: readonly string[] = ['removeFile', 'reflink'];

export type DiskCall =
  | 'createFile'
  | 'openFile'
  | 'makeDirectory'
  | 'list'
  | 'rename'
  | 'exchange'
  | 'removeFile'
  | 'removeDirectory'
  | 'read'
  | 'write'
  | 'truncate'
  | 'punchHole'
  | 'syncData'
  | 'syncAll'
  | 'syncDirectory'
  | 'reflink'
  | 'space'
  | 'canReflink';

/** The first `skip` matching calls go well, the next `times` (for ever, when left out) fail with `code`. */
export type DiskFault = { call: DiskCall; path?: RegExp; code: string; skip?: number; times?: number };

/** Thrown by every call once the power is gone: it must reach the test through whatever code was running. */
export class PowerLoss extends Error {
  override readonly name = 'PowerLoss';
}
