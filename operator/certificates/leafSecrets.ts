/** Certificates in Secrets, kept: made, and renewed when due, when the authority is another, or when other names are wanted. Must never show a key. */
import { X509Certificate } from 'node:crypto';
import { hasNames, isDue, isSignedBy } from '../../edge/issuing.ts';
import type { ObjectMeta } from '../api.ts';
import type { AuthorityPorts, InOffice } from './keptAuthority.ts';
import { type SecretObject, secretsPath, write } from './objects.ts';
import type { LeafSecret } from './settings.ts';

const decode = (text: string | undefined): string => Buffer.from(text ?? '', 'base64').toString();
const encode = (text: string): string => Buffer.from(text).toString('base64');

/** Why a certificate must be made; null: it is good. */
export function reasonToIssue(certificate: string, { commonName, names }: LeafSecret, authority: string, nowMs: number): string | null {
  if (certificate === '') return 'there is none';
  if (!isSignedBy(certificate, authority)) return 'of another authority, or not readable';
  if (isDue(certificate, nowMs)) return 'two thirds of its life are over';
  if (new X509Certificate(certificate).subject !== `CN=${commonName}`) return 'of another name';
  return hasNames(certificate, names) ? null : 'other host names are wanted';
}

export async function keepLeaf(
  { api, clock, log, parameters }: AuthorityPorts,
  { issuer, trust }: InOffice,
  leaf: LeafSecret,
): Promise<void> {
  const { namespace, leafSeconds } = parameters;
  const collection = secretsPath(namespace);
  const found = await api.get<SecretObject>(`${collection}/${leaf.secret}`);
  const reason = reasonToIssue(decode(found?.data?.['tls.crt']), leaf, issuer.certificate, clock.wallMs());
  if (reason === null && decode(found?.data?.['ca.crt']) === trust) return;
  const subject = { commonName: leaf.commonName, organizations: [] };
  const made = reason === null ? null : await issuer.issue({ subject, names: leaf.names, lifeMs: leafSeconds * 1_000 });
  const data = {
    ...found?.data,
    'ca.crt': encode(trust),
    ...(made === null ? {} : { 'tls.crt': encode(made.certificate), 'tls.key': encode(made.key) }),
  };
  const metadata = found?.metadata ?? ({ name: leaf.secret, namespace } as ObjectMeta);
  const object: SecretObject = { apiVersion: 'v1', kind: 'Secret', type: found?.type ?? 'kubernetes.io/tls', metadata, data };
  // A crash before this costs a key that nobody has seen; of two signers one is first, and the other's is thrown away.
  if ((await write(api, collection, object)) && reason !== null) log.info('certificate issued', { secret: leaf.secret, reason });
}
