/**
 * What a StorageClass, a VolumeAttributesClass and a claim ask for, as the spec of a Volume. Every problem is named, not only the first. Pure.
 */
import type { VolumeSpec } from '../generated/volume.ts';

/** What nodes are told of a volume, in its context. */
export const NODE_PARAMETERS = ['fsType', 'mkfsOptions', 'mountOptions'] as const;
export const FILE_SYSTEMS = ['ext4', 'xfs'] as const;
/** Parameters that the sidecars add: which claim it is for. Kept as annotations for people, never a rule. */
const SIDECAR_PREFIX = 'csi.storage.k8s.io/';

export type ClassSpec = Pick<VolumeSpec, 'replicas' | 'shards' | 'placement' | 'limits'> & { minInSync?: number };
export type Mutable = { replicas?: number; minInSync?: number; iops?: number; bytesPerSecond?: number };

const REPLICAS_MAX = 9;
const SHARDS_MAX = 64;
const ZONES = ['Require', 'Prefer', 'Ignore'] as const;

type Values = Readonly<Record<string, string>>;
type Take = { values: Values; problems: string[]; where: string };

function whole({ values, problems, where }: Take, name: string, least: number, most: number): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  problems.push(`${where}.${name}: must be a whole number ${range} (is ${JSON.stringify(text)})`);
  return undefined;
}

function choice<Choice extends string>({ values, problems, where }: Take, name: string, choices: readonly Choice[]): Choice | undefined {
  const text = values[name];
  if (text === undefined || (choices as readonly string[]).includes(text)) return text as Choice | undefined;
  problems.push(`${where}.${name}: must be ${choices.join(' or ')} (is ${JSON.stringify(text)})`);
  return undefined;
}

export const MUTABLE_NAMES = ['replicas', 'minInSync', 'iops', 'bytesPerSecond'] as const;
export const CLASS_NAMES = [...MUTABLE_NAMES, 'shards', 'zones', 'poolTags', ...NODE_PARAMETERS] as const;

function unknown({ values, problems, where }: Take, names: readonly string[]): void {
  for (const name of Object.keys(values))
    if (!names.includes(name) && !name.startsWith(SIDECAR_PREFIX))
      problems.push(`${where}.${name}: no such parameter, there are ${names.join(', ')}`);
}

function mutable(take: Take): Mutable {
  const found = {
    replicas: whole(take, 'replicas', 1, REPLICAS_MAX),
    minInSync: whole(take, 'minInSync', 1, REPLICAS_MAX),
    iops: whole(take, 'iops', 0, Number.MAX_SAFE_INTEGER),
    bytesPerSecond: whole(take, 'bytesPerSecond', 0, Number.MAX_SAFE_INTEGER),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

export type Parsed<Value> = { value: Value; problems: [] } | { value: null; problems: string[] };
const parsed = <Value>(value: Value, problems: string[]): Parsed<Value> =>
  problems.length > 0 ? { value: null, problems } : { value, problems: [] };

/** Of a VolumeAttributesClass: what may change later. */
export function parseMutable(values: Values): Parsed<Mutable> {
  const take: Take = { values, problems: [], where: 'mutableParameters' };
  unknown(take, MUTABLE_NAMES);
  const value = mutable(take);
  return parsed(value, take.problems);
}

const listOf = (text: string | undefined): string[] =>
  [...new Set((text ?? '').split(',').map((one) => one.trim()))].filter((one) => one !== '');

export type ClassParameters = { spec: ClassSpec; node: Record<string, string> };

/** Of a StorageClass, and of the VolumeAttributesClass that the claim begins with, which wins. */
export function parseClass(values: Values, attributes: Values): Parsed<ClassParameters> {
  const take: Take = { values, problems: [], where: 'parameters' };
  unknown(take, CLASS_NAMES);
  const later = parseMutable(attributes);
  take.problems.push(...later.problems);
  const { replicas = 3, minInSync, iops = 0, bytesPerSecond = 0 } = { ...mutable(take), ...later.value };
  if (minInSync !== undefined && minInSync > replicas)
    take.problems.push(`parameters.minInSync: may not be more than replicas (is ${minInSync}, replicas ${replicas})`);
  const shards = whole(take, 'shards', 1, SHARDS_MAX) ?? 1;
  const zones = choice(take, 'zones', ZONES) ?? 'Prefer';
  choice(take, 'fsType', FILE_SYSTEMS);
  const spec: ClassSpec = {
    replicas,
    shards,
    ...(minInSync === undefined ? {} : { minInSync }),
    placement: { nodeSelector: {}, poolTags: listOf(values.poolTags), zones },
    limits: { iops, bytesPerSecond },
  };
  const node = Object.fromEntries(NODE_PARAMETERS.flatMap((name) => (values[name] ? [[name, values[name]]] : [])));
  return parsed({ spec, node }, take.problems);
}
