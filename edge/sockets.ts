/**
 * TLS connections between the programs: both ends show a certificate of our authority, both know whom they talk to before a byte is handed on.
 * Must never hand on a socket whose peer is not who may be there; knows nothing of what is spoken on it.
 */
import { connect, createServer, type PeerCertificate, type Server, type TLSSocket } from 'node:tls';
import { systemClock } from '../core/clock.ts';
import type { Log } from '../core/log.ts';
import type { HostPort } from '../core/parameter-kinds.ts';
import type { Metrics } from './metrics.ts';
import { type Certificates, formatPeerName, type PeerName, parsePeerName, peerName } from './tls.ts';

/** A client that takes longer for its handshake is refused. */
const HANDSHAKE_MS_MAX = 5_000;

/** Refusals are all counted; no more of them than one in this time are written, whoever knocks how often. */
const TELL_EVERY_MS = 1_000;

/** Why a handshake came to nothing: few enough to be a label of a metric. */
export type Refusal = 'noCertificate' | 'unknownAuthority' | 'expired' | 'wrongName' | 'oldProtocol' | 'timeout' | 'brokenOff' | 'other';

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

export type ListenOptions = {
  certificates: Certificates;
  /** Which peers may be here. */
  admits(peer: PeerName): boolean;
  /** More connections at one time than this are closed unread. */
  connectionsMax: number;
  metrics: Metrics;
  /** For metrics and log: `replication`. */
  name: string;
};

/** Not listening yet; `onPeer` gets each admitted connection, with no data read. Errors of a handed-on socket are the taker's. */
export function createTlsServer(options: ListenOptions, log: Log, onPeer: (socket: TLSSocket, peer: PeerName) => void): Server {
  const { certificates, name } = options;
  const refused = options.metrics.counter(`${name}_handshakes_refused_total`, 'TLS connections refused, by reason', ['reason']);
  let toldMs = Number.NEGATIVE_INFINITY;
  const refuse = (reason: Refusal, socket: TLSSocket, detail: string) => {
    refused.inc({ reason });
    const { remoteAddress } = socket;
    socket.destroy();
    if (systemClock.monotonicMs() - toldMs < TELL_EVERY_MS) return;
    toldMs = systemClock.monotonicMs();
    log.warn('connection refused', { listener: name, reason, remoteAddress, detail });
  };
  const tls = { minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: true, handshakeTimeout: HANDSHAKE_MS_MAX } as const;
  const server = createServer({ ...tls, ...certificates.material });
  server.maxConnections = options.connectionsMax;
  server.on('secureConnection', (socket) => {
    const peer = peerName(socket);
    if (peer !== null && options.admits(peer)) return onPeer(socket, peer);
    socket.on('error', (error) => log.debug('refused connection failed', { listener: name, error }));
    refuse('wrongName', socket, commonNameOf(socket.getPeerCertificate()));
  });
  server.on('tlsClientError', (error, socket) => refuse(refusalOf(error, socket), socket, error.message));
  const stopRenewing = certificates.onRenewed(() => server.setSecureContext({ minVersion: 'TLSv1.3', ...certificates.material }));
  server.on('close', stopRenewing);
  return server;
}

/** `secureConnect` is emitted only when the peer is the one expected; else `error` and `close`. */
export function connectTls(certificates: Certificates, address: HostPort, expected: PeerName): TLSSocket {
  return connect({
    host: address.host,
    port: address.port,
    secureContext: certificates.context,
    minVersion: 'TLSv1.3',
    // By its name with us, not by its address: addresses of nodes come and go, and a certificate of another node must not do.
    checkServerIdentity: (_host, certificate) => identityError(certificate, expected),
  });
}

function identityError(certificate: PeerCertificate, expected: PeerName): Error | undefined {
  const found = parsePeerName(certificate.subject?.CN);
  if (found !== null && found.role === expected.role && found.name === expected.name) return undefined;
  return new Error(`the peer is ${commonNameOf(certificate)}, not ${formatPeerName(expected)}`);
}

const commonNameOf = (certificate: PeerCertificate): string => JSON.stringify(certificate.subject?.CN ?? null).slice(0, 256);
