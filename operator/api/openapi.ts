/**
 * The API's document, OpenAPI 3.1: made from the table of routes and from the schemas of crds/, never written by hand. `test/unit/operator/api` and
 * `test/integration/operator/api.test.ts` hold it against what the server does. Pure.
 */
import { SETTINGS_TABLE } from '../../core/settings.ts';
import { SCHEMAS } from '../generated/schemas.ts';
import { ROUTES, type Route } from './routes.ts';
import type { JsonSchema } from './schema.ts';

const ref = (component: string): JsonSchema => ({ $ref: `#/components/schemas/${component}` });
const object = (properties: Record<string, JsonSchema>, optional: readonly string[] = []): JsonSchema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  additionalProperties: false,
});
const listOf = (items: JsonSchema): JsonSchema => ({ type: 'array', items });
const TEXT: JsonSchema = { type: 'string' };
const COUNT: JsonSchema = { type: 'integer', minimum: 0 };
const BOOLEAN: JsonSchema = { type: 'boolean' };
const MAP: JsonSchema = { type: 'object', additionalProperties: { type: ['string', 'null'] } };
const orNull = (schema: JsonSchema): JsonSchema => ({ oneOf: [schema, { type: 'null' }] });

type Kind = keyof typeof SCHEMAS;

const specOf = (kind: Kind): JsonSchema => SCHEMAS[kind].properties.spec;

/** Of a merge patch: every field may be left out, and null takes it away. */
function patchSchema(schema: JsonSchema): JsonSchema {
  const {
    required: _,
    default: __,
    ...rest
  } = schema as { required?: unknown; default?: unknown; properties?: Record<string, JsonSchema> };
  if (rest.properties === undefined) return { anyOf: [rest, { type: 'null' }] };
  return { ...rest, properties: Object.fromEntries(Object.entries(rest.properties).map(([name, one]) => [name, patchSchema(one)])) };
}

function componentsOf(kind: Kind, name: string, extra: Record<string, JsonSchema> = {}): Record<string, JsonSchema> {
  const schema: JsonSchema = SCHEMAS[kind];
  const head = { apiVersion: TEXT, kind: TEXT };
  return {
    [name]: {
      ...schema,
      properties: { ...(schema.properties as Record<string, JsonSchema>), ...extra },
      required: ['apiVersion', 'kind', 'metadata', 'spec', ...Object.keys(extra)],
      additionalProperties: false,
    },
    [`${name}Creation`]: object(
      { ...head, metadata: object({ name: TEXT, labels: MAP, annotations: MAP }, ['labels', 'annotations']), spec: specOf(kind) },
      ['apiVersion', 'kind'],
    ),
    [`${name}Patch`]: object(
      {
        ...head,
        metadata: object({ labels: MAP, annotations: MAP, resourceVersion: TEXT }, ['labels', 'annotations', 'resourceVersion']),
        spec: patchSchema(specOf(kind)),
      },
      ['apiVersion', 'kind', 'metadata', 'spec'],
    ),
    [`${name}List`]: object({ items: listOf(ref(name)), resourceVersion: TEXT, continue: orNull(TEXT), remaining: orNull(COUNT) }),
    [`${name}Changes`]: object({
      changes: listOf(object({ type: { enum: ['ADDED', 'MODIFIED', 'DELETED'] }, object: ref(name) })),
      resourceVersion: TEXT,
    }),
    [`${name}ListOrChanges`]: { oneOf: [ref(`${name}List`), ref(`${name}Changes`)] },
  };
}

const AGENT = orNull(object({ instance: TEXT, version: TEXT, settingsVersion: COUNT, bootId: TEXT }));
const SETTINGS = object(
  Object.fromEntries(
    SETTINGS_TABLE.map(({ key, unit, min, max, reason }) => [
      key,
      { type: 'integer', minimum: min, maximum: max, description: `${reason} (${unit})` },
    ]),
  ),
);
const TASK = object(
  {
    id: TEXT,
    node: TEXT,
    spec: { type: 'object', required: ['kind', 'volume'], properties: { kind: TEXT, volume: TEXT } },
    attempt: COUNT,
    filedBy: COUNT,
    traceId: TEXT,
    state: { enum: ['filed', 'running', 'done', 'failed'] },
    progress: object({ doneBytes: COUNT, totalBytes: COUNT }),
    error: TEXT,
    claimedBy: orNull(object({ node: TEXT, instance: TEXT })),
    isHistory: BOOLEAN,
  },
  ['progress', 'error'],
);

export const COMPONENTS: Readonly<Record<string, JsonSchema>> = {
  ...componentsOf('Volume', 'Volume'),
  ...componentsOf('StorageNode', 'Node', { agent: AGENT }),
  ...componentsOf('Snapshot', 'Snapshot'),
  Wait: object({ reached: BOOLEAN, volume: ref('Volume') }),
  Task: { ...TASK, additionalProperties: true },
  TaskList: object({ items: listOf(ref('Task')), continue: orNull(TEXT), remaining: COUNT }),
  Settings: object({
    version: COUNT,
    values: SETTINGS,
    configured: SETTINGS,
    change: orNull(object({ by: TEXT, traceId: TEXT })),
    table: listOf(object({ name: TEXT, unit: TEXT, default: COUNT, min: COUNT, max: COUNT, reason: TEXT })),
  }),
  SettingsReplacement: object({ values: SETTINGS }),
  Document: { type: 'object', required: ['openapi', 'info', 'paths', 'components'] },
  Error: object({
    error: object(
      {
        code: { ...TEXT, description: 'One word for programs.' },
        message: { ...TEXT, description: 'A sentence for people: what was attempted, what was found, what to do.' },
        problems: listOf(object({ field: TEXT, message: TEXT })),
        versions: object({ given: TEXT, current: TEXT }),
        traceId: { ...TEXT, description: 'The log has more under it.' },
      },
      ['problems', 'versions'],
    ),
  }),
};

const ERRORS: Readonly<Record<number, string>> = {
  400: 'A parameter, or the body, is not of the form that this document says.',
  401: 'No token, or one that the API server does not accept.',
  403: 'The caller may not do this.',
  404: 'There is no such object.',
  409: 'It has changed, exists already, or is based on another version than what is there.',
  410: 'The version to go on from is too old: list again.',
  413: 'The body is too large.',
  415: 'The body has another type than JSON.',
  422: 'What is asked for breaks a rule; every one is named.',
  429: 'Too many requests are under way; Retry-After says when to come again.',
  503: 'etcd or the API server cannot be asked; Retry-After says when to come again, the message whether anything was changed.',
};

const json = (component: string, type = 'application/json') => ({ content: { [type]: { schema: ref(component) } } });

function operationOf(name: string, route: Route): JsonSchema {
  const ifMatch = {
    name: 'If-Match',
    in: 'header',
    schema: TEXT,
    description: 'The version that the change is based on, as ETag told it: another one there is a 409.',
  };
  const errors = route.isOpen ? [] : Object.entries(ERRORS);
  return {
    operationId: name,
    summary: route.summary,
    parameters: [
      ...route.parameters.map((parameter) => ({ ...parameter, required: parameter.in === 'path' })),
      ...(route.isConditional ? [ifMatch] : []),
    ],
    ...(route.body === undefined ? {} : { requestBody: { required: true, ...json(route.body, route.bodyType) } }),
    responses: Object.fromEntries([
      ...Object.entries(route.answers).map(([status, component]) => [
        status,
        { description: status === '202' ? 'It is being done.' : 'It is done.', ...(component === null ? {} : json(component)) },
      ]),
      ...errors.map(([status, description]) => [status, { description, ...json('Error') }]),
    ]),
    ...(route.isOpen ? { security: [] } : {}),
  };
}

export function openApiDocument(version: string): JsonSchema {
  const paths: Record<string, Record<string, JsonSchema>> = {};
  for (const [name, route] of Object.entries<Route>(ROUTES)) {
    paths[route.path] = { ...paths[route.path], [route.method]: operationOf(name, route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Holdfast',
      version,
      description:
        'Replicated block volumes. Every answer is linearizable, or 503. A header traceparent is taken up, put on the object, and found again in tasks and logs.',
    },
    security: [{ token: [] }],
    paths,
    components: { schemas: COMPONENTS, securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
  };
}
