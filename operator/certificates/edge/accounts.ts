/** The accounts of a cluster in etcd, kept by the signer with a certificate that it issues itself. Must never keep that certificate on disk. */
import type { Etcd3 } from 'etcd3';
import { accountsOf } from '../../../core/accounts.ts';
import { systemClock } from '../../../core/clock.ts';
import { messageOf } from '../../../core/errors.ts';
import { keysOf } from '../../../core/keys.ts';
import type { Log } from '../../../core/log.ts';
import { EtcdAccounts, schemaInForce } from '../../../edge/etcd/accounts.ts';
import { openClient } from '../../../edge/etcd/endpoints.ts';
import type { TlsMaterial } from '../../../edge/tls.ts';
import type { SignerParameters } from '../settings.ts';
import type { AccountsKeeper } from '../signer.ts';

export const SIGNER_USER = 'operator:signer';
/** A connection is made anew after this, and well before what it shows has ended. */
const CLIENT_AGE_MAX_MS = 3600_000;
const CLIENT_AGE_PART = 1 / 3;
const EXPECT_MS_MAX = 5_000;
/** Nobody waits for an etcd that was away so lately: in a new cluster it comes after the first certificates. */
const AWAY_MS = 10_000;

/** `material`: what to show to etcd now; null: nobody issues yet. */
export type Material = () => Promise<TlsMaterial | null>;

export class KeptAccounts implements AccountsKeeper {
  readonly #parameters: SignerParameters;
  readonly #log: Log;
  readonly #material: Material;
  readonly #accounts: EtcdAccounts;
  readonly #expected = new Set<string>();
  #client: { etcd: Etcd3; sinceMs: number } | null = null;
  #index = 0;
  #failedMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> = Promise.resolve();

  constructor(parameters: SignerParameters, log: Log, material: Material) {
    this.#parameters = parameters;
    this.#log = log;
    this.#material = material;
    this.#accounts = new EtcdAccounts(parameters.cluster);
  }

  /** One at a time; rejects with why it could not be done, to whoever asked: the next one only waits for it. No node at all is no reason to take everybody's account away. */
  keep(nodes: readonly string[], removes = nodes.length > 0): Promise<void> {
    const run = this.#running.then(() => this.#keep(nodes, removes));
    this.#running = run.catch(() => undefined);
    return run;
  }

  /** Bounded: a certificate must be given out also while etcd is away. The next look makes the account then. */
  async expect(node: string): Promise<void> {
    if (this.#expected.has(node) || systemClock.monotonicMs() - this.#failedMs < AWAY_MS) return;
    const bound = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error(`etcd took more than ${EXPECT_MS_MAX} ms`)), EXPECT_MS_MAX).unref();
    });
    try {
      await Promise.race([this.keep([node], false), bound]);
      this.#expected.add(node);
    } catch (error) {
      this.#log.warn('a node gets its certificate before its account in etcd', { node, reason: messageOf(error) });
    }
  }

  close(): void {
    this.#client?.etcd.close();
    this.#client = null;
  }

  async #keep(nodes: readonly string[], removes: boolean): Promise<void> {
    const { cluster, etcdOperators } = this.#parameters;
    const etcd = await this.#connect();
    const keys = keysOf(cluster);
    try {
      const schema = await schemaInForce(etcd, keys.schema);
      const wanted = accountsOf(keys, cluster, { operators: [SIGNER_USER, ...etcdOperators], nodes, schema });
      const changes = await this.#accounts.keep(etcd, wanted, removes);
      if (changes > 0) this.#log.info('accounts in etcd changed', { changes, nodes: nodes.length });
    } catch (error) {
      this.#failedMs = systemClock.monotonicMs();
      // Another member next time.
      this.close();
      this.#index++;
      throw error;
    }
  }

  async #connect(): Promise<Etcd3> {
    const { etcdEndpoints, leafSeconds } = this.#parameters;
    const ageMaxMs = Math.min(CLIENT_AGE_MAX_MS, leafSeconds * 1_000 * CLIENT_AGE_PART);
    if (this.#client !== null && systemClock.monotonicMs() - this.#client.sinceMs < ageMaxMs) return this.#client.etcd;
    this.close();
    const material = await this.#material();
    if (material === null) throw new Error('there is no authority yet');
    const etcd = openClient(etcdEndpoints[this.#index % etcdEndpoints.length] ?? '', material);
    this.#client = { etcd, sinceMs: systemClock.monotonicMs() };
    return etcd;
  }
}
