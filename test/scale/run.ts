/**
 * `make bench-scale NODES=1000 VOLUMES=10000`: the real operators over real etcd and kube-apiserver, with agents that run their own control loop and keep no data. Prints a
 * table; exit code 1 when a goal was missed.
 */
import { appendFileSync } from 'node:fs';
import { commit, load, machine } from '../bench/machine.ts';
import { CROWDED_NODE, scaleSettings, USUAL_NODE } from './plan.ts';
import { type Figures, missed, tableOf } from './report.ts';
import { changeLeader, idle, loseNode, place, register, replaced, start } from './steps.ts';
import { World } from './world.ts';

const beganMs = performance.now();
const say = (line: string): void => console.error(`${((performance.now() - beganMs) / 1_000).toFixed(1)} s  ${line}`);

const settings = scaleSettings(process.env);
const title = `${settings.nodes} nodes, ${settings.volumes} volumes`;
const loadBefore = load();
const figures: Figures = {};
const world = await World.open(settings, say);
const context = { world, settings, say };
const named = (name: string, found: Figures): Figures =>
  Object.fromEntries(Object.entries(found).map(([key, value]) => [`${name}.${key}`, value]));
const STEPS = {
  idle: () => idle(context),
  leader: () => changeLeader(context),
  start: () => start(context),
  node: async () => named('node', await loseNode(context, USUAL_NODE)),
  crowded: async () => named('crowded', await loseNode(context, CROWDED_NODE)),
  replace: async () => named('node', await replaced(context, USUAL_NODE)),
};
const add = (found: Figures): void => {
  Object.assign(figures, found);
  say(JSON.stringify(found, (_key, value: unknown) => (typeof value === 'number' ? Math.round(value * 100) / 100 : value)));
};
const tell = (): void => {
  console.log(`Commit ${commit()}, ${machine('.')}, load before ${loadBefore}.\n`);
  console.log(tableOf(title, figures));
  if (process.env.FIGURES_FILE) appendFileSync(process.env.FIGURES_FILE, `${JSON.stringify({ title, figures })}\n`);
};
// What was measured until then is told; the cluster ends with this process.
process.on('SIGTERM', () => {
  tell();
  world.fleet.stop();
  process.exit(1);
});
try {
  add(await register(context));
  add(await place(context));
  for (const step of settings.steps) add(await STEPS[step]());
} finally {
  tell();
  await world.close();
}
const misses = missed(figures);
for (const miss of misses) say(`missed: ${miss}`);
process.exit(misses.length > 0 ? 1 : 0);
