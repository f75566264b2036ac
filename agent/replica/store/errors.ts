/** What goes wrong with a replica's files, as types. Must never hide an error that it does not know. */
import { IoError, type IoErrorCode } from '../../ports.ts';
import { DiskError } from './disk.ts';
import { StorageError } from './storageError.ts';

/** A file of a replica that is missing, cut short, flipped, or of another format or replica. It is not served; its peers have the data. */
export class DamagedReplica extends StorageError {
  override readonly name = 'DamagedReplica';
  /** The file's name within the replica's directory. */
  readonly file: string;
  readonly reason: string;

  constructor(file: string, reason: string, options?: ErrorOptions) {
    super(`${file}: ${reason}`, options);
    this.file = file;
    this.reason = reason;
  }
}

/** Files of a format that a later version of this program has written. Nothing is wrong with them, so nobody may replace them. */
export class LaterFormat extends StorageError {
  override readonly name = 'LaterFormat';

  constructor(file: string, found: number, known: number) {
    super(`${file} is of format ${found}, which a later version has written; this one knows ${known}: run that version here`);
  }
}

/** Null: of this version's or an earlier one's, or nobody can tell. */
export function laterFormatOf(file: string, record: unknown, known: number): LaterFormat | null {
  const { format } = Object(record) as { format?: unknown };
  return Number.isSafeInteger(format) && Number(format) > known ? new LaterFormat(file, Number(format), known) : null;
}

const CODES: Readonly<Record<string, IoErrorCode>> = {
  ENOSPC: 'noSpace',
  EDQUOT: 'noSpace',
  EFBIG: 'invalid',
  EOPNOTSUPP: 'notSupported',
  ENOTSUP: 'notSupported',
};

/** An IoError out of what a disk threw. Anything else is a programmer error and is thrown on. */
export function toIoError(error: unknown, attempted: string): IoError {
  if (error instanceof IoError) return error;
  if (error instanceof DiskError) return new IoError(CODES[error.code] ?? 'io', `${attempted}: ${error.message}`, { cause: error });
  throw error;
}

/** How a disk that is not to be trusted any more says so; a full one, or a name that is not there, is none of these. */
const BROKEN: readonly string[] = ['EIO', 'EROFS', 'EUCLEAN', 'ENXIO', 'ENODEV', 'EREMOTEIO', 'ENODATA'];

export const isDiskBroken = (error: unknown): boolean =>
  (error instanceof DiskError && BROKEN.includes(error.code)) || (error instanceof IoError && isDiskBroken(error.cause));
