/** What objects are called: a name that Kubernetes, a socket file and people can live with, always the same for what was asked. Pure. */
import { createHash } from 'node:crypto';

/** The limit of crds/: the name is also a file's. */
const NAME_LENGTH_MAX = 63;
const FITTING = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const DIGEST_LENGTH = 32;
const DIGEST_PREFIX = 'csi-';
/** CSI's own limit, in bytes. */
const REQUESTED_BYTES_MAX = 128;

/** Where the name that was asked for is kept. */
export const NAME_ANNOTATION = 'csi.holdfast.dev/name';
/** On a Volume that is published for reading alone. */
export const READONLY_ANNOTATION = 'csi.holdfast.dev/readonly';
/** On what this driver made. */
export const LABEL = { key: 'app.kubernetes.io/managed-by', value: 'csi.holdfast.dev' } as const;

export function objectName(requested: string): string {
  const isDigest = requested.startsWith(DIGEST_PREFIX);
  if (requested.length <= NAME_LENGTH_MAX && FITTING.test(requested) && !isDigest) return requested;
  return `${DIGEST_PREFIX}${createHash('sha256').update(requested).digest('hex').slice(0, DIGEST_LENGTH)}`;
}

/** An id that was never given by us names nothing. */
export const isObjectName = (id: string): boolean => id.length <= NAME_LENGTH_MAX && FITTING.test(id);

/** Nodes are named as Kubernetes names them, with dots; of dots alone a path would be another. */
export const isNodeName = (id: string): boolean => id.length <= 253 && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(id);

export function nameProblems(name: string): string[] {
  if (name === '') return ['name: must be given'];
  const bytes = Buffer.byteLength(name);
  return bytes > REQUESTED_BYTES_MAX ? [`name: may have at most ${REQUESTED_BYTES_MAX} bytes (has ${bytes})`] : [];
}
