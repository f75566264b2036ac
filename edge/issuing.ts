/**
 * Certificates made: authorities, leaves, requests and the answers to them. The signer, the agents' identities and the local cluster make theirs here.
 * Must never write a key anywhere, nor into an error; and never take a name from a request: who signs says who the certificate speaks of.
 */
import 'reflect-metadata'; // @peculiar/x509 loads only after it
import { createPrivateKey, randomBytes, type webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import { systemClock } from '../core/clock.ts';

/** Who a certificate speaks of: the common name and the organizations, which Kubernetes reads as user and groups. */
export type Subject = { commonName: string; organizations: readonly string[] };
/** In PEM, both. */
export type Pair = { readonly certificate: string; readonly key: string };
/** `names`: where that one serves, host names and addresses. */
export type Leaf = { readonly subject: Subject; readonly names: readonly string[]; readonly lifeMs: number };

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' };
/** Backdated a little: a machine's clock may be set back between making and using them. Of a short life only a part. */
const BACKDATED_MS_MAX = 3600 * 1000;
const BACKDATED_PART = 1 / 10;
/** A certificate is renewed when this part of its life is over. */
const RENEWED_AFTER = 2 / 3;

/** An authority in use: it signs. */
export class Issuer {
  /** In PEM. */
  readonly certificate: string;
  readonly #certificate: x509.X509Certificate;
  readonly #key: webcrypto.CryptoKey;

  /** Throws for what is no authority, or for a key of another one. */
  constructor({ certificate, key }: Pair) {
    const parsed = new X509Certificate(certificate);
    const privateKey = createPrivateKey(key);
    if (!parsed.ca) throw new Error('the certificate is not that of an authority');
    if (!parsed.checkPrivateKey(privateKey)) throw new Error("the key is not that of the authority's certificate");
    this.certificate = certificate;
    this.#certificate = new x509.X509Certificate(certificate);
    this.#key = privateKey.toCryptoKey(CURVE, false, ['sign']);
  }

  async issue(leaf: Leaf): Promise<Pair> {
    const keys = await generateKeys();
    return { certificate: await this.#sign(leaf, keys.publicKey), key: await exportKey(keys.privateKey) };
  }

  /** For the key of a request, and for nothing else that stands in it. */
  async answer(request: string, leaf: Leaf): Promise<string> {
    return this.#sign(leaf, await new x509.Pkcs10CertificateRequest(request).publicKey.export());
  }

  /** What outlived its authority would be worth nothing then. */
  #validity(lifeMs: number): { notBefore: Date; notAfter: Date } {
    const { notBefore, notAfter } = validity(lifeMs);
    const endMs = Math.min(notAfter.getTime(), this.#certificate.notAfter.getTime());
    return { notBefore, notAfter: new Date(endMs) };
  }

  async #sign({ subject, names, lifeMs }: Leaf, publicKey: webcrypto.CryptoKey): Promise<string> {
    const certificate = await x509.X509CertificateGenerator.create({
      subject: nameOf(subject),
      issuer: this.#certificate.subject,
      publicKey,
      signingKey: this.#key,
      signingAlgorithm: SIGNATURE,
      ...this.#validity(lifeMs),
      extensions: [
        ...(await leafExtensions(publicKey, names)),
        // Of two authorities that are trusted at once, verifiers find the one by it.
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate, false),
      ],
    });
    return `${certificate.toString('pem')}\n`;
  }
}

export async function makeAuthority(commonName: string, lifeMs: number): Promise<Pair> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: nameOf({ commonName, organizations: [] }),
    keys,
    signingAlgorithm: SIGNATURE,
    ...validity(lifeMs),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: `${certificate.toString('pem')}\n`, key: await exportKey(keys.privateKey) };
}

/** A key, and the request for a certificate of it. */
export async function makeRequest(subject: Subject, names: readonly string[]): Promise<{ request: string; key: string }> {
  const keys = await generateKeys();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: nameOf(subject),
    keys,
    signingAlgorithm: SIGNATURE,
    extensions: names.length === 0 ? [] : [alternativeNames(names)],
  });
  return { request: `${request.toString('pem')}\n`, key: await exportKey(keys.privateKey) };
}

export type RequestContents = { readonly commonName: string | null; readonly others: readonly string[]; readonly names: readonly string[] };

/** What a request says, which proves nothing; null: it is none, or not signed by its own key. `others`: fields of the subject beyond one common name. */
export async function readRequest(pem: string): Promise<RequestContents | null> {
  try {
    const request = new x509.Pkcs10CertificateRequest(pem);
    if (!(await request.verify())) return null;
    const fields = request.subjectName
      .toJSON()
      .flatMap((part) => Object.entries(part).flatMap(([key, values]) => values.map((value) => [key, value])));
    const common = fields.filter(([key]) => key === 'CN');
    const found = request.extensions.find((one) => one instanceof x509.SubjectAlternativeNameExtension);
    return {
      commonName: common.length === 1 ? (common[0]?.[1] ?? null) : null,
      others: fields.filter(([key]) => key !== 'CN').map(([key, value]) => `${key}=${value}`),
      names: found?.names.items.map(({ type, value }) => (type === 'dns' || type === 'ip' ? value : `${type}:${value}`)) ?? [],
    };
  } catch {
    return null;
  }
}

/** The certificates of a bundle, each in PEM. */
export const certificatesIn = (pem: string): string[] =>
  (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map((one) => `${one}\n`);

/** Signed by this authority; false also for what cannot be read. */
export function isSignedBy(certificate: string, authority: string): boolean {
  try {
    return new X509Certificate(certificate).verify(new X509Certificate(authority).publicKey);
  } catch {
    return false;
  }
}

/** Also what cannot be read. */
export function isDue(certificate: string, nowMs: number): boolean {
  const { fromMs, toMs } = lifeOf(certificate);
  return !(nowMs < fromMs + (toMs - fromMs) * RENEWED_AFTER);
}

export const hasEnded = (certificate: string, nowMs: number): boolean => !(nowMs < lifeOf(certificate).toMs);

export function lifeOf(certificate: string): { fromMs: number; toMs: number } {
  try {
    const { validFrom, validTo } = new X509Certificate(certificate);
    return { fromMs: Date.parse(validFrom), toMs: Date.parse(validTo) };
  } catch {
    return { fromMs: Number.NaN, toMs: Number.NaN };
  }
}

/** Its names as they were asked for, in any order. */
export function hasNames(certificate: string, names: readonly string[]): boolean {
  const found = new x509.X509Certificate(certificate).getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? [];
  return [...found.map(({ value }) => value)].sort().join() === [...names].sort().join();
}

export async function makeKeys(): Promise<{ publicKey: string; privateKey: string }> {
  const keys = await generateKeys();
  const spki = await crypto.subtle.exportKey('spki', keys.publicKey);
  return { publicKey: `${x509.PemConverter.encode(spki, 'PUBLIC KEY')}\n`, privateKey: await exportKey(keys.privateKey) };
}

/** No two authorities of a cluster have the same name: a verifier that trusts both must not take one for the other. */
export const authorityName = (of: string): string => `${of} ${randomBytes(4).toString('hex')}`;

async function leafExtensions(publicKey: webcrypto.CryptoKey, names: readonly string[]): Promise<x509.Extension[]> {
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ...(names.length === 0 ? [] : [alternativeNames(names)]),
  ];
}

const alternativeNames = (names: readonly string[]): x509.Extension =>
  new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value })));

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(CURVE, true, ['sign', 'verify']);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

const nameOf = ({ commonName, organizations }: Subject): x509.JsonName => [
  ...organizations.map((organization) => ({ O: [organization] })),
  { CN: [commonName] },
];

function validity(lifeMs: number): { notBefore: Date; notAfter: Date } {
  const nowMs = systemClock.wallMs();
  return { notBefore: new Date(nowMs - Math.min(BACKDATED_MS_MAX, lifeMs * BACKDATED_PART)), notAfter: new Date(nowMs + lifeMs) };
}
