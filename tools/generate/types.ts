/**
 * Makes the TypeScript types of the API from crds/*.yaml, which are their only source. `--check` writes nothing and fails when a type file is stale.
 * Must never be edited around: a type that does not fit is a schema to correct.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compile, type JSONSchema } from 'json-schema-to-typescript';
import { parse } from 'yaml';

const ROOT = join(import.meta.dirname, '..', '..');
const SOURCE = join(ROOT, 'crds');
const TARGET = join(ROOT, 'operator', 'generated');

type Schema = JSONSchema & { properties?: Record<string, Schema>; items?: Schema };
type Definition = {
  spec: { names: { kind: string; singular: string }; versions: { name: string; schema: { openAPIV3Schema: Schema } }[] };
};

const pascal = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);
const singular = (name: string): string => (name.endsWith('s') ? name.slice(0, -1) : name);

/** Titles become the names of the interfaces. What has a default is always there in what the API server returns, so it is required. */
function named(schema: Schema, name: string): Schema {
  const { default: _, ...rest } = schema;
  if (rest.type === 'array' && rest.items) return { ...rest, items: named(rest.items, singular(name)) };
  if (!rest.properties) return rest;
  const properties = Object.fromEntries(Object.entries(rest.properties).map(([key, value]) => [key, named(value, name + pascal(key))]));
  const withDefault = Object.entries(rest.properties).flatMap(([key, value]) => (value.default === undefined ? [] : [key]));
  const required = [...new Set([...(Array.isArray(rest.required) ? rest.required : []), ...withDefault])];
  return { ...rest, title: name, properties, required, additionalProperties: false };
}

async function typesOf(file: string): Promise<{ name: string; text: string }> {
  const definition = parse(await readFile(join(SOURCE, file), 'utf8')) as Definition;
  const { kind, singular: name } = definition.spec.names;
  const version = definition.spec.versions[0];
  if (!version) throw new Error(`${file}: has no version`);
  const { spec, status } = version.schema.openAPIV3Schema.properties ?? {};
  if (!spec || !status) throw new Error(`${file}: has no spec or no status`);
  const root = named({ type: 'object', required: ['spec'], properties: { spec, status } }, kind);
  const body = await compile(root, kind, {
    bannerComment: `/** The API type ${kind}, made from crds/${file} by tools/generate/types.ts: change it there. */`,
    style: { singleQuote: true, printWidth: 140 },
  });
  return { name: `${name}.ts`, text: body };
}

async function main(): Promise<void> {
  const check = process.argv.includes('--check');
  const files = (await readdir(SOURCE)).filter((file) => file.endsWith('.yaml')).sort();
  await mkdir(TARGET, { recursive: true });
  const stale: string[] = [];
  for (const file of files) {
    const { name, text } = await typesOf(file);
    const before = await readFile(join(TARGET, name), 'utf8').catch(() => null);
    if (before === text) continue;
    stale.push(`operator/generated/${name}`);
    if (!check) await writeFile(join(TARGET, name), text);
  }
  if (check && stale.length > 0) {
    console.error(`Stale, run make generate: ${stale.join(', ')}`);
    process.exitCode = 1;
  } else console.log(stale.length > 0 ? `Written: ${stale.join(', ')}` : `${files.length} types are up to date`);
}

await main();
