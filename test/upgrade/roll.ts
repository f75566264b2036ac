/**
 * A cluster whose programs are of one version or another, replaced one at a time as an upgrade does: operators first, then agents, each only when all volumes are whole again.
 * Knows nothing of what the versions are.
 */
import path from 'node:path';
import { keysOf } from '../../core/keys.ts';
import { parseSchema, type SchemaRecord } from '../../core/schema.ts';
import { run } from '../../tools/demo/run.ts';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { agentProcess, CLUSTER_NAME, operatorProcess, type ProcessName } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { FioWriter } from '../chaos/fioWriter.ts';
import { qemuIo, World } from '../e2e/world.ts';
import type { Writer } from '../e2e/writer.ts';

const REPLICAS = 3;
const NODES = 3;
/** Behind a replaced agent: its replicas come back, and are compared. */
const WHOLE_BOUND_MS = 120_000;
const READY_BOUND_MS = 90_000;
const SCHEMA_BOUND_MS = 60_000;

export type Say = (line: string) => void;

export class Rolling {
  readonly world: World;
  readonly #sources: Map<ProcessName, string>;
  readonly #first: string;

  private constructor(world: World, first: string, sources: Map<ProcessName, string>) {
    this.world = world;
    this.#first = first;
    this.#sources = sources;
  }

  /** All of it begins with the sources in `first`. */
  static async open(first: string, operatorEnvironment: Record<string, string> = {}): Promise<Rolling> {
    const sources = new Map<ProcessName, string>();
    const world = await World.open(NODES, undefined, { operatorEnvironment, sources: (process) => sources.get(process) ?? first });
    return new Rolling(world, first, sources);
  }

  get operators(): ProcessName[] {
    return this.world.cluster.operators.map(operatorProcess);
  }

  get agents(): ProcessName[] {
    return this.world.cluster.nodes.map(agentProcess);
  }

  isOf(name: ProcessName, sources: string): boolean {
    return (this.#sources.get(name) ?? this.#first) === sources;
  }

  /** Replaced, and not waited for. */
  async begin(name: ProcessName, sources: string): Promise<void> {
    this.#sources.set(name, sources);
    await this.world.cluster.replace(name);
  }

  /** Replaced, ready, and every volume is whole. */
  async to(name: ProcessName, sources: string, volumes: readonly DemoVolume[]): Promise<void> {
    await this.begin(name, sources);
    await this.world.cluster.waitUntilReady(name, READY_BOUND_MS);
    for (const volume of volumes) await volume.untilHealthy(REPLICAS, WHOLE_BOUND_MS);
  }

  /** A new volume, whole and served by `node`; while a program starts, all of that takes its time. */
  async volume(size: string, node: string): Promise<{ volume: DemoVolume; socket: string }> {
    const volume = this.world.newVolume();
    await volume.create(size, REPLICAS, { attachTo: node });
    const socket = await volume.untilServedBy(node, READY_BOUND_MS);
    await volume.untilHealthy(REPLICAS, WHOLE_BOUND_MS);
    return { volume, socket };
  }

  /** What both versions together must be able to do: make a volume, serve it, and delete it. */
  async works(node: string): Promise<void> {
    const { volume, socket } = await this.volume('16Mi', node);
    await qemuIo(socket, 'write -P 7 0 1M', 'flush', 'read -P 7 0 1M');
    await this.world.detach(volume);
    await volume.delete();
  }

  /** As it stands in etcd, null: nobody has written one. */
  async schema(): Promise<SchemaRecord | null> {
    const entry = (await this.world.stored()).find(({ key }) => key === keysOf(CLUSTER_NAME).schema);
    return entry ? parseSchema(entry.value) : null;
  }

  async untilSchema(version: number): Promise<void> {
    await waitFor(`schema ${version}`, SCHEMA_BOUND_MS, async () => {
      const found = await this.schema();
      return found?.version === version ? { value: true } : { reason: `it is ${JSON.stringify(found)}` };
    });
  }

  /** Detaches it and compares its replicas, byte for byte. */
  async unequal(volume: DemoVolume): Promise<string[]> {
    await this.world.detach(volume);
    const copies = await Promise.all(
      this.world.cluster.nodes.map(async (node) => path.join(await this.world.replicaOn(node, volume), 'data')),
    );
    const digests = await Promise.all(copies.map(async (copy) => (await run('sha256sum', copy)).slice(0, 64)));
    return new Set(digests).size === 1 ? [] : [`the replicas of ${volume.name} differ: ${digests}`];
  }
}

/** fio after fio, each verifies all that it wrote; so one is always at work, however long it takes. */
export class FioRounds {
  readonly #socket: string;
  readonly #link: string;
  readonly #roundMs: number;
  readonly #problems: string[] = [];
  #isOn = true;
  #work: Promise<void> = Promise.resolve();
  rounds = 0;

  /** `link`: a path for a link; its directory is the caller's. */
  constructor(link: string, socket: string, roundMs: number) {
    this.#link = link;
    this.#socket = socket;
    this.#roundMs = roundMs;
  }

  begin(): void {
    this.#work = this.#rounds();
  }

  /** Waits for the last round, and answers with what was wrong in any. */
  async end(): Promise<string[]> {
    this.#isOn = false;
    await this.#work;
    return this.#problems;
  }

  async #rounds(): Promise<void> {
    while (this.#isOn && this.#problems.length === 0) {
      const fio = new FioWriter(this.#link, () => Promise.resolve(this.#socket), this.#roundMs);
      fio.begin(this.#socket);
      this.#problems.push(...(await fio.faults()));
      this.rounds++;
    }
  }
}

/** All that was acknowledged is there. */
export async function faultsOf(writer: Writer, socket: string): Promise<string[]> {
  await writer.end();
  return await writer.faults(socket);
}
