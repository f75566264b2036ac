/** The Lease object of coordination.k8s.io as the election's port. */

import type { Clock } from '../../core/clock.ts';
import { OperatingError } from '../../core/errors.ts';
import type { KubeObject } from '../api.ts';
import type { LeasePort } from '../election/elector.ts';
import { LEADER_ANNOTATION, type LeaderFacts } from '../election/facts.ts';
import type { LeaseRecord } from '../election/step.ts';
import type { KubeApi } from '../ports.ts';

type Lease = KubeObject & {
  spec?: {
    holderIdentity?: string | null;
    leaseDurationSeconds?: number | null;
    leaseTransitions?: number | null;
    acquireTime?: string | null;
    renewTime?: string | null;
  };
};

const annotated = (facts: LeaderFacts | null): Partial<KubeObject['metadata']> =>
  facts === null ? {} : { annotations: { [LEADER_ANNOTATION]: JSON.stringify(facts) } };

/** Kubernetes' MicroTime. */
const microTime = (wallMs: number): string => new Date(wallMs).toISOString().replace('Z', '000Z');

const recordOf = ({ metadata, spec }: Lease): LeaseRecord => ({
  holder: spec?.holderIdentity ?? '',
  transitions: spec?.leaseTransitions ?? 0,
  durationMs: (spec?.leaseDurationSeconds ?? 0) * 1_000,
  resourceVersion: metadata.resourceVersion,
});

/** `facts`: what the holder tells of itself, written with each renewal; null: nothing yet. */
export function leasePort(
  api: KubeApi,
  clock: Clock,
  namespace: string,
  name: string,
  facts: () => LeaderFacts | null = () => null,
): LeasePort {
  const collection = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
  const path = `${collection}/${encodeURIComponent(name)}`;
  let acquired = { holder: '', time: '' };
  return {
    async read(deadlineMs) {
      const lease = await api.get<Lease>(path, deadlineMs);
      return lease === null ? null : recordOf(lease);
    },
    async write({ holder, transitions, durationMs, basedOn }, deadlineMs) {
      const renewTime = microTime(clock.wallMs());
      if (acquired.holder !== holder) acquired = { holder, time: renewTime };
      const lease: Lease = {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name, namespace, uid: '', resourceVersion: basedOn ?? '', ...annotated(holder === '' ? null : facts()) },
        spec: {
          holderIdentity: holder,
          leaseDurationSeconds: Math.ceil(durationMs / 1_000),
          leaseTransitions: transitions,
          acquireTime: acquired.time,
          renewTime,
        },
      };
      const written = basedOn === null ? await api.create(collection, lease, deadlineMs) : await api.replace(path, lease, deadlineMs);
      if (written === null) throw new OperatingError('Conflict', `write the Lease ${name}`, 'it was deleted');
      return recordOf(written);
    },
  };
}
