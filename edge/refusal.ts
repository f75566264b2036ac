/** Why a TLS handshake came to nothing, in few words: a label of a metric, and of the log. Pure. */
import type { TLSSocket } from 'node:tls';

export type Refusal = 'noCertificate' | 'unknownAuthority' | 'expired' | 'oldProtocol' | 'timeout' | 'brokenOff' | 'other';

const REFUSAL_BY_CODE: Readonly<Record<string, Refusal>> = {
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'noCertificate',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unknownAuthority',
  UNABLE_TO_GET_ISSUER_CERT: 'unknownAuthority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unknownAuthority',
  SELF_SIGNED_CERT_IN_CHAIN: 'unknownAuthority',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'unknownAuthority',
  CERT_SIGNATURE_FAILURE: 'unknownAuthority',
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'expired',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'oldProtocol',
  ERR_SSL_WRONG_VERSION_NUMBER: 'oldProtocol',
  ERR_SSL_HTTP_REQUEST: 'oldProtocol',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'timeout',
  ECONNRESET: 'brokenOff',
  EPIPE: 'brokenOff',
};

/** A certificate that was looked at and not trusted shows on the socket, all else in the error. */
export function refusalOf(error: unknown, socket: TLSSocket | null): Refusal {
  const verdict: unknown = socket?.authorizationError;
  const code = verdict ? codeOf(verdict) : codeOf(error);
  return REFUSAL_BY_CODE[code] ?? 'other';
}

function codeOf(error: unknown): string {
  if (typeof error === 'string') return error;
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}
