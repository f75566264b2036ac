/**
 * The authority's Secret and the trust's ConfigMap, kept: one step a look. Must never write a Secret that somebody else keeps, nor replace an authority that it cannot
 * read: every certificate that is out there would be worth nothing.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import { authorityName, Issuer, makeAuthority } from '../../edge/issuing.ts';
import type { KubeObject, ObjectMeta } from '../api.ts';
import type { KubeApi } from '../ports.ts';
import { type AuthorityRecord, announce, forget, promote, readRecord, stepOf, trustBeside, trustOf, writeRecord } from './authority.ts';
import { type ConfigMapObject, configMapsPath, type SecretObject, secretsPath, write } from './objects.ts';
import type { SignerParameters } from './settings.ts';

/** Put on the authority's Secret by a person: a new authority is made, and this removed, in one write. */
export const ROTATE_ANNOTATION = 'holdfast.dev/rotate';
const TRUST_ANNOTATION = 'holdfast.dev/trust';
const MS_PER_SECOND = 1_000;

export type AuthorityPorts = { readonly api: KubeApi; readonly clock: Clock; readonly log: Log; readonly parameters: SignerParameters };
export type InOffice = { readonly issuer: Issuer; readonly trust: string };

type StatefulSet = KubeObject & {
  metadata: ObjectMeta & { generation?: number };
  spec: { replicas?: number; template: { metadata?: { annotations?: Record<string, string> } } };
  status?: { observedGeneration?: number; updatedReplicas?: number; readyReplicas?: number };
};

export class KeptAuthority {
  readonly #ports: AuthorityPorts;
  #issuer: Issuer | null = null;

  constructor(ports: AuthorityPorts) {
    this.#ports = ports;
  }

  /** Who issues now; null: nobody yet, look again. Rejects with why there will be nobody. */
  async look(): Promise<InOffice | null> {
    const { api, parameters } = this.#ports;
    const { namespace, authoritySecret } = parameters;
    const secret = await api.get<SecretObject>(`${secretsPath(namespace)}/${authoritySecret}`);
    const record = readRecord(secret?.data);
    if (record === null) return this.#begin(secret);
    const issuer = this.#issuerOf(record);
    const trust = await this.#keepTrust(record);
    if (trust === null) return null;
    const isTrustTaken = await this.#rollEtcd(record, trust);
    if (parameters.authority === 'own' && secret !== null) await this.#step(secret, record, isTrustTaken);
    return { issuer, trust };
  }

  async #begin(secret: SecretObject | null): Promise<null> {
    const { clock, parameters, log } = this.#ports;
    if (parameters.authority === 'given') {
      log.warn('the authority is not there yet', { secret: parameters.authoritySecret });
      return null;
    }
    const current = await this.#makeAuthority();
    // A crash behind this leaves an authority that nobody trusts yet: the next look tells of it.
    if (await this.#write(secret, { current, next: null, previous: null })) log.info('authority made', { atMs: clock.wallMs() });
    return null;
  }

  #issuerOf({ current }: AuthorityRecord): Issuer {
    if (this.#issuer?.certificate === current.certificate) return this.#issuer;
    try {
      this.#issuer = new Issuer(current);
      return this.#issuer;
    } catch (error) {
      // Not what was parsed: an error may quote a key.
      const { authoritySecret, namespace } = this.#ports.parameters;
      const reason = error instanceof Error && /^the (certificate|key) is not/.test(error.message) ? error.message : 'it cannot be read';
      throw new Error(`the authority in Secret ${namespace}/${authoritySecret} is of no use: ${reason}`);
    }
  }

  /** Null: somebody else wrote just now. */
  async #keepTrust(record: AuthorityRecord): Promise<string | null> {
    const { api, clock, log, parameters } = this.#ports;
    const { namespace, trustConfigMap: name } = parameters;
    const found = await api.get<ConfigMapObject>(`${configMapsPath(namespace)}/${name}`);
    const before = found?.data?.['ca.crt'] ?? '';
    const trust = parameters.authority === 'own' ? trustOf(record) : trustBeside(record.current.certificate, before, clock.wallMs());
    if (trust === before) return trust;
    const object = {
      ...(found ?? { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace } as ObjectMeta }),
      data: { 'ca.crt': trust },
    };
    if (!(await write(api, configMapsPath(namespace), object))) return null;
    log.info('trust written', { configMap: name, authorities: trust.split('BEGIN').length - 1 });
    return trust;
  }

  async #step(secret: SecretObject, record: AuthorityRecord, isTrustTaken: boolean): Promise<void> {
    const { clock, log, parameters } = this.#ports;
    const times = { leafMs: parameters.leafSeconds * MS_PER_SECOND, spreadMs: parameters.spreadSeconds * MS_PER_SECOND };
    const nowMs = clock.wallMs();
    const isAsked = secret.metadata.annotations?.[ROTATE_ANNOTATION] !== undefined;
    const step = stepOf(record, times, { nowMs, isAsked, isTrustTaken });
    if (step === null) return;
    const next =
      step === 'announce'
        ? announce(record, await this.#makeAuthority(), nowMs)
        : step === 'promote'
          ? promote(record, times, nowMs)
          : forget(record);
    if (await this.#write(secret, next)) log.info('authority exchanged by one step', { step });
  }

  #makeAuthority() {
    return makeAuthority(authorityName('holdfast'), this.#ports.parameters.authoritySeconds * MS_PER_SECOND);
  }

  #write(secret: SecretObject | null, record: AuthorityRecord): Promise<boolean> {
    const { namespace, authoritySecret: name } = this.#ports.parameters;
    const { [ROTATE_ANNOTATION]: _asked, ...annotations } = secret?.metadata.annotations ?? {};
    const metadata = { ...(secret?.metadata ?? { name, namespace }), annotations } as ObjectMeta;
    const object = {
      apiVersion: 'v1',
      kind: 'Secret',
      type: secret?.type ?? 'kubernetes.io/tls',
      metadata,
      data: writeRecord(record) as Record<string, string>,
    };
    return write(this.#ports.api, secretsPath(namespace), object);
  }

  /** Whether etcd runs with this trust. A first trust it was started with: nothing needs rolling. */
  async #rollEtcd(record: AuthorityRecord, trust: string): Promise<boolean> {
    const { api, log, parameters } = this.#ports;
    if (parameters.etcdStatefulSet === '') return true;
    const collection = `/apis/apps/v1/namespaces/${parameters.namespace}/statefulsets`;
    const set = await api.get<StatefulSet>(`${collection}/${parameters.etcdStatefulSet}`);
    if (set === null) return true;
    const { template, replicas = 1 } = set.spec;
    const wanted = createHash('sha256').update(trust).digest('hex').slice(0, 16);
    const found = template.metadata?.annotations?.[TRUST_ANNOTATION];
    if (found === undefined && record.next === null && record.previous === null) return true;
    if (found !== wanted) {
      const annotations = { ...template.metadata?.annotations, [TRUST_ANNOTATION]: wanted };
      const spec = { ...set.spec, template: { ...template, metadata: { ...template.metadata, annotations } } };
      if (await write(api, collection, { ...set, spec }))
        log.info('etcd is rolled, to take the new trust', { statefulSet: set.metadata.name });
      return false;
    }
    const { observedGeneration = 0, updatedReplicas = 0, readyReplicas = 0 } = set.status ?? {};
    return observedGeneration >= (set.metadata.generation ?? 0) && updatedReplicas >= replicas && readyReplicas >= replicas;
  }
}
