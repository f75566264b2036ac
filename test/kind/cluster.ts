/**
 * The cluster in containers, for as long as something is done on it. KEEP=1 leaves it, AS_IT_IS=1 takes the one that is there. Must never be left behind by Ctrl-C; only one that could not
 * be made is left, to be looked at.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';

const HERE = import.meta.dirname;
const MAKING = ['build.sh', 'up.sh', 'image.sh', 'deploy.sh'];
const INTERRUPTED = { SIGINT: 130, SIGTERM: 143 } as const;

const script = (name: string): void => void execFileSync(path.join(HERE, name), { stdio: 'inherit' });

/** `more`: scripts that are run once it is there. Resolves to what `work` does, the exit code. */
export async function onCluster(more: readonly string[], work: () => Promise<number>): Promise<number> {
  let heard: number | null = null;
  const interrupted = new Promise<number>((resolve) => {
    for (const [signal, code] of Object.entries(INTERRUPTED))
      process.on(signal, () => {
        heard ??= code;
        resolve(code);
      });
  });
  if (process.env.AS_IT_IS !== '1') await make([...MAKING, ...more], () => heard);
  try {
    return await Promise.race([work(), interrupted]);
  } finally {
    remove();
    // What was interrupted would go on, on a cluster that is not there any more.
    if (heard !== null) process.exit(heard);
  }
}

async function make(names: readonly string[], heard: () => number | null): Promise<void> {
  for (const name of names) {
    try {
      script(name);
    } catch (error) {
      await interruption(heard);
      throw new Error(`${name} failed. The cluster is left as it is: test/kind/env.sh leads to it, test/kind/down.sh removes it`, {
        cause: error,
      });
    }
    await interruption(heard);
  }
}

/** A signal that came while a script ran is heard only behind it. */
async function interruption(heard: () => number | null): Promise<void> {
  await setImmediate();
  const code = heard();
  if (code === null) return;
  remove();
  process.exit(code);
}

function remove(): void {
  if (process.env.KEEP !== '1') script('down.sh');
}
