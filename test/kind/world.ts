/** A cluster made by up.sh and deploy.sh, as its users see it: kubectl, and the power switches of its nodes. */
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const HERE = import.meta.dirname;
const EXAMPLES = path.resolve(HERE, '../../examples');
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const LOOK_EVERY_MS = 250;
/** What is on every node: nothing can be pulled here. */
const IMAGE = 'holdfast.local/base:bookworm';

/** What env.sh prints, as an environment. */
function environment(): NodeJS.ProcessEnv {
  const text = execFileSync('bash', ['-c', `eval "$("${HERE}/env.sh")"; env -0`], { encoding: 'utf8' });
  return Object.fromEntries(
    text.split('\0').flatMap((line) => (line.includes('=') ? [[line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]] : [])),
  );
}

const ENVIRONMENT = environment();

export function run(program: string, words: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, words, { env: ENVIRONMENT, maxBuffer: OUTPUT_BYTES_MAX }, (error, output, trouble) =>
      error ? reject(new Error(`${program} ${words.join(' ')}: ${trouble.trim() || error.message}`)) : resolve(output.trim()),
    );
    child.stdin?.end(input);
  });
}

export const kubectl = (...words: string[]): Promise<string> => run('kubectl', words);
export const apply = (manifest: string): Promise<string> => run('kubectl', ['apply', '-f', '-'], manifest);
export const power = (action: 'kill' | 'start' | 'freeze' | 'thaw', node: string): Promise<string> =>
  run(path.join(HERE, 'node.sh'), [action, node]);

/** One of examples/, with an image that this cluster has. */
export const example = (name: string): string =>
  readFileSync(path.join(EXAMPLES, name), 'utf8').replaceAll(/image: \S+/g, `image: ${IMAGE}`);

/** Seconds until it is so. */
export async function until(what: string, boundSeconds: number, isSo: () => Promise<boolean>): Promise<number> {
  const begunMs = performance.now();
  for (;;) {
    if (await isSo().catch(() => false)) return (performance.now() - begunMs) / 1_000;
    if (performance.now() - begunMs > boundSeconds * 1_000) throw new Error(`not within ${boundSeconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

type PodObject = {
  metadata: { name: string; deletionTimestamp?: string };
  spec: { nodeName?: string };
  status: { phase: string; conditions?: { type: string; status: string }[] };
};

/** Of an app's pods the one that runs and is not being deleted; null: none does. */
export async function runningPod(app: string): Promise<{ name: string; node: string } | null> {
  const { items } = JSON.parse(await kubectl('get', 'pods', '-l', `app=${app}`, '-o', 'json')) as { items: PodObject[] };
  const pod = items.find(
    ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined &&
      status.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True'),
  );
  return pod ? { name: pod.metadata.name, node: pod.spec.nodeName ?? '' } : null;
}

/** The highest line that a writer was told is on disk. */
export const acknowledged = async (pod: string): Promise<number> => Number((await kubectl('logs', pod, '--tail=1')) || '0');
/** `line 1` to `line n` in order, or what is wrong. */
export async function lines(pod: string): Promise<number> {
  const found = (await kubectl('exec', pod, '--', 'cat', '/data/log')).split('\n');
  const wrong = found.findIndex((line, index) => line !== `line ${index + 1}`);
  if (wrong >= 0) throw new Error(`line ${wrong + 1} of the log reads ${JSON.stringify(found[wrong])}`);
  return found.length;
}
