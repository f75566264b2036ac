/**
 * Builds one Go program and tells how far it is. Knows nothing of where programs are kept, nor of which are wanted.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { errorCode, LocalClusterError } from './errors.ts';

export type GoBuild = {
  /** The directory of the Go module that pins what is built. */
  module: string;
  goPackage: string;
  linkerFlags: string;
  /** Takes the program, and what the compiler leaves behind when it is killed. */
  directory: string;
};

const OUTPUT_LINES_KEPT = 20;
const PROGRAM = 'program';

/** Gives the finished program's file. */
export async function goBuild(build: GoBuild, tell: (text: string) => void): Promise<string> {
  await checkGo(build);
  let downloads = 0;
  const countDownloads = (line: string): void => {
    downloads += line.startsWith('go: downloading ') ? 1 : 0;
    tell(`${downloads} modules fetched`);
  };
  const packages = new Set<string>();
  await go(build, ['list', '-deps', build.goPackage], countDownloads, (line) => packages.add(line));
  let compiled = 0;
  const countPackages = (line: string): void => {
    compiled += packages.has(line) ? 1 : 0;
    tell(`${compiled}/${packages.size} packages`);
  };
  const output = path.join(build.directory, PROGRAM);
  const flags = ['-trimpath', '-mod=readonly', '-ldflags', build.linkerFlags, '-o', output];
  await go(build, ['build', '-v', ...flags, build.goPackage], countPackages);
  return output;
}

/** Asked in the module's directory: a Go that fetches newer versions of itself does so there. */
async function checkGo(build: GoBuild): Promise<void> {
  const wanted = readFileSync(path.join(build.module, 'go.mod'), 'utf8').match(/^go (\S+)/m)?.[1] ?? '';
  const advice = `install Go ${wanted} or newer (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl`;
  let found = '';
  try {
    await go(build, ['env', 'GOVERSION'], undefined, (line) => {
      found = line;
    });
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      throw new LocalClusterError(`Go is needed to build parts of the local cluster, and there is none: ${advice}.`, { cause: error });
    }
    const details = error instanceof LocalClusterError ? error.details : '';
    throw new LocalClusterError(`Go is needed to build parts of the local cluster, and the one here refuses (see above): ${advice}.`, {
      cause: error,
      details,
    });
  }
  if (isOlder(found.replace(/^go/, ''), wanted)) {
    throw new LocalClusterError(`Go is too old to build parts of the local cluster (${found}): ${advice}.`);
  }
}

export function isOlder(version: string, than: string): boolean {
  const numbers = (text: string): number[] => text.split('.').map((part) => Number.parseInt(part, 10) || 0);
  const [left, right] = [numbers(version), numbers(than)];
  const different = right.findIndex((number, index) => (left[index] ?? 0) !== number);
  return different >= 0 && (left[different] ?? 0) < (right[different] ?? 0);
}

/** Runs go to its end; whatever it wrote last is in the error if it fails. It never outlives this process. */
async function go(build: GoBuild, words: string[], onError?: (line: string) => void, onOutput?: (line: string) => void): Promise<void> {
  const child = spawn('go', words, {
    cwd: build.module,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: `${process.env.GOFLAGS ?? ''} -buildvcs=false`, GOTMPDIR: build.directory },
  });
  const kept: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => onOutput?.(line));
  createInterface({ input: child.stderr }).on('line', (line) => {
    kept.push(line);
    kept.splice(0, kept.length - OUTPUT_LINES_KEPT);
    onError?.(line);
  });
  const endWithUs = (): void => {
    child.kill();
  };
  process.once('exit', endWithUs);
  try {
    const code = await exitOf(child);
    if (code !== 0) {
      const details = `${kept.map((line) => `  ${line}\n`).join('')}`;
      throw new LocalClusterError(`go ${words[0]} failed in ${build.module} (exit code ${code}): see above.`, { details });
    }
  } finally {
    process.removeListener('exit', endWithUs);
  }
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
}
