/**
 * `make docs`: makes the pages of docs/ into .local/docs, after every link, heading, object, value and command in them (and in README.md) was looked at. Prints what
 * is wrong and where, one line each; exit code 1 if there is anything. Asks nobody outside of the checkout.
 */
import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { CHECKOUT } from '../local/layout.ts';
import { type Known, wrongCode } from './code.ts';
import { type Checkout, wrongLinks } from './links.ts';
import { type Page, readPage } from './page.ts';
import { siteName, sitePage } from './site.ts';

const OUTPUT = path.join(CHECKOUT, '.local/docs');

const read = (file: string): string => readFileSync(path.join(CHECKOUT, file), 'utf8');
const exists = (file: string): boolean => existsSync(path.join(CHECKOUT, file));

const kept = new Map<string, Page>();
function page(file: string): Page {
  const there = kept.get(file) ?? readPage(file, read(file));
  kept.set(file, there);
  return there;
}

const known: Known = {
  makeTargets: new Set([...read('Makefile').matchAll(/^([a-z0-9-]+):/gm)].map((match) => match[1] ?? '')),
  commands: new Set([...read('bin/main.ts').matchAll(/\.command\('([a-z]+)/g)].map((match) => match[1] ?? '')),
  exists,
  values: parse(read('helm/holdfast/values.yaml')) as Known['values'],
  valuesSchema: JSON.parse(read('helm/holdfast/values.schema.json')) as Known['valuesSchema'],
};
const checkout: Checkout = { exists, page: (file) => (file.endsWith('.md') ? page(file) : undefined) };

/** As the index names them, and then what lies in folders and is reached from there. */
const index = page('docs/README.md').links.map(({ target }) => path.posix.join('docs', target));
const placeOf = (file: string): number => (file === 'docs/README.md' ? -1 : index.includes(file) ? index.indexOf(file) : index.length);
const files = globSync('docs/**/*.md', { cwd: CHECKOUT }).sort((left, right) => placeOf(left) - placeOf(right) || (left < right ? -1 : 1));
const pages = files.map(page);
const wrong = [...pages, page('README.md'), page('images/README.md')].flatMap((one) => [
  ...wrongLinks(one, checkout),
  ...wrongCode(one, known),
]);

rmSync(OUTPUT, { recursive: true, force: true });
for (const one of pages) write(siteName(path.relative('docs', one.file)), sitePage(one, pages));
for (const file of globSync('docs/**/*.{png,svg}', { cwd: CHECKOUT })) {
  const target = path.join(OUTPUT, path.relative('docs', file));
  mkdirSync(path.dirname(target), { recursive: true });
  copyFileSync(path.join(CHECKOUT, file), target);
}

function write(name: string, text: string): void {
  const file = path.join(OUTPUT, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}

for (const line of wrong) process.stdout.write(`${line}\n`);
process.stdout.write(`Docs: ${pages.length} pages in ${path.join(OUTPUT, 'index.html')}, ${wrong.length} things wrong.\n`);
process.exitCode = wrong.length > 0 ? 1 : 0;
