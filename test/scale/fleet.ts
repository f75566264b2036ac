/** All simulated agents, in as many processes as they need. Must never leave one behind: they end when this process does. */
import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { EtcdConnection } from '../../tools/local/cluster.ts';
import { CLUSTER_NAME } from '../../tools/local/layout.ts';
import type { FromFleet, ToFleet } from './fleetProcess.ts';
import type { NodePlan, ScaleSettings } from './plan.ts';

/** A resync that has nothing to copy. */
const LEARN_MS = 500;
const MAIN = path.resolve(import.meta.dirname, 'fleetProcess.ts');

type Part = { child: ChildProcess; registered: number };

export class Fleet {
  readonly #parts: Part[] = [];
  #onVanished: (atMs: number) => void = () => undefined;
  #isStopping = false;
  readonly #vanished = new Set<string>();

  constructor(
    nodes: readonly NodePlan[],
    { agentsPerProcess: perProcess, fleetNodeOptions: nodeOptions }: ScaleSettings,
    { endpoints, tls }: EtcdConnection,
  ) {
    for (let first = 0; first < nodes.length; first += perProcess) {
      const child = fork(MAIN, {
        execArgv: ['--disable-warning=DEP0123', ...nodeOptions.split(' ').filter((word) => word !== '')],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      const part = { child, registered: 0 };
      child.on('message', (message: FromFleet) => this.#heard(part, message));
      child.on('exit', (code) => {
        if (!this.#isStopping) throw new Error(`simulated agents ended by themselves with ${code}`);
      });
      this.#parts.push(part);
      const common = { cluster: CLUSTER_NAME, endpoints, tls, bootId: randomUUID(), learnMs: LEARN_MS };
      this.#tell(child, { type: 'start', ...common, nodes: nodes.slice(first, first + perProcess) });
    }
  }

  get pids(): number[] {
    return this.#parts.flatMap(({ child }) => child.pid ?? []);
  }

  get registered(): number {
    return this.#parts.reduce((sum, { registered }) => sum + registered, 0);
  }

  get vanished(): ReadonlySet<string> {
    return this.#vanished;
  }

  /** When it happened, by this machine's clock. */
  vanish(node: string): Promise<number> {
    this.#vanished.add(node);
    return new Promise((resolve) => {
      this.#onVanished = resolve;
      for (const { child } of this.#parts) this.#tell(child, { type: 'vanish', node });
    });
  }

  stop(): void {
    this.#isStopping = true;
    for (const { child } of this.#parts) child.disconnect();
  }

  #tell(child: ChildProcess, message: ToFleet): void {
    child.send(message);
  }

  #heard(part: Part, message: FromFleet): void {
    if (message.type === 'registered') part.registered = message.count;
    else this.#onVanished(message.atMs);
  }
}
