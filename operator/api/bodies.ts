/**
 * What a body may hold, before it goes to the API server, which judges all that lies in `spec`. Pure. Must name everything that is wrong, and never pass on a
 * field that somebody would believe to be in force.
 */
import { parseSettings, SETTINGS_TABLE, type Settings } from '../../core/settings.ts';
import { formatTraceparent, type Trace } from '../../core/trace.ts';
import { HttpError, type RequestProblem } from '../../edge/http/errors.ts';
import { API_VERSION, KIND_OF, type Resource, TRACEPARENT_ANNOTATION } from '../api.ts';

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

export function invalid(problems: readonly RequestProblem[]): HttpError {
  const words = problems.map(({ field, message }) => `${field} ${message}`);
  return new HttpError(422, 'Invalid', words.join('; '), { problems });
}

export function fieldsOf(body: unknown): Fields {
  if (isFields(body)) return body;
  throw new HttpError(415, 'BadRequest', 'a JSON object is needed as body, with Content-Type: application/json');
}

const unknownFields = (fields: Fields, known: readonly string[], prefix: string): RequestProblem[] =>
  Object.keys(fields)
    .filter((field) => !known.includes(field))
    .map((field) => ({ field: `${prefix}${field.slice(0, 64)}`, message: 'cannot be set here' }));

function headProblems(body: Fields, resource: Resource): RequestProblem[] {
  const expected: [field: string, value: string][] = [
    ['apiVersion', API_VERSION],
    ['kind', KIND_OF[resource]],
  ];
  return expected.flatMap(([field, value]) =>
    body[field] === undefined || body[field] === value ? [] : [{ field, message: `must be ${value}, or left out` }],
  );
}

const mapProblems = (metadata: Fields): RequestProblem[] =>
  ['labels', 'annotations'].flatMap((field) =>
    metadata[field] === undefined || isFields(metadata[field]) ? [] : [{ field: `metadata.${field}`, message: 'must be a map' }],
  );

/** What is created: named, and with the trace of who asked for it. */
export function newObject(body: unknown, resource: Resource, trace: Trace): Fields {
  const fields = fieldsOf(body);
  const metadata = isFields(fields.metadata) ? fields.metadata : {};
  const problems = [
    ...unknownFields(fields, ['apiVersion', 'kind', 'metadata', 'spec'], ''),
    ...headProblems(fields, resource),
    ...unknownFields(metadata, ['name', 'labels', 'annotations'], 'metadata.'),
    ...mapProblems(metadata),
    ...(typeof metadata.name === 'string' && metadata.name !== '' ? [] : [{ field: 'metadata.name', message: 'must be given' }]),
    ...(isFields(fields.spec) ? [] : [{ field: 'spec', message: 'must be given, as a map' }]),
  ];
  if (problems.length > 0) throw invalid(problems);
  return {
    apiVersion: API_VERSION,
    kind: KIND_OF[resource],
    metadata: { ...metadata, annotations: traced(metadata, trace) },
    spec: fields.spec,
  };
}

/** A merge patch of spec, labels and annotations. The version may stand in If-Match or, as Kubernetes has it, in the patch. */
export function patchOf(
  body: unknown,
  resource: Resource,
  trace: Trace,
  ifMatch: string | null,
): { patch: Fields; version: string | null } {
  const fields = fieldsOf(body);
  const metadata = isFields(fields.metadata) ? fields.metadata : {};
  const own = typeof metadata.resourceVersion === 'string' && metadata.resourceVersion !== '' ? metadata.resourceVersion : null;
  const problems = [
    ...unknownFields(fields, ['apiVersion', 'kind', 'metadata', 'spec'], ''),
    ...headProblems(fields, resource),
    ...unknownFields(metadata, ['labels', 'annotations', 'resourceVersion'], 'metadata.'),
    ...mapProblems(metadata),
    ...(fields.spec === undefined || isFields(fields.spec) ? [] : [{ field: 'spec', message: 'must be a map' }]),
    ...(own !== null && ifMatch !== null && own !== ifMatch
      ? [{ field: 'metadata.resourceVersion', message: `must be the version of If-Match (${ifMatch}), or left out` }]
      : []),
  ];
  if (problems.length > 0) throw invalid(problems);
  const version = ifMatch ?? own;
  const { labels } = metadata;
  const changed = { ...(labels === undefined ? {} : { labels }), annotations: traced(metadata, trace) };
  const based = version === null ? {} : { resourceVersion: version };
  return { patch: { metadata: { ...changed, ...based }, ...(fields.spec === undefined ? {} : { spec: fields.spec }) }, version };
}

const traced = (metadata: Fields, trace: Trace): Fields => ({
  ...(isFields(metadata.annotations) ? metadata.annotations : {}),
  [TRACEPARENT_ANNOTATION]: formatTraceparent(trace),
});

/** The whole set: a name that is left out would fall back to its default without anybody having said so. */
export function settingsOf(body: unknown): Settings {
  const fields = fieldsOf(body);
  const values = isFields(fields.values) ? fields.values : {};
  const missing = SETTINGS_TABLE.filter(({ key }) => values[key] === undefined);
  const { settings, problems } = parseSettings(values);
  const all: RequestProblem[] = [
    ...unknownFields(fields, ['values'], ''),
    ...missing.map(({ key }) => ({ field: `values.${key}`, message: 'must be given: PUT replaces all of them' })),
    ...problems.map(({ key, value, rule }) => ({ field: `values.${key}`, message: `${rule} (is ${JSON.stringify(value)})` })),
  ];
  if (settings === null || all.length > 0) throw invalid(all);
  return settings;
}
