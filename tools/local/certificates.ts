/**
 * The certificates of a local cluster as files: one authority for the API server and its users, one for Holdfast's own hops (etcd, agents, operators).
 * What is there already is left as it is: processes that run use it. For this machine only; a real cluster gets its own from the signer.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Issuer, makeAuthority, makeKeys, type Subject } from '../../edge/issuing.ts';
import type { TlsFiles } from '../../edge/tls.ts';
import { writeWhole } from './files.ts';

const VALID_MS = 10 * 365 * 24 * 3600 * 1000;
const SECRET = 0o600;

export class Authority {
  readonly certificateFile: string;
  readonly #issuer: Issuer;

  private constructor(certificateFile: string, issuer: Issuer) {
    this.certificateFile = certificateFile;
    this.#issuer = issuer;
  }

  /** The authority kept in this directory; made if there is none. */
  static async open(directory: string, commonName: string): Promise<Authority> {
    const certificateFile = path.join(directory, 'ca.crt');
    const keyFile = path.join(directory, 'ca.key');
    if (!existsSync(certificateFile)) {
      const made = await makeAuthority(commonName, VALID_MS);
      writeWhole(keyFile, made.key, SECRET);
      writeWhole(certificateFile, made.certificate);
    }
    const pair = { certificate: await readFile(certificateFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
    return new Authority(certificateFile, new Issuer(pair));
  }

  /**
   * Puts `ca.crt`, `tls.crt` and `tls.key` into a directory (or `<prefix>ca.crt`, …), good as server (with these names and addresses) and as client.
   * The certificate comes last: where it is, the other two are whole.
   */
  async issue(directory: string, subject: Subject, names: readonly string[] = [], prefix = ''): Promise<TlsFiles> {
    const file = (name: string): string => path.join(directory, prefix + name);
    const files = { ca: file('ca.crt'), cert: file('tls.crt'), key: file('tls.key') };
    if (!existsSync(files.cert)) {
      const made = await this.#issuer.issue({ subject, names, lifeMs: VALID_MS });
      writeWhole(files.key, made.key, SECRET);
      writeWhole(files.ca, this.#issuer.certificate);
      writeWhole(files.cert, made.certificate);
    }
    return files;
  }
}

/** A key pair without a certificate, for the API server's service account tokens. */
export async function makeKeyPair(publicFile: string, privateFile: string): Promise<void> {
  if (existsSync(publicFile)) return;
  const made = await makeKeys();
  writeWhole(privateFile, made.privateKey, SECRET);
  writeWhole(publicFile, made.publicKey);
}
