/**
 * The certificates of a local cluster: one authority for the API server and its users, one for Holdfast's own hops (etcd, agents, operators).
 * What is there already is left as it is: processes that run use it. For this machine only; a real cluster gets its own from the chart.
 */
import 'reflect-metadata'; // @peculiar/x509 loads only after it
import { createPrivateKey, type webcrypto } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import path from 'node:path';
import * as x509 from '@peculiar/x509';
import type { TlsFiles } from '../../edge/tls.ts';
import { writeWhole } from './files.ts';

/** Who a certificate speaks of: the common name and the organizations, which Kubernetes reads as user and groups. */
export type Subject = { commonName: string; organizations: string[] };

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' };
const VALID_MS = 10 * 365 * 24 * 3600 * 1000;
/** Backdated a little: a machine's clock may be set back between making and using them. */
const BACKDATED_MS = 3600 * 1000;
const SECRET = 0o600;

export class Authority {
  readonly certificateFile: string;
  readonly #certificate: x509.X509Certificate;
  readonly #key: webcrypto.CryptoKey;

  private constructor(certificateFile: string, certificate: x509.X509Certificate, key: webcrypto.CryptoKey) {
    this.certificateFile = certificateFile;
    this.#certificate = certificate;
    this.#key = key;
  }

  /** The authority kept in this directory; made if there is none. */
  static async open(directory: string, commonName: string): Promise<Authority> {
    const certificateFile = path.join(directory, 'ca.crt');
    const keyFile = path.join(directory, 'ca.key');
    if (!existsSync(certificateFile)) {
      await makeAuthority(certificateFile, keyFile, commonName);
    }
    const key = createPrivateKey(await readFile(keyFile, 'utf8')).toCryptoKey(CURVE, false, ['sign']);
    return new Authority(certificateFile, new x509.X509Certificate(await readFile(certificateFile, 'utf8')), key);
  }

  /**
   * Puts `ca.crt`, `tls.crt` and `tls.key` into a directory (or `<prefix>ca.crt`, …), good as server (with these names and addresses) and as client.
   * The certificate comes last: where it is, the other two are whole.
   */
  async issue(directory: string, subject: Subject, alternativeNames: string[] = [], prefix = ''): Promise<TlsFiles> {
    const file = (name: string): string => path.join(directory, prefix + name);
    const files = { ca: file('ca.crt'), cert: file('tls.crt'), key: file('tls.key') };
    if (!existsSync(files.cert)) {
      const keys = await generateKeys();
      const certificate = await x509.X509CertificateGenerator.create({
        subject: nameOf(subject),
        issuer: this.#certificate.subject,
        publicKey: keys.publicKey,
        signingKey: this.#key,
        signingAlgorithm: SIGNATURE,
        ...validity(),
        extensions: await leafExtensions(keys.publicKey, alternativeNames),
      });
      writeWhole(files.key, await exportKey(keys.privateKey), SECRET);
      writeWhole(files.ca, `${this.#certificate.toString('pem')}\n`);
      writeWhole(files.cert, `${certificate.toString('pem')}\n`);
    }
    return files;
  }
}

/** A key pair without a certificate, for the API server's service account tokens. */
export async function makeKeyPair(publicFile: string, privateFile: string): Promise<void> {
  if (existsSync(publicFile)) {
    return;
  }
  const keys = await generateKeys();
  writeWhole(privateFile, await exportKey(keys.privateKey), SECRET);
  writeWhole(publicFile, `${x509.PemConverter.encode(await crypto.subtle.exportKey('spki', keys.publicKey), 'PUBLIC KEY')}\n`);
}

async function makeAuthority(certificateFile: string, keyFile: string, commonName: string): Promise<void> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: nameOf({ commonName, organizations: [] }),
    keys,
    signingAlgorithm: SIGNATURE,
    ...validity(),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  writeWhole(keyFile, await exportKey(keys.privateKey), SECRET);
  writeWhole(certificateFile, `${certificate.toString('pem')}\n`);
}

async function leafExtensions(publicKey: webcrypto.CryptoKey, alternativeNames: string[]): Promise<x509.Extension[]> {
  const extensions: x509.Extension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
  ];
  if (alternativeNames.length > 0) {
    extensions.push(
      new x509.SubjectAlternativeNameExtension(alternativeNames.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value }))),
    );
  }
  return extensions;
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(CURVE, true, ['sign', 'verify']);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

function nameOf(subject: Subject): x509.JsonName {
  return [...subject.organizations.map((organization) => ({ O: [organization] })), { CN: [subject.commonName] }];
}

function validity(): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - BACKDATED_MS), notAfter: new Date(now + VALID_MS) };
}
