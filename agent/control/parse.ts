/**
 * What this agent reads from etcd and others wrote, as values. Pure. A task is read strictly: what an agent did not understand it must not do half.
 * Of machines and reports only the fields that concern another agent are looked at, so that newer agents may tell more.
 */
import { isHexId } from '../../core/ids.ts';
import type { MachineState, ServingReport } from '../../core/machine.ts';
import { Fields, type Parsed, parsedJson } from '../../core/parse.ts';
import { NAME_CHARACTERS_MAX, readReplicaId, readSnapshotUid, readUid } from '../../core/parseConfig.ts';
import type { Claim, CloneSource, Task, TaskSpec, TaskState } from '../../core/task.ts';
import { rangeOf, type VersionRange } from '../../core/versions.ts';

const TASK_STATES: readonly TaskState[] = ['filed', 'running', 'done', 'failed'];
const TASK_FIELDS = ['id', 'node', 'spec', 'attempt', 'filedBy', 'traceId', 'state', 'error'];
/** By kind: a field of another kind is refused. */
const SPEC_FIELDS = {
  'create-replica': ['kind', 'volume', 'replica', 'pool', 'sizeBytes', 'volumeName', 'source'],
  'delete-replica': ['kind', 'volume', 'replica', 'pool'],
  snapshot: ['kind', 'volume', 'snapshot'],
  'delete-snapshot': ['kind', 'volume', 'snapshot', 'pool'],
} as const satisfies Record<TaskSpec['kind'], readonly string[]>;
const SPEC_FIELDS_OF_ANY = [...new Set(Object.values(SPEC_FIELDS).flat())];
const ID_CHARACTERS_MAX = 253;
const TEXT_CHARACTERS_MAX = 16_384;

export const parseTask = (text: string): Parsed<Task> => parsedJson(text, 'a task', readTask);

function readTask(input: unknown): Task {
  const fields = new Fields(input, 'task', TASK_FIELDS);
  return {
    id: fields.text('id', ID_CHARACTERS_MAX),
    node: fields.text('node', NAME_CHARACTERS_MAX),
    spec: readSpec(fields.get('spec'), fields.place('spec')),
    attempt: fields.whole('attempt', 1),
    filedBy: fields.whole('filedBy', 0),
    traceId: fields.text('traceId', ID_CHARACTERS_MAX),
    state: fields.oneOf('state', TASK_STATES),
    ...(fields.has('error') ? { error: fields.text('error', TEXT_CHARACTERS_MAX) } : {}),
  };
}

function readSpec(input: unknown, where: string): TaskSpec {
  const kind = new Fields(input, where, SPEC_FIELDS_OF_ANY).oneOf('kind', Object.keys(SPEC_FIELDS) as TaskSpec['kind'][]);
  const fields = new Fields(input, where, SPEC_FIELDS[kind]);
  const volume = readUid(fields, 'volume');
  if (kind === 'snapshot') return { kind, volume, snapshot: readSnapshotUid(fields, 'snapshot') };
  const pool = fields.text('pool', NAME_CHARACTERS_MAX);
  if (kind === 'delete-snapshot') return { kind, volume, snapshot: readSnapshotUid(fields, 'snapshot'), pool };
  const replica = readReplicaId(fields, 'replica');
  if (kind === 'delete-replica') return { kind, volume, replica, pool };
  return {
    kind,
    volume,
    replica,
    pool,
    sizeBytes: fields.whole('sizeBytes', 1),
    volumeName: fields.text('volumeName', NAME_CHARACTERS_MAX),
    ...(fields.has('source') ? { source: readSource(fields.get('source'), fields.place('source')) } : {}),
  };
}

function readSource(input: unknown, where: string): CloneSource {
  const fields = new Fields(input, where, ['snapshot', 'attempt', 'replica']);
  return {
    snapshot: readSnapshotUid(fields, 'snapshot'),
    attempt: fields.whole('attempt', 1),
    replica: readReplicaId(fields, 'replica'),
  };
}

type Json = Record<string, unknown>;

function parseObject(text: string): Json | null {
  const { value } = parsedJson(text, 'it', (input) => input);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isId = (value: unknown): value is string => isText(value) && isHexId(value);

/** Who is registered, and where its pools answer. */
export type MachineIdentity = Pick<MachineState, 'node' | 'instance' | 'bootId'> & {
  addresses: { http: string };
  pools: { name: string; address?: string }[];
  /** Of the replication protocol. Left out: it says nothing of it. */
  protocol?: VersionRange;
};

export function parseMachine(text: string): MachineIdentity | null {
  const machine = parseObject(text);
  if (machine === null || !isText(machine.node) || !isId(machine.instance) || !isText(machine.bootId)) return null;
  const { node, instance, bootId } = machine as MachineIdentity;
  const { http } = (machine.addresses ?? {}) as Json;
  const speaks = machine.speaks as Json | undefined;
  const pools = Array.isArray(machine.pools) ? (machine.pools as (Json | null)[]) : [];
  return {
    node,
    instance,
    bootId,
    addresses: { http: isText(http) ? http : 'an unknown address' },
    pools: pools.flatMap((pool) => (isText(pool?.name) && isText(pool.address) ? { name: pool.name, address: pool.address } : [])),
    ...(speaks === undefined ? {} : { protocol: rangeOf(Object(speaks).protocol ?? null) }),
  };
}

export type ReportIdentity = Pick<ServingReport, 'instance' | 'epoch'>;

export function parseReport(text: string): ReportIdentity | null {
  const report = parseObject(text);
  return report !== null && isId(report.instance) && isCount(report.epoch) ? (report as ReportIdentity) : null;
}

export function parseClaim(text: string): Claim | null {
  const claim = parseObject(text);
  return claim !== null && isText(claim.node) && isId(claim.instance) && isCount(claim.attempt) ? (claim as Claim) : null;
}
