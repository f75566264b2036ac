/**
 * `make test-alerts ONLY="etcd" WRITE=1`: every alert that can be caused within a minute is, in real clusters, by the rules as they are shipped. Exit code 0: each
 * fired on its cause, nobody else did, and each ended with it. `WRITE`: what the commands of the runbooks answered is put into them.
 */
import { printFailure } from '../../tools/local/progress.ts';
import { commandWords } from '../../tools/test/words.ts';
import { allAlerts } from '../support/monitoring/alerts.ts';
import { SCENES, type Scene } from './scenes.ts';
import { type Say, Stage } from './stage.ts';

/** By promtool alone, each with its reason in docs/runbooks/README.md. */
const NOT_CAUSED = ['RebuildStuck', 'TasksStuck', 'PoolFillsUp'];

async function playOne(scene: Scene, writes: boolean, say: Say): Promise<Set<string>> {
  say(`${scene.name}:`);
  try {
    const stage = await Stage.open(scene.options(), say, writes);
    try {
      await scene.play(stage);
    } catch (error) {
      say(stage.world.logs);
      throw error;
    } finally {
      await stage.close();
    }
    return stage.fired;
  } finally {
    scene.after?.();
  }
}

const say: Say = (line) => process.stdout.write(`  ${line}\n`);
try {
  const words = { ...process.env, ...commandWords() };
  const only = (words.ONLY ?? '').split(' ').filter((name) => name !== '');
  const scenes = SCENES.filter(({ name }) => only.length === 0 || only.includes(name));
  if (scenes.length === 0) throw new Error(`there is no scene ${only.join(' ')}, only ${SCENES.map(({ name }) => name).join(' ')}`);
  const fired = new Set(NOT_CAUSED);
  for (const scene of scenes) for (const alert of await playOne(scene, words.WRITE === '1', say)) fired.add(alert);
  const missing = allAlerts().filter(({ alert }) => !fired.has(alert.replace(/^Holdfast/, '')));
  if (only.length === 0 && missing.length > 0) throw new Error(`never fired: ${missing.map(({ alert }) => alert).join(', ')}`);
  say(`${fired.size - NOT_CAUSED.length} alerts fired on their causes, and ended with them`);
} catch (error) {
  printFailure(error);
  process.exitCode = 1;
}
