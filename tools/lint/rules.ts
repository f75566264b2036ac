/**
 * The rules that hold the rooms apart, each a pure function of a file's path and source: who may import whom, and where time, randomness, the
 * environment and sockets may be touched. The README of each room says the same in words; where they differ, this is what is enforced.
 */
import path from 'node:path';
import { lineAt, type Source } from './source.ts';

export type Violation = { file: string; line: number; rule: string; found: string; instead: string };

type Rule = (file: string, source: Source) => Violation[];

/** Which rooms a room may import. `test` and `tools` are imported by nobody but each other's kind. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  core: ['core'],
  edge: ['core', 'edge'],
  operator: ['core', 'edge', 'operator'],
  agent: ['core', 'edge', 'agent'],
  bin: ['core', 'edge', 'operator', 'bin'],
  tools: ['core', 'edge', 'operator', 'agent', 'tools'],
  test: ['core', 'edge', 'operator', 'agent', 'bin', 'tools', 'test'],
};

export const ROOMS = Object.keys(MAY_IMPORT);

const INSTEAD_OF_IMPORT: Record<string, string> = {
  core: 'core holds the rules that both programs obey: take what you need as an argument, or as an interface that the caller implements',
  edge: 'edge is shared by both programs: move what both need down to core, or hand it in from main.ts',
  operator: 'the programs share only core and edge: move what both need there',
  agent: 'the programs share only core and edge: move what both need there',
  bin: 'a command shows what stands in Kubernetes: rules that it shares with the operator are pure files there',
  tools: 'what tests and tools share belongs to tools',
  test: 'stay inside of the checkout',
};

/** The parts of Node that only compute. */
const PURE_BUILTINS: ReadonlySet<string> = new Set(['assert', 'assert/strict', 'buffer', 'crypto', 'util', 'zlib']);

/** The parts of Node, and packages, that reach the network or the clock. */
const IMPURE_IMPORTS: ReadonlySet<string> = new Set([
  ...['node:net', 'node:tls', 'node:dgram', 'node:dns', 'node:dns/promises', 'node:http', 'node:https', 'node:http2'],
  ...['node:timers', 'node:timers/promises', 'node:perf_hooks', 'node:process'],
  ...['etcd3', '@grpc/grpc-js', '@kubernetes/client-node', 'express', 'winston'],
]);

type Forbidden = { pattern: RegExp; rule: string; instead: string };

const CLOCK = 'read the time once at the edge and hand it in (`now`), or take a Clock (core/clock.ts)';
const TIMER = 'let the caller wake you: take a timer port, or return when you want to be asked again';
const CHANCE = 'take a random source (core/random.ts) or the id as an argument, so that a simulation can repeat it';
const FORBIDDEN: readonly Forbidden[] = [
  { pattern: /\bDate\s*\.\s*now\b/g, rule: 'clock', instead: CLOCK },
  { pattern: /\bnew\s+Date\s*(?:\(\s*\)|(?![\s\w(.]))/g, rule: 'clock', instead: CLOCK },
  { pattern: /\bperformance\s*\.\s*now\b/g, rule: 'clock', instead: CLOCK },
  { pattern: /\bprocess\s*\.\s*hrtime\b/g, rule: 'clock', instead: CLOCK },
  { pattern: /(?<![.\w])(?:globalThis\s*\.\s*)?set(?:Timeout|Interval)\b(?!\s*\??\s*:)/g, rule: 'timer', instead: TIMER },
  { pattern: /\bMath\s*\.\s*random\b/g, rule: 'randomness', instead: CHANCE },
  { pattern: /\b(?:randomUUID|randomBytes|randomInt|randomFill(?:Sync)?|getRandomValues)\b/g, rule: 'randomness', instead: CHANCE },
  {
    pattern: /\bprocess\s*(?:\.\s*env\b|\[)|[=(,]\s*process\s*(?=[;,)])/g,
    rule: 'environment',
    instead: 'read configuration in main.ts or settings.ts and hand the values in',
  },
];

export const RULES: readonly Rule[] = [roomImports, coreIsPure, impureImports, forbiddenWords];

export function check(file: string, source: Source): Violation[] {
  return RULES.flatMap((rule) => rule(file, source));
}

export function format({ file, line, rule, found, instead }: Violation): string {
  return `${file}:${line}: ${rule}: ${found}. Instead: ${instead}.`;
}

function roomOf(file: string): string {
  return file.split('/')[0] ?? '';
}

/** Where the world may be touched: wiring, configuration, adapters, the two ports' real implementations, and whatever is no part of the programs. */
function mayTouchWorld(file: string): boolean {
  const directories = file.split('/').slice(0, -1);
  return (
    ['tools', 'test'].includes(roomOf(file)) ||
    directories.includes('edge') ||
    /^(?:operator|agent|bin)\/(?:(?:recover|holder|certificates|identity|uninstall|cleanup)\/)?(?:main|settings)\.ts$/.test(file) ||
    file === 'core/clock.ts' ||
    file === 'core/random.ts'
  );
}

function roomImports(file: string, source: Source): Violation[] {
  const room = roomOf(file);
  return source.imports
    .filter(({ specifier }) => specifier.startsWith('.') || specifier.startsWith('/'))
    .map((one) => ({ ...one, target: path.posix.join(path.posix.dirname(file), one.specifier) }))
    .filter(({ specifier, target }) => specifier.startsWith('/') || !(MAY_IMPORT[room] ?? ROOMS).includes(roomOf(target)))
    .map(({ line, target }) => ({
      file,
      line,
      rule: 'rooms',
      found: `${room} may not import ${target}, only ${(MAY_IMPORT[room] ?? ROOMS).join(', ')}`,
      instead: INSTEAD_OF_IMPORT[room] ?? '',
    }));
}

function coreIsPure(file: string, source: Source): Violation[] {
  if (roomOf(file) !== 'core') {
    return [];
  }
  return source.imports
    .filter(({ specifier }) => !/^[./]/.test(specifier) && !(specifier.startsWith('node:') && PURE_BUILTINS.has(specifier.slice(5))))
    .map(({ line, specifier }) => ({
      file,
      line,
      rule: 'core',
      found: `core may not import ${specifier}: it does no I/O and uses no packages`,
      instead: 'declare the interface that core needs, and implement it in an edge folder',
    }));
}

function impureImports(file: string, source: Source): Violation[] {
  if (mayTouchWorld(file) || roomOf(file) === 'core') {
    return []; // core: told by its own rule
  }
  return source.imports
    .filter(({ specifier, typeOnly }) => !typeOnly && IMPURE_IMPORTS.has(specifier))
    .map(({ line, specifier }) => ({
      file,
      line,
      rule: 'sockets',
      found: `${specifier} reaches the network or the clock`,
      instead: 'use it in an edge folder, behind an interface that this file takes as an argument',
    }));
}

function forbiddenWords(file: string, { code }: Source): Violation[] {
  if (mayTouchWorld(file)) {
    return [];
  }
  return FORBIDDEN.flatMap(({ pattern, rule, instead }) =>
    [...code.matchAll(pattern)].map((match) => ({
      file,
      line: lineAt(code, match.index),
      rule,
      found: `${match[0].replace(/\s+/g, ' ').trim()} may be used only in main.ts, settings.ts and edge folders`,
      instead,
    })),
  );
}
