/**
 * The lint that holds the rooms apart: looks at every TypeScript file of every room, tells each violation with what to do instead, and fails if
 * there is one. Sizes of files and functions, types and style are Biome's and the compiler's business.
 */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { check, format, ROOMS } from './rules.ts';
import { readSource } from './source.ts';

const CHECKOUT = path.resolve(import.meta.dirname, '../..');

const files = globSync(`{${ROOMS.join(',')}}/**/*.ts`, { cwd: CHECKOUT }).sort();
const violations = files.flatMap((file) => check(file, readSource(readFileSync(path.join(CHECKOUT, file), 'utf8'))));
for (const violation of violations) {
  process.stdout.write(`${format(violation)}\n`);
}
process.stdout.write(`Rooms: ${files.length} files checked, ${violations.length} violations.\n`);
process.exitCode = violations.length > 0 ? 1 : 0;
