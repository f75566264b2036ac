/**
 * Whether what pages tell people to write and to type would be taken: objects by the rules of crds/ and of the CSI driver, values by the chart's schema, targets of
 * `make`, files that are applied. Commands are not run. Pure: what is there is handed in.
 */
import { Ajv, type ValidateFunction } from 'ajv';
import { parseAllDocuments } from 'yaml';
import { parseClass, parseMutable } from '../../operator/csi/parameters.ts';
import { SCHEMAS } from '../../operator/generated/schemas.ts';
import type { CodeBlock, Page } from './page.ts';

export const DRIVER = 'csi.holdfast.dev';
/** First line of a block that holds values for the chart. */
const VALUES = '# values.yaml';

type Json = Readonly<Record<string, unknown>>;
export type Known = {
  makeTargets: ReadonlySet<string>;
  commands: ReadonlySet<string>;
  exists(file: string): boolean;
  values: Json;
  valuesSchema: Json;
};

const isRecord = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

/** As helm lays given values over the chart's own. */
export const overlaid = (under: Json, over: Json): Json =>
  Object.fromEntries(
    [...new Set([...Object.keys(under), ...Object.keys(over)])].map((key) => {
      const [below, above] = [under[key], over[key]];
      return [key, isRecord(below) && isRecord(above) ? overlaid(below, above) : (above ?? below)];
    }),
  );

const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false, logger: false });
const validators = new Map<object, ValidateFunction>();

function problemsBy(schema: object, value: unknown): string[] {
  const validate = validators.get(schema) ?? ajv.compile(schema);
  validators.set(schema, validate);
  return validate(value) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath || 'it'} ${message}`);
}

const textsOf = (value: unknown): Readonly<Record<string, string>> => (isRecord(value) ? (value as Record<string, string>) : {});

const ANOTHER_DRIVER = ['it is of another driver'];

/** Kinds of Kubernetes whose objects our driver reads. */
const CLASSES: Readonly<Record<string, (object: Json) => string[]>> = {
  StorageClass: ({ provisioner, parameters }) => (provisioner === DRIVER ? parseClass(textsOf(parameters), {}).problems : ANOTHER_DRIVER),
  VolumeAttributesClass: ({ driverName, parameters }) =>
    driverName === DRIVER ? parseMutable(textsOf(parameters)).problems : ANOTHER_DRIVER,
  VolumeSnapshotClass: ({ driver }) => (driver === DRIVER ? [] : ANOTHER_DRIVER),
};

function ownProblems(kind: string, object: Json): string[] {
  const schema = (SCHEMAS as Readonly<Record<string, object>>)[kind];
  return schema === undefined ? [`there is no kind ${kind} of ours`] : problemsBy(schema, object);
}

export function objectProblems(object: unknown): string[] {
  if (!isRecord(object)) return ['it is no object'];
  const { kind, apiVersion, parameters } = object;
  if (typeof kind !== 'string' || typeof apiVersion !== 'string') return ['it has no kind and apiVersion'];
  if (apiVersion.startsWith('holdfast.dev/')) return ownProblems(kind, object);
  const notText = Object.entries(isRecord(parameters) ? parameters : {}).filter(([, value]) => typeof value !== 'string');
  return notText.length > 0 ? notText.map(([name]) => `parameters.${name}: must be text`) : (CLASSES[kind]?.(object) ?? []);
}

function yamlProblems(text: string, known: Known): string[] {
  const documents = parseAllDocuments(text);
  const broken = documents.flatMap(({ errors }) => errors.map(({ message }) => message));
  if (broken.length > 0) return broken;
  const values = documents.map((document) => document.toJS() as unknown);
  if (!text.startsWith(VALUES)) return values.flatMap(objectProblems);
  return values.flatMap((given) =>
    isRecord(given) ? problemsBy(known.valuesSchema, overlaid(known.values, given)) : ['it holds no values'],
  );
}

/** Words of a line that lead to something of this checkout. */
function shellProblems(text: string, known: Known): string[] {
  return text.split('\n').flatMap((line) => {
    const target = /(?:^|[;&|]\s*)make (?:\w+=\S* )*([a-z][a-z0-9-]*)/.exec(line)?.[1];
    const command = /kubectl holdfast (?:-\S+ )*([a-z]+)/.exec(line)?.[1];
    const files = [...line.matchAll(/(?:-f|--filename) (\S+\.yaml)/g), ...line.matchAll(/helm (?:install|upgrade) \S+ (\.\/\S+)/g)].map(
      (match) => match[1] ?? '',
    );
    return [
      ...(target === undefined || known.makeTargets.has(target) ? [] : [`there is no make ${target}`]),
      ...(command === undefined || known.commands.has(command) ? [] : [`there is no kubectl holdfast ${command}`]),
      ...files.filter((file) => !known.exists(file.replace(/^\.\//, ''))).map((file) => `there is no ${file}`),
    ];
  });
}

function blockProblems({ language, text }: CodeBlock, known: Known): string[] {
  if (language === 'yaml') return yamlProblems(text, known);
  // Without a name of a language, blocks of READMEs hold commands too.
  return language === 'sh' || language === '' ? shellProblems(text, known) : [];
}

export const wrongCode = (page: Page, known: Known): string[] =>
  page.code.flatMap((block) => blockProblems(block, known).map((problem) => `${page.file}:${block.line}: ${problem}`));
