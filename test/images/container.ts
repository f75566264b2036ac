/**
 * Runs a program in an image's tree as a cluster would: by runc, with the user, environment and directory that the image says, a root that cannot be
 * written, no capability and no network but its own. For another architecture by qemu, which needs no right at all. Must never touch the tree.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ImageConfiguration } from '../../tools/images/archive.ts';

const ENDS_MS_MAX = 120_000;

export type Ended = { code: number | null; output: string };

export type RunOptions = {
  tree: string;
  image: ImageConfiguration;
  words: readonly string[];
  environment?: Readonly<Record<string, string>>;
  /** Else that of the image. */
  user?: number;
};

export const isOurs = (architecture: string): boolean => architecture === (process.arch === 'x64' ? 'amd64' : process.arch);

export async function run(options: RunOptions): Promise<Ended> {
  const environment = [
    ...(options.image.config.Env ?? []),
    ...Object.entries(options.environment ?? {}).map(([key, value]) => `${key}=${value}`),
  ];
  return isOurs(options.image.architecture) ? byRunc(options, environment) : byQemu(options, environment);
}

async function byRunc({ tree, image, words, user }: RunOptions, env: string[]): Promise<Ended> {
  const bundle = mkdtempSync(path.join(tmpdir(), 'holdfast-bundle-'));
  const uid = user ?? Number(image.config.User?.split(':')[0] || 0);
  const specification = {
    ociVersion: '1.0.2',
    root: { path: tree, readonly: true },
    process: {
      user: { uid, gid: uid },
      args: words,
      env,
      cwd: image.config.WorkingDir ?? '/',
      noNewPrivileges: true,
      capabilities: { bounding: [], effective: [], permitted: [] },
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
    ],
    linux: { namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })) },
  };
  try {
    writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(specification));
    return await end('runc', ['--root', path.join(bundle, 'state'), 'run', '--bundle', bundle, path.basename(bundle)], {});
  } finally {
    rmSync(bundle, { recursive: true, force: true });
  }
}

/** An emulator of user programs finds the tree's libraries below `-L`; what a program opens by itself is looked for there first, too. */
const byQemu = ({ tree, image, words }: RunOptions, env: string[]): Promise<Ended> => {
  const [program = '', ...rest] = words;
  const file = program === 'node' ? 'usr/local/bin/node' : program;
  const here = rest.map((word) => (/^(operator|agent|bin)\//.test(word) ? path.join(tree, 'app', word) : word));
  const emulator = image.architecture === 'arm64' ? 'qemu-aarch64-static' : 'qemu-x86_64-static';
  return end(emulator, ['-L', tree, path.join(tree, file), ...here], {
    cwd: path.join(tree, 'app'),
    env: Object.fromEntries(env.map(pair)),
  });
};

const pair = (assignment: string): [string, string] => {
  const at = assignment.indexOf('=');
  return [assignment.slice(0, at), assignment.slice(at + 1)];
};

function end(program: string, words: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv }): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { ...options, stdio: ['ignore', 'pipe', 'pipe'], timeout: ENDS_MS_MAX, killSignal: 'SIGKILL' });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}
