/** Makes a replica larger: files first, then what its meta says. Must never make it smaller, nor say so before it is durable. */
import type { Done, IoError, ReplicaMeta, ReplicaStore } from '../ports.ts';

/** At once when it is that large. A crash before the end leaves the size of before, or the new one. Files that are too long are no harm. */
export function grow(
  store: Pick<ReplicaStore, 'meta' | 'extend'>,
  sizeBytes: number,
  changeMeta: (change: (meta: ReplicaMeta) => ReplicaMeta, done: Done) => void,
  done: Done,
): void {
  if (sizeBytes <= store.meta.sizeBytes) return done(null);
  store.extend(sizeBytes, (error) => {
    if (error) done(error);
    else changeMeta((meta) => ({ ...meta, sizeBytes: Math.max(meta.sizeBytes, sizeBytes) }), done);
  });
}

/** It has no room to grow, or its file system lets no file be as large: it is as sound as it was. */
export const isUnableToGrow = ({ code }: IoError): boolean => code === 'noSpace' || code === 'invalid';
