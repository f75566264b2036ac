/** Certificates: read from files, renewed when the files change; the name a peer proved. Must never accept a peer by anything but its certificate. */
import type { SecureContext, TLSSocket } from 'node:tls';
import type { Log } from '../core/log.ts';

export type TlsFiles = { ca: string; cert: string; key: string };
export type TlsMaterial = { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };

/** This program's certificate and the authority that it trusts, as they are now. */
export interface Certificates {
  readonly material: TlsMaterial;
  /** For new connections, server and client; TLS 1.3 only. */
  readonly context: SecureContext;
  /** Called after each renewal: give `context` to `server.setSecureContext`-like takers again. */
  onRenewed(listener: () => void): () => void;
  close(): void;
}

/** Rejects with the file's name when one cannot be read or does not hold what it must. */
export async function loadCertificates(_files: TlsFiles, _log: Log): Promise<Certificates> {
  throw new Error('not written yet');
}

export type PeerName = { role: 'agent' | 'operator'; name: string };

/** From the certificate's CN, `agent:node-a`; null when the peer proved nothing, or has another name. */
export function peerName(_socket: TLSSocket): PeerName | null {
  throw new Error('not written yet');
}
