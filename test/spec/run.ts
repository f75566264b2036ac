/**
 * The protocol's model under the model checker: `make spec` checks the lines marked `small`, LISTS="configs mutants large" whole lists, NAMES="pair third" some of
 * their lines, SECONDS=1500 each. A violation's trace is left in <name>.trace. Exit code 1: a line did not end as it says.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { messageOf } from '../../core/errors.ts';
import { parseLine, type SpecLine } from './line.ts';
import { check, provideJar } from './tlc.ts';

const HERE = import.meta.dirname;
const ALL_LISTS = ['configs', 'mutants', 'large'];
const SECONDS = 600;

const wordsOf = (text: string | undefined): string[] => (text ?? '').split(/\s+/).filter((word) => word !== '');

function linesOf(list: string): SpecLine[] {
  const text = readFileSync(path.join(HERE, `${list}.txt`), 'utf8');
  return text
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map(parseLine);
}

function chosen(): SpecLine[] {
  const lists = wordsOf(process.env.LISTS);
  const names = wordsOf(process.env.NAMES);
  const lines = (lists.length > 0 ? lists : ALL_LISTS).flatMap(linesOf);
  if (names.length > 0) return lines.filter((line) => names.includes(line.name));
  return lists.length > 0 ? lines : lines.filter((line) => line.isSmall);
}

function main(): number {
  const lines = chosen();
  const seconds = Number(process.env.SECONDS || SECONDS);
  if (lines.length === 0 || !(seconds > 0))
    throw new Error('nothing to check: LISTS are of configs, mutants and large, NAMES are in them, SECONDS is a number');
  const jar = provideJar();
  let surprises = 0;
  for (const line of lines) {
    const { isAsExpected, said, states, seconds: took, output } = check(jar, line, seconds);
    if (!isAsExpected) surprises++;
    if (said.startsWith('violated')) writeFileSync(path.join(HERE, `${line.name}.trace`), output);
    const verdict = isAsExpected ? 'as expected' : `NOT ${line.expect}`;
    process.stdout.write(
      `${line.name.padEnd(20)} ${said.padEnd(44)} ${states.padStart(9)} states ${took.toFixed(0).padStart(5)} s, ${verdict}\n`,
    );
  }
  process.stdout.write(`${lines.length} lines checked, ${surprises} not as expected\n`);
  return surprises > 0 ? 1 : 0;
}

try {
  process.exitCode = main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 2;
}
