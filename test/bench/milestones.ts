/** What etcd says on the way from a node's death to service elsewhere, and when it said so: what a failover's time is made of. Decides nothing. */
import { readFileSync } from 'node:fs';
import { Etcd3, type Watcher } from 'etcd3';
import type { VolumeConfig } from '../../core/config.ts';
import { volumeUid } from '../../core/ids.ts';
import { keysOf } from '../../core/keys.ts';
import type { ServingReport } from '../../core/machine.ts';
import type { Cluster } from '../../tools/local/cluster.ts';
import { CLUSTER_NAME } from '../../tools/local/layout.ts';

/** Times of `performance.now`; null: not yet. */
export type Milestones = { gone: number | null; promoted: number | null; open: number | null };

const keys = keysOf(CLUSTER_NAME);

export class MilestoneWatch {
  readonly #client: Etcd3;
  readonly #all: Watcher;
  readonly #uid: string;
  #from = '';
  #to = '';
  #seen: Milestones = { gone: null, promoted: null, open: null };

  private constructor(client: Etcd3, all: Watcher, uid: string) {
    this.#client = client;
    this.#all = all;
    this.#uid = uid;
    all.on('delete', ({ key }) => this.#deleted(key.toString()));
    all.on('put', ({ key, value }) => this.#put(key.toString(), value.toString()));
  }

  static async open({ etcd: { endpoints, tls } }: Cluster, uid: string): Promise<MilestoneWatch> {
    const credentials = { rootCertificate: readFileSync(tls.ca), certChain: readFileSync(tls.cert), privateKey: readFileSync(tls.key) };
    const client = new Etcd3({ hosts: endpoints, credentials });
    return new MilestoneWatch(client, await client.watch().prefix(keys.root).create(), uid);
  }

  /** Before it begins. */
  expect(from: string, to: string): void {
    this.#from = from;
    this.#to = to;
    this.#seen = { gone: null, promoted: null, open: null };
  }

  get seen(): Milestones {
    return this.#seen;
  }

  /** A watch that is only cut off connects again without end, and keeps the program from ending. */
  async close(): Promise<void> {
    await this.#all.cancel();
    this.#client.close();
  }

  #deleted(key: string): void {
    if (key === keys.machine(this.#from)) this.#seen.gone ??= performance.now();
  }

  #put(key: string, value: string): void {
    const nowMs = performance.now();
    if (key === keys.volume(volumeUid(this.#uid))) {
      const { primary } = JSON.parse(value) as VolumeConfig;
      if (primary?.node === this.#to) this.#seen.promoted ??= nowMs;
    }
    if (key === keys.servingOf(volumeUid(this.#uid))) {
      const { node, socket } = JSON.parse(value) as ServingReport;
      if (node === this.#to && socket !== null) this.#seen.open ??= nowMs;
    }
  }
}
