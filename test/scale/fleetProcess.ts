/** A process of many simulated agents, told by its parent what to do. Ends with its parent. Must never write to standard output but what went wrong. */
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '../../core/log.ts';
import { loadCertificates, type TlsFiles } from '../../edge/tls.ts';
import type { NodePlan } from './plan.ts';
import { SimulatedAgent } from './simulatedAgent.ts';

export type ToFleet =
  | { type: 'start'; cluster: string; endpoints: string[]; tls: TlsFiles; bootId: string; learnMs: number; nodes: NodePlan[] }
  | { type: 'vanish'; node: string };
export type FromFleet = { type: 'registered'; count: number } | { type: 'vanished'; node: string; atMs: number };

/** So many knock at once: a thousand handshakes on the processors that all share here would time out together, and begin anew. */
const STARTING_MAX = 8;
const START_PAUSE_MS = 20;
const LOOK_MS = 200;

const agents = new Map<string, SimulatedAgent>();
const lost = new Set<string>();
const tell = (message: FromFleet): void => void process.send?.(message);
const fail = (error: Error): never => {
  console.error(error);
  process.exit(1);
};
const log = { ...silentLog, error: (message: string, fields?: object) => console.error(message, fields), child: () => log };

async function start({ cluster, endpoints, tls, bootId, learnMs, nodes }: Extract<ToFleet, { type: 'start' }>): Promise<void> {
  const certificates = await loadCertificates(tls, log);
  const looking = setInterval(() => {
    const count = [...agents.values()].filter(({ isRegistered }) => isRegistered).length;
    tell({ type: 'registered', count });
    if (count === nodes.length) clearInterval(looking);
  }, LOOK_MS);
  for (const plan of nodes) {
    agents.set(plan.node, new SimulatedAgent(plan, { cluster, endpoints, certificates, bootId, learnMs, lost, log, fail }));
    do await sleep(START_PAUSE_MS);
    while ([...agents.values()].filter(({ isRegistered }) => !isRegistered).length >= STARTING_MAX);
  }
}

async function vanish(node: string): Promise<void> {
  lost.add(node);
  const agent = agents.get(node);
  if (agent) {
    agents.delete(node);
    const atMs = Date.now();
    const vanished = agent.vanish();
    tell({ type: 'vanished', node, atMs });
    await vanished;
  }
  for (const other of agents.values()) other.connectionsChanged();
}

process.on('message', (message: ToFleet) => {
  void (message.type === 'start' ? start(message) : vanish(message.node)).catch(fail);
});
process.on('disconnect', () => process.exit(0));
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
