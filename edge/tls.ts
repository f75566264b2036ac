/**
 * Certificates: read from files, taken up anew when the files change; who a peer is, as its certificate says. Must never take a peer for anybody
 * by anything else than a certificate of our authority, and never leave a program without the certificate it had because a new one is broken.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { messageOf } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { ConfigurationError, type Problem } from '../core/parameters.ts';

export type TlsFiles = { ca: string; cert: string; key: string };
export type TlsMaterial = { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };

/** This program's certificate and the authority that it trusts, as they are now. */
export interface Certificates {
  readonly material: TlsMaterial;
  /** For new connections, as server and as client; TLS 1.3 only. */
  readonly context: SecureContext;
  /** Called after each renewal; the result stops that. Connections that stand keep the old one. */
  onRenewed(listener: () => void): () => void;
  close(): void;
}

/** Looked at, not watched: a mounted secret changes by a link to a directory, which file events miss. */
const LOOK_EVERY_MS = 10_000;
/** A certificate that ends sooner is told of at each look that finds it new. */
const WARN_BEFORE_MS = 7 * 24 * 3600 * 1000;

/** Rejects with ConfigurationError, naming every file that is not what it must be. */
export async function loadCertificates(files: TlsFiles, log: Log, options: { lookEveryMs?: number } = {}): Promise<Certificates> {
  const read = await readMaterial(files);
  if ('problems' in read) throw new ConfigurationError(read.problems);
  return new WatchedCertificates(files, read.material, log, options.lookEveryMs ?? LOOK_EVERY_MS);
}

class WatchedCertificates implements Certificates {
  readonly #files: TlsFiles;
  readonly #log: Log;
  readonly #listeners = new Set<() => void>();
  readonly #timer: NodeJS.Timeout;
  #material: TlsMaterial;
  #context: SecureContext;
  #isLooking = false;
  #told = '';

  constructor(files: TlsFiles, material: TlsMaterial, log: Log, lookEveryMs: number) {
    this.#files = files;
    this.#log = log;
    this.#material = material;
    this.#context = contextOf(material);
    this.#warnOfItsEnd();
    this.#timer = setInterval(() => void this.#look(), lookEveryMs);
    this.#timer.unref();
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  get context(): SecureContext {
    return this.#context;
  }

  onRenewed(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#listeners.clear();
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const read = await readMaterial(this.#files, this.#material);
    this.#isLooking = false;
    if ('problems' in read) return this.#tellOnce(read.problems);
    this.#told = '';
    if (read.material === this.#material) return;
    this.#material = read.material;
    this.#context = contextOf(read.material);
    this.#log.info('certificate renewed', { validTo: new X509Certificate(read.material.cert).validTo });
    this.#warnOfItsEnd();
    for (const listener of this.#listeners) listener();
  }

  /** Half-written files (a key without its certificate) look like this for a moment, too. */
  #tellOnce(problems: readonly Problem[]): void {
    const text = problems.map(({ key, rule }) => `${key} ${rule}`).join('; ');
    if (text !== this.#told) this.#log.warn('new certificate is not usable, the old one stays', { problems: text });
    this.#told = text;
  }

  #warnOfItsEnd(): void {
    const { validTo } = new X509Certificate(this.#material.cert);
    if (Date.parse(validTo) - Date.now() < WARN_BEFORE_MS) this.#log.warn('certificate ends soon', { validTo });
  }
}

const contextOf = ({ ca, cert, key }: TlsMaterial): SecureContext => createSecureContext({ ca, cert, key, minVersion: 'TLSv1.3' });

const isSame = (one: TlsMaterial, other: TlsMaterial): boolean =>
  one.ca.equals(other.ca) && one.cert.equals(other.cert) && one.key.equals(other.key);

const KEYS = { ca: 'TLS_CA', cert: 'TLS_CERT', key: 'TLS_KEY' } as const;

/** `known`: answered where the files still hold it, for checking it costs more than reading it. */
async function readMaterial(
  files: TlsFiles,
  known: TlsMaterial | null = null,
): Promise<{ material: TlsMaterial } | { problems: Problem[] }> {
  const problems: Problem[] = [];
  const read = async (part: keyof TlsFiles): Promise<Buffer> => {
    try {
      return await readFile(files[part]);
    } catch (error) {
      problems.push({ key: KEYS[part], value: files[part], rule: `cannot be read: ${messageOf(error)}` });
      return Buffer.alloc(0);
    }
  };
  const material = { ca: await read('ca'), cert: await read('cert'), key: await read('key') };
  if (problems.length === 0 && known !== null && isSame(material, known)) return { material: known };
  if (problems.length === 0) problems.push(...check(files, material));
  return problems.length > 0 ? { problems } : { material };
}

function check(files: TlsFiles, material: TlsMaterial): Problem[] {
  const problems: Problem[] = [];
  const attempt = (part: keyof TlsFiles, kind: string, run: () => boolean): void => {
    const problem = (rule: string) => problems.push({ key: KEYS[part], value: files[part], rule });
    try {
      if (!run()) problem(kind);
    } catch (error) {
      problem(`${kind} (${messageOf(error)})`);
    }
  };
  attempt('ca', 'must hold a certificate in PEM', () => new X509Certificate(material.ca).subject !== undefined);
  attempt('cert', 'must hold a certificate in PEM', () => new X509Certificate(material.cert).subject !== undefined);
  attempt('key', 'must hold a private key in PEM', () => createPrivateKey(material.key).type === 'private');
  if (problems.length > 0) return problems;
  attempt('key', `must be the key of ${KEYS.cert}`, () =>
    new X509Certificate(material.cert).checkPrivateKey(createPrivateKey(material.key)),
  );
  return problems;
}

export type PeerName = { role: 'agent' | 'operator'; name: string };

const COMMON_NAME = /^(agent|operator):([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)$/;

/** `agent:node-a`; null for any other. */
export function parsePeerName(commonName: unknown): PeerName | null {
  const [, role, name] = (typeof commonName === 'string' ? COMMON_NAME.exec(commonName) : null) ?? [];
  return (role === 'agent' || role === 'operator') && name !== undefined ? { role, name } : null;
}

export const formatPeerName = ({ role, name }: PeerName): string => `${role}:${name}`;

/** From the certificate's common name; null when the peer proved nothing, or is nobody of ours. */
export function peerName(socket: TLSSocket): PeerName | null {
  return socket.authorized ? parsePeerName(socket.getPeerCertificate().subject?.CN) : null;
}
