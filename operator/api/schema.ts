/** JSON Schema as far as this API uses it, and how a parameter's text becomes a value. Pure. */
import type { RequestProblem } from '../../edge/http/errors.ts';

export type JsonSchema = { readonly [keyword: string]: unknown };

export type ParameterSchema =
  | { readonly type: 'string'; readonly maxLength: number; readonly pattern?: string; readonly enum?: readonly string[] }
  | { readonly type: 'integer'; readonly minimum: number; readonly maximum: number; readonly default?: number }
  | { readonly type: 'boolean' };

export type Parameter = {
  readonly name: string;
  readonly in: 'path' | 'query';
  readonly schema: ParameterSchema;
  readonly description: string;
};

type Parsed = { value: string | number | boolean } | { problem: string };

function parseString(schema: Extract<ParameterSchema, { type: 'string' }>, text: string): Parsed {
  if (text.length > schema.maxLength) return { problem: `may have at most ${schema.maxLength} characters` };
  if (schema.enum !== undefined && !schema.enum.includes(text)) return { problem: `must be one of ${schema.enum.join(', ')} (is ${text})` };
  if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(text)) return { problem: `must be like ${schema.pattern}` };
  return { value: text };
}

function parseInteger({ minimum, maximum }: Extract<ParameterSchema, { type: 'integer' }>, text: string): Parsed {
  const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  return value >= minimum && value <= maximum
    ? { value }
    : { problem: `must be a whole number from ${minimum} to ${maximum} (is ${text.slice(0, 20)})` };
}

function parseText(schema: ParameterSchema, text: string): Parsed {
  switch (schema.type) {
    case 'string':
      return parseString(schema, text);
    case 'integer':
      return parseInteger(schema, text);
    case 'boolean':
      return text === 'true' || text === 'false' ? { value: text === 'true' } : { problem: 'must be true or false' };
  }
}

export type Texts = Readonly<Record<string, unknown>>;
export type ParameterValues = { values: Record<string, string | number | boolean>; problems: RequestProblem[] };

/** Everything that is wrong, also parameters that there are none of: what is misspelt must not pass for left out. */
export function parseParameters(table: readonly Parameter[], path: Texts, query: Texts): ParameterValues {
  const values: ParameterValues['values'] = {};
  const problems: RequestProblem[] = Object.keys(query)
    .filter((name) => !table.some((parameter) => parameter.in === 'query' && parameter.name === name))
    .map((name) => ({ field: name.slice(0, 64), message: 'is no parameter of this request' }));
  for (const { name, in: where, schema } of table) {
    const text = where === 'path' ? path[name] : query[name];
    if (text === undefined) {
      if ('default' in schema && schema.default !== undefined) values[name] = schema.default;
      continue;
    }
    const parsed: Parsed = typeof text === 'string' ? parseText(schema, text) : { problem: 'may be given once' };
    if ('problem' in parsed) problems.push({ field: name, message: parsed.problem });
    else values[name] = parsed.value;
  }
  return { values, problems };
}
