/** The one place where the device's errors become the protocol's numbers. */
import type { IoErrorCode } from '../ports.ts';
import { NBD_ERROR, type NbdError } from './layout.ts';

/** `notSupported` is EINVAL: a client may be told ENOTSUP only for a fast zero (request.ts), anything else it does not expect. */
const NBD_ERROR_OF: Record<IoErrorCode, NbdError> = {
  io: NBD_ERROR.io,
  noSpace: NBD_ERROR.noSpace,
  invalid: NBD_ERROR.invalid,
  shutdown: NBD_ERROR.shutdown,
  notSupported: NBD_ERROR.invalid,
};

export const nbdErrorOf = (code: IoErrorCode): NbdError => NBD_ERROR_OF[code];
