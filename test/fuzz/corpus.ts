/** Inputs that are kept in the repository: each reached something new when it was found, or showed a bug. One small text file each. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { formatInput, type Input, parseInput } from './input.ts';

const CORPUS = path.join(import.meta.dirname, 'corpus');
/** What is committed must stay readable. */
export const KEPT_BYTES_MAX = 2_048;
const NAME_DIGITS = 10;

export function corpusOf(target: string): Input[] {
  if (!existsSync(CORPUS)) return [];
  return readdirSync(CORPUS)
    .filter((file) => file.startsWith(`${target}-`))
    .sort()
    .map((file) => parseInput(readFileSync(path.join(CORPUS, file), 'utf8')));
}

/** Gives the file's name. */
export function save(target: string, input: Input): string {
  const text = formatInput(input);
  const file = path.join(CORPUS, `${target}-${createHash('sha256').update(text).digest('hex').slice(0, NAME_DIGITS)}.hex`);
  mkdirSync(CORPUS, { recursive: true });
  writeFileSync(file, text);
  return file;
}
