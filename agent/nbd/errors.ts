/** The one place where the device's errors become the protocol's numbers. */
import type { IoErrorCode } from '../ports.ts';
import { NBD_ERROR, type NbdError } from './layout.ts';

/** Never told to a client: the volume is served elsewhere, or soon will be, and asking there again is right where an error would be final. */
type Unserved = 'shutdown';

export const isUnserved = (code: IoErrorCode): code is Unserved => code === 'shutdown';

/** `notSupported` is EINVAL: a client may be told ENOTSUP only for a fast zero (request.ts), anything else it does not expect. */
const NBD_ERROR_OF: Record<Exclude<IoErrorCode, Unserved>, NbdError> = {
  io: NBD_ERROR.io,
  noSpace: NBD_ERROR.noSpace,
  invalid: NBD_ERROR.invalid,
  notSupported: NBD_ERROR.invalid,
};

export const nbdErrorOf = (code: Exclude<IoErrorCode, Unserved>): NbdError => NBD_ERROR_OF[code];
