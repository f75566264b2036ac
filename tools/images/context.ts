/**
 * Stages what a Dockerfile of images/ copies: sources, packages, Node, the scripts of the first stage. Everything with the same modes wherever it was
 * checked out, so that two builds have the same bytes. Must never take a file that no program of the image reads: a secret left in a checkout is none.
 */
import { chmodSync, copyFileSync, cpSync, globSync, mkdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { CHECKOUT } from '../local/layout.ts';
import type { ProgramName } from './settings.ts';

const READABLE = 0o644;
const EXECUTABLE = 0o755;
const ANY_EXECUTES = 0o111;

/** Rooms of each image: a program imports nothing of others (tools/lint/rules.ts). */
export const ROOMS_OF: Readonly<Record<ProgramName, readonly string[]>> = {
  operator: ['core', 'edge', 'operator', 'bin'],
  agent: ['core', 'edge', 'agent'],
};

/** What the programs are, and what they read while they run. */
const SOURCES = '**/*.{ts,proto,json,yaml}';

export type ContextParts = { directory: string; program: ProgramName; modules: string; node: string };

export function stageContext({ directory, program, modules, node }: ContextParts): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const room of ROOMS_OF[program]) {
    for (const file of sourcesOf(room)) place(path.join(CHECKOUT, file), path.join(directory, 'app', file));
  }
  for (const file of ['package.json', 'LICENSE']) place(path.join(CHECKOUT, file), path.join(directory, 'app', file));
  cpSync(path.join(modules, 'node_modules'), path.join(directory, 'app/node_modules'), { recursive: true, verbatimSymlinks: true });
  place(node, path.join(directory, 'root/usr/local/bin/node'));
  for (const file of ['system.sh', `${program}.packages`]) place(path.join(CHECKOUT, 'images', file), path.join(directory, 'build', file));
  place(path.join(CHECKOUT, 'images', `${program}.Dockerfile`), path.join(directory, 'Dockerfile'));
  sameModes(directory);
}

export const sourcesOf = (room: string): string[] =>
  globSync(`${room}/${SOURCES}`, { cwd: CHECKOUT })
    .filter((file) => !file.endsWith('.d.ts'))
    .sort();

function place(from: string, to: string): void {
  mkdirSync(path.dirname(to), { recursive: true });
  copyFileSync(from, to);
}

function sameModes(directory: string): void {
  for (const entry of globSync('**', { cwd: directory, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const file = path.join(entry.parentPath, entry.name);
    chmodSync(file, entry.isDirectory() || (statSync(file).mode & ANY_EXECUTES) !== 0 ? EXECUTABLE : READABLE);
  }
}
