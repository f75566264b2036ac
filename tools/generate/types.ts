/**
 * Makes the TypeScript types of the API from crds/*.yaml, which are their only source, their JSON schemas for the REST API's document, the chart's copies of them, and
 * the types of the Container Storage Interface from its own file; and what is made of code: the dashboards, the list of metrics. `--check` writes nothing and fails when a file is stale.
 * Must never be edited around: a type that does not fit is a schema to correct.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compile, type JSONSchema } from 'json-schema-to-typescript';
import { parse } from 'yaml';
import { csiTypes } from './csi.ts';
import { dashboardFiles } from './dashboards.ts';
import { metricsDocument } from './metrics.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const SOURCE = join(ROOT, 'crds');
const TARGET = 'operator/generated';
const CHART = 'helm/holdfast/definitions';

type Schema = JSONSchema & { properties?: Record<string, Schema>; items?: Schema };
/** What is written: a file's path in the checkout, and its text. */
type Generated = { name: string; text: string };
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

async function definitionOf(file: string): Promise<{ names: Definition['spec']['names']; schema: Schema }> {
  const definition = parse(await readFile(join(SOURCE, file), 'utf8')) as Definition;
  const version = definition.spec.versions[0];
  if (!version) throw new Error(`${file}: has no version`);
  return { names: definition.spec.names, schema: version.schema.openAPIV3Schema };
}

async function typesOf(file: string): Promise<Generated> {
  const { names, schema } = await definitionOf(file);
  const { kind, singular: name } = names;
  const { spec, status } = schema.properties ?? {};
  if (!spec || !status) throw new Error(`${file}: has no spec or no status`);
  const root = named({ type: 'object', required: ['spec'], properties: { spec, status } }, kind);
  const body = await compile(root, kind, {
    bannerComment: `/** The API type ${kind}, made from crds/${file} by tools/generate/types.ts: change it there. */`,
    style: { singleQuote: true, printWidth: 140 },
  });
  return { name: `${TARGET}/${name}.ts`, text: body };
}

/** JSON Schema as OpenAPI 3.1 has it: without Kubernetes' own keywords, and closed where the API server drops what is unknown. */
function plain(schema: unknown, isTop = false): unknown {
  if (Array.isArray(schema)) return schema.map((one) => plain(one));
  if (typeof schema !== 'object' || schema === null) return schema;
  const kept = Object.entries(schema).filter(([keyword]) => !keyword.startsWith('x-kubernetes-'));
  const result = Object.fromEntries(kept.map(([keyword, value]) => [keyword, keyword === 'properties' ? plainEach(value) : plain(value)]));
  return result.properties === undefined || isTop ? result : { ...result, additionalProperties: false };
}

/** Names of fields are no keywords. */
const plainEach = (properties: object): object =>
  Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, plain(schema)]));

async function schemasOf(files: readonly string[]): Promise<Generated> {
  const definitions = await Promise.all(files.map(definitionOf));
  const schemas = Object.fromEntries(definitions.map(({ names, schema }) => [names.kind, plain(schema, true)]));
  const text = `/** The API's kinds as JSON Schema, made from crds/ by tools/generate/types.ts: change them there. */\nexport const SCHEMAS = ${JSON.stringify(schemas, null, 2)} as const;\n`;
  return { name: `${TARGET}/schemas.ts`, text };
}

/** A chart can hold only what lies in it. */
const copyOf = async (file: string): Promise<Generated> => ({
  name: `${CHART}/${file}`,
  text: `# Made from crds/${file} by tools/generate/types.ts: change it there.\n${await readFile(join(SOURCE, file), 'utf8')}`,
});

async function main(): Promise<void> {
  const check = process.argv.includes('--check');
  const files = (await readdir(SOURCE)).filter((file) => file.endsWith('.yaml')).sort();
  await mkdir(join(ROOT, TARGET), { recursive: true });
  const stale: string[] = [];
  const all = [
    ...(await Promise.all([...files.map(typesOf), ...files.map(copyOf)])),
    await schemasOf(files),
    csiTypes(ROOT),
    ...dashboardFiles(),
    metricsDocument(ROOT),
  ];
  for (const { name, text } of all) {
    const before = await readFile(join(ROOT, name), 'utf8').catch(() => null);
    if (before === text) continue;
    stale.push(name);
    if (!check) await writeFile(join(ROOT, name), text);
  }
  if (check && stale.length > 0) {
    console.error(`Stale, run make generate: ${stale.join(', ')}`);
    process.exitCode = 1;
  } else console.log(stale.length > 0 ? `Written: ${stale.join(', ')}` : `${all.length} files are up to date`);
}

await main();
