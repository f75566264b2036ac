/** What tests of the replication port begin with: a replica's end on node-b that listens before each test, and clients of it that are gone behind each. */
import { expect } from 'chai';
import type { ReplicationServerOptions } from '../../../agent/edge/replicationServer.ts';
import type { Refusal } from '../../../agent/replication/events.ts';
import type { Certificates } from '../../../edge/tls.ts';
import { until } from '../../support/until.ts';
import { CertificateShelf, PrimaryEnd, RawClient, ReplicaEnd } from './support.ts';

/** To be called in a `describe`: what it returns is there in its tests. */
export function listening(limits: NonNullable<ReplicationServerOptions['limits']>): Listening {
  const ends = new Listening(limits);
  before(() => ends.prepare());
  after(() => ends.shelf.remove());
  beforeEach(() => ends.listen());
  afterEach(() => ends.close());
  return ends;
}

class Listening {
  shelf!: CertificateShelf;
  /** Of the primary that SEAL names. */
  nodeA!: Certificates;
  replica!: ReplicaEnd;
  readonly #limits: NonNullable<ReplicationServerOptions['limits']>;
  readonly #clients: RawClient[] = [];
  readonly #primaries: PrimaryEnd[] = [];

  constructor(limits: NonNullable<ReplicationServerOptions['limits']>) {
    this.#limits = limits;
  }

  async prepare(): Promise<void> {
    this.shelf = await CertificateShelf.open();
    this.nodeA = await this.shelf.of('agent:node-a');
  }

  async listen(): Promise<void> {
    this.replica = await ReplicaEnd.listen({ certificates: await this.shelf.of('agent:node-b'), limits: this.#limits });
  }

  async close(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.socket.destroy();
    for (const primary of this.#primaries.splice(0)) primary.link.close();
    await this.replica.server?.close();
  }

  raw(certificates: Certificates | null = this.nodeA): RawClient {
    return this.#kept(RawClient.tls(this.replica.port, certificates));
  }

  plain(): RawClient {
    return this.#kept(RawClient.plain(this.replica.port));
  }

  open(certificates: Certificates = this.nodeA, port: number | null = this.replica.port): PrimaryEnd {
    const primary = new PrimaryEnd({ port, certificates, limits: this.#limits });
    this.#primaries.push(primary);
    return primary;
  }

  refusal(): Promise<Refusal> {
    return until('something is refused', () => this.replica.refusals[0]);
  }

  nothingWasHeard(): void {
    expect(this.replica.seals).to.deep.equal([]);
    expect(this.replica.heard).to.deep.equal([]);
  }

  #kept(client: RawClient): RawClient {
    this.#clients.push(client);
    return client;
  }
}
