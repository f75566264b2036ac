/**
 * Every route of the REST API: what it takes, what it answers. The one place: the server is made from this table, and so is the OpenAPI document. What a route
 * does is in `operations.ts`.
 */
import { PHASES } from '../metrics.ts';
import type { JsonSchema, Parameter } from './schema.ts';

export type Method = 'get' | 'post' | 'patch' | 'put' | 'delete';

export type Route = {
  readonly method: Method;
  readonly path: string;
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  /** Component of the body's schema. */
  readonly body?: string;
  readonly bodyType?: 'application/json' | 'application/merge-patch+json';
  /** By status: component of the answer's schema; null: no body. */
  readonly answers: Readonly<Record<number, string | null>>;
  /** Answered without a token: tells nothing of this cluster. */
  readonly isOpen?: true;
  /** May be asked to hold the answer back. */
  readonly isLong?: 'always' | 'watch';
  /** Takes If-Match. */
  readonly isConditional?: true;
};

export const TIMEOUT_SECONDS_MAX = 60;
const LIST_MAX = 500;
const TASKS_MAX = 5_000;

const name: Parameter = {
  name: 'name',
  in: 'path',
  schema: { type: 'string', maxLength: 253, pattern: '^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$' },
  description: 'Of the object.',
};
const text = (parameter: string, description: string, maxLength = 253): Parameter => ({
  name: parameter,
  in: 'query',
  schema: { type: 'string', maxLength },
  description,
});
/** Goes into a field selector, where other characters would mean something. */
const word = (parameter: string, description: string): Parameter => ({
  name: parameter,
  in: 'query',
  schema: { type: 'string', maxLength: 253, pattern: '^[A-Za-z0-9][A-Za-z0-9.-]*$' },
  description,
});
const choice = (parameter: string, choices: readonly string[], description: string): Parameter => ({
  name: parameter,
  in: 'query',
  schema: { type: 'string', maxLength: 64, enum: choices },
  description,
});
const limit = (maximum: number): Parameter => ({
  name: 'limit',
  in: 'query',
  schema: { type: 'integer', minimum: 1, maximum, default: LIST_MAX },
  description: 'How many to look at for one answer; with a filter there may be fewer in it. `continue` leads on.',
});
const next = text('continue', 'From the answer before: what comes after it. For objects it is good for some minutes.', 4_096);
const timeoutSeconds: Parameter = {
  name: 'timeoutSeconds',
  in: 'query',
  schema: { type: 'integer', minimum: 1, maximum: TIMEOUT_SECONDS_MAX, default: 30 },
  description: 'How long to wait at most.',
};
const LIST: readonly Parameter[] = [
  limit(LIST_MAX),
  next,
  text('labelSelector', 'As Kubernetes writes it: disk=nvme,tier in (a,b).', 1_024),
  { name: 'watch', in: 'query', schema: { type: 'boolean' }, description: 'Answer as soon as something changed after `resourceVersion`.' },
  word('resourceVersion', 'With watch: that of the list, or of the poll before.'),
  timeoutSeconds,
];
const SNAPSHOT_PHASES = ['Pending', 'Taking', 'Ready', 'Failed', 'Deleting'];

const list = (path: string, plural: string, kind: string, filters: readonly Parameter[]): Route => ({
  method: 'get',
  path,
  summary: `The ${plural}; with watch=true, the first change after a version.`,
  parameters: [...LIST, ...filters],
  answers: { 200: `${kind}ListOrChanges` },
  isLong: 'watch',
});
const get = (path: string, kind: string, what: string): Route => ({
  method: 'get',
  path,
  summary: what,
  parameters: [name],
  answers: { 200: kind },
});
const create = (path: string, kind: string, what: string): Route => ({
  method: 'post',
  path,
  summary: what,
  parameters: [],
  body: `${kind}Creation`,
  bodyType: 'application/json',
  answers: { 201: kind },
});
const patch = (path: string, kind: string, what: string): Route => ({
  method: 'patch',
  path,
  summary: what,
  parameters: [name],
  body: `${kind}Patch`,
  bodyType: 'application/merge-patch+json',
  answers: { 200: kind },
  isConditional: true,
});
const remove = (path: string, kind: string, what: string): Route => ({
  method: 'delete',
  path,
  summary: what,
  parameters: [name],
  answers: { 202: kind, 204: null },
  isConditional: true,
});

const TASK_STATES = ['filed', 'running', 'done', 'failed'];
const byNode = word('node', 'Only those that have a part on this node.');

export const ROUTES = {
  listVolumes: list('/v1/volumes', 'volumes', 'Volume', [choice('phase', PHASES, 'Only volumes in this phase.'), byNode]),
  createVolume: create('/v1/volumes', 'Volume', 'Makes a volume. It is Pending or Creating first; `wait` tells when it is Healthy.'),
  getVolume: get('/v1/volumes/{name}', 'Volume', 'One volume, as it is now.'),
  patchVolume: patch('/v1/volumes/{name}', 'Volume', 'Changes what is wanted of a volume: a merge patch of spec, labels and annotations.'),
  deleteVolume: remove('/v1/volumes/{name}', 'Volume', 'Deletes a volume with all its replicas. 202: it is being done.'),
  waitForVolume: {
    method: 'get',
    path: '/v1/volumes/{name}/wait',
    summary: 'Answers when the volume is in the phase, or the time is over (reached: false), with the progress of its replicas.',
    parameters: [name, choice('phase', PHASES, 'Left out: Healthy.'), timeoutSeconds],
    answers: { 200: 'Wait' },
    isLong: 'always',
  },
  listNodes: list('/v1/nodes', 'nodes that keep replicas, each with what its agent runs', 'Node', []),
  getNode: get('/v1/nodes/{name}', 'Node', 'One node.'),
  patchNode: patch('/v1/nodes/{name}', 'Node', 'Changes what is wanted of a node: schedulable, maintenance, evict.'),
  deleteNode: remove('/v1/nodes/{name}', 'Node', 'Says that the node is gone for good: what it kept counts as lost at once.'),
  listSnapshots: list('/v1/snapshots', 'snapshots', 'Snapshot', [
    choice('phase', SNAPSHOT_PHASES, 'Only snapshots in this phase.'),
    word('volume', 'Only those of the volume of this name.'),
    byNode,
  ]),
  createSnapshot: create('/v1/snapshots', 'Snapshot', 'Takes a snapshot of a volume.'),
  getSnapshot: get('/v1/snapshots/{name}', 'Snapshot', 'One snapshot.'),
  patchSnapshot: patch('/v1/snapshots/{name}', 'Snapshot', 'Changes labels and annotations of a snapshot; its volume never changes.'),
  deleteSnapshot: remove('/v1/snapshots/{name}', 'Snapshot', 'Deletes a snapshot.'),
  listTasks: {
    method: 'get',
    path: '/v1/tasks',
    summary: 'What is filed, running, and ended of late, straight from etcd.',
    parameters: [
      limit(TASKS_MAX),
      next,
      text('volume', 'Name or uid of the volume.'),
      text('node', 'Who shall do it.'),
      choice('state', TASK_STATES, 'Only tasks in this state.'),
    ],
    answers: { 200: 'TaskList' },
  },
  getTask: {
    method: 'get',
    path: '/v1/tasks/{id}',
    summary: 'One task.',
    parameters: [{ name: 'id', in: 'path', schema: { type: 'string', maxLength: 512 }, description: 'As listed.' }],
    answers: { 200: 'Task' },
  },
  getSettings: { method: 'get', path: '/v1/settings', summary: "Every agent's settings.", parameters: [], answers: { 200: 'Settings' } },
  replaceSettings: {
    method: 'put',
    path: '/v1/settings',
    summary: 'Changes the settings: the whole set, or nothing of it.',
    parameters: [],
    body: 'SettingsReplacement',
    bodyType: 'application/json',
    answers: { 200: 'Settings' },
    isConditional: true,
  },
  document: { method: 'get', path: '/openapi.json', summary: 'This document.', parameters: [], answers: { 200: 'Document' }, isOpen: true },
} as const satisfies Record<string, Route>;

export type OperationName = keyof typeof ROUTES;
export type { JsonSchema };
