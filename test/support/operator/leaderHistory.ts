/**
 * Who led when, as etcd's own history has it, and whether every transaction that the operators tell of was made in its turn. Independent of what any of them believed:
 * the turns are what was written to `leader`, in the order of revisions.
 */
import { readFileSync } from 'node:fs';
import { Etcd3, type Watcher } from 'etcd3';
import type { EtcdConnection } from '../../../tools/local/cluster.ts';

type Turn = { revision: bigint; generation: number; holder: string };
/** As an operator logged it. */
export type LoggedCommit = { operator: string; revision: bigint; generation: number };

/** The lines of an operator's log that tell of transactions. */
export const commitsIn = (operator: string, log: string): LoggedCommit[] =>
  log.split('\n').flatMap((line) => {
    if (!line.includes('"transaction made"')) return [];
    const { revision, generation } = JSON.parse(line) as { revision: string; generation: number };
    return [{ operator, revision: BigInt(revision), generation }];
  });

export class LeaderHistory {
  readonly turns: Turn[] = [];
  readonly #client: Etcd3;
  #watcher: Watcher | null = null;

  private constructor({ endpoints, tls }: EtcdConnection) {
    const credentials = { rootCertificate: readFileSync(tls.ca), certChain: readFileSync(tls.cert), privateKey: readFileSync(tls.key) };
    this.#client = new Etcd3({ hosts: endpoints, credentials });
  }

  /** From the first write of `key` on; before any operator is started. */
  static async open(connection: EtcdConnection, key: string): Promise<LeaderHistory> {
    const history = new LeaderHistory(connection);
    history.#watcher = await history.#client.watch().key(key).create();
    history.#watcher.on('put', ({ mod_revision, value }) => {
      history.turns.push({ revision: BigInt(mod_revision), ...(JSON.parse(value.toString()) as { generation: number; holder: string }) });
    });
    return history;
  }

  /** In sentences: generations that fell, and transactions made while another generation stood. */
  faults(commits: readonly LoggedCommit[]): string[] {
    const falls = this.turns.flatMap(({ generation, revision }, index) => {
      const before = this.turns[index - 1]?.generation ?? 0;
      return generation > before ? [] : [`revision ${revision}: generation ${generation} after ${before}`];
    });
    const strays = commits.flatMap(({ operator, revision, generation }) => {
      const standing = this.turns.findLast((turn) => turn.revision < revision)?.generation;
      return standing === generation ? [] : [`${operator} wrote revision ${revision} as generation ${generation}, while ${standing} stood`];
    });
    return [...falls, ...strays];
  }

  async close(): Promise<void> {
    await this.#watcher?.cancel();
    this.#client.close();
  }
}
