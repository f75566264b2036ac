/**
 * `make test-chaos SPOIL=1`: breaks, once each, what the checks at the end of a run look at, so that it is seen that they can fail. Such a run holds when every one of
 * these was told, and nothing else was. Must never be part of a run that is to show anything of the product.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { VolumeConfig } from '../../core/config.ts';
import { keysOf } from '../../core/keys.ts';
import { agentProcess, CLUSTER_NAME, runDirectory } from '../../tools/local/layout.ts';
import type { LocalProcess } from '../../tools/local/processes.ts';
import type { HistoryWorld } from '../history/world.ts';
import { HandNbdClient } from '../support/nbdClient.ts';
import { until } from '../support/until.ts';

const keys = keysOf(CLUSTER_NAME);
const BLOCK_BYTES = 4096;
const GONE_NODE = 'node-z';
const OBJECT = 'spoilt-object';
const STRAY = '00000000deadbeef';

type Expected = { what: string; told: RegExp };

export class Spoiler {
  readonly #world: HistoryWorld;
  readonly #poolOf: (node: string) => string;
  readonly #say: (line: string) => void;
  readonly #expected: Expected[] = [];
  #hasWritten = false;
  #still: LocalProcess | null = null;

  constructor(world: HistoryWorld, poolOf: (node: string) => string, say: (line: string) => void) {
    this.#world = world;
    this.#poolOf = poolOf;
    this.#say = say;
  }

  /** An operator dies, and it was none of the faults. */
  async underFaults(): Promise<void> {
    const { operators } = this.#world.cluster;
    const victim = this.#world.cluster.processes.find(({ name }) => name === `operator/${operators[0]}`);
    const pid = await until('an operator runs', () => victim?.pid);
    this.#spoil(`${victim?.name} is killed behind everybody's back`, /operator\/\S+ ended by itself/);
    process.kill(pid, 'SIGKILL');
  }

  /** An agent that serves stands still while all are waited for. */
  async beforeWell(node: string): Promise<void> {
    this.#spoil(`the agent of ${node} stands still`, /is not well again/);
    this.#still = this.#world.cluster.process(agentProcess(node));
    await this.#still.kill('SIGSTOP');
  }

  async afterWell(): Promise<void> {
    await this.#still?.kill('SIGCONT');
  }

  /** An acknowledged write is written over. */
  async beforeReadBack(name: string, socket: string): Promise<void> {
    if (this.#hasWritten || name !== 'chaos-4') return;
    this.#hasWritten = true;
    this.#spoil(`a block of ${name} is written over`, new RegExp(`${name} at 0: holds .*, may hold`));
    const client = await HandNbdClient.open(socket, name);
    await client.write(0, Buffer.alloc(BLOCK_BYTES, 0xee));
    await client.flush();
    client.close();
    await client.ended;
  }

  /** One byte of a replica, a replica of nobody, one without its files, a task done twice and one that does not end. */
  async beforeRest([first, second]: readonly VolumeConfig[]): Promise<void> {
    const [changed, moved] = [first?.shards[0]?.members[1], second?.shards[0]?.members[0]];
    if (!changed || !moved) throw new Error('there are no replicas to spoil');
    const file = path.join(this.#replica(changed), 'data');
    const content = readFileSync(file);
    content.writeUInt8(content.readUInt8(0) ^ 1, 0);
    writeFileSync(file, content);
    this.#spoil(`a byte of ${first?.name} is changed on ${changed.node}`, new RegExp(`${first?.name}: the replicas on .* differ at 0`));
    mkdirSync(this.#replica({ node: moved.node, replica: STRAY }));
    this.#spoil('a replica is nobody’s', new RegExp(`${moved.node}/${STRAY} is no member's`));
    renameSync(this.#replica(moved), path.join(this.#poolOf(moved.node), 'spoilt'));
    this.#spoil(
      'the files of a replica are taken away',
      new RegExp(`the member ${moved.node}/${moved.replica} has no files|differ at ENOENT`),
    );
    await this.#tasks();
  }

  async #tasks(): Promise<void> {
    const { store } = this.#world;
    const put = (id: string, state: string) =>
      store.commit([], [{ put: `${keys.tasks}${GONE_NODE}/${id}`, value: JSON.stringify({ id, state, node: GONE_NODE }) }]);
    for (let count = 0; count < 2; count++) await put('spoilt-twice', 'done');
    this.#spoil('a task is done twice', /the task spoilt-twice was done 2 times/);
    await put('spoilt-endless', 'running');
    this.#spoil('a task does not end', /the task spoilt-endless is running/);
    this.#spoil('a task is lost', /the task spoilt-endless was filed and has never ended/);
  }

  /** A socket, a key and an object stay. */
  async beforeGone(): Promise<void> {
    const [node = ''] = this.#world.cluster.nodes;
    writeFileSync(path.join(runDirectory(this.#world.cluster.directory, node), 'spoilt.sock'), '');
    this.#spoil('a socket is left', /there are still .*spoilt\.sock/);
    this.#spoil('a key is left', /there are still .*spoilt-endless/);
    this.#spoil('a replica is left', new RegExp(`there are still .*replica ${STRAY}`));
    const volume = { apiVersion: 'holdfast.dev/v1alpha1', kind: 'Volume', metadata: { name: OBJECT }, spec: { size: '16Mi', replicas: 3 } };
    await this.#world.cluster.kubectl(['apply', '-f', '-'], JSON.stringify(volume));
    this.#spoil('an object is left', new RegExp(`there are still .*${OBJECT}`));
  }

  /** What nobody noticed, and what was told without having been spoilt. */
  untold(problems: readonly string[]): string[] {
    const isOf = (problem: string): boolean => this.#expected.some(({ told }) => told.test(problem));
    return [
      ...this.#expected.filter(({ told }) => !problems.some((problem) => told.test(problem))).map(({ what }) => `nobody noticed: ${what}`),
      ...problems.filter((problem) => !isOf(problem)),
    ];
  }

  #spoil(what: string, told: RegExp): void {
    this.#say(`SPOILT: ${what}`);
    this.#expected.push({ what, told });
  }

  #replica({ node, replica }: { node: string; replica: string }): string {
    return path.join(this.#poolOf(node), 'replicas', replica);
  }
}
