/**
 * The machinery of a program's configuration: one table of rows (key, kind, default, reason) gives either a frozen typed object or the list of
 * ALL problems. Pure: it is handed the environment and never reads it. What only the machine can tell (does a file exist) is checked by the
 * program, which adds its own problems to the same list.
 */

export type Problem = {
  /** The environment variable: `POOLS`. */
  readonly key: string;
  /** Shown as `KEY=value`. Left out where the rule itself names the part that is wrong. */
  readonly value?: string;
  /** In words, so that it follows the key: `must be at least 4 x HEARTBEAT_MS (200)`. */
  readonly rule: string;
};

export type Parsed<Value> = { readonly value: Value } | { readonly rule: string };

/** What a kind of value is. `unit` is for people: `ms`, `host:port`, `name=/path,...`. */
export type Kind<Value> = {
  readonly unit: string;
  /** False: problems name the wrong part themselves, the whole value is not shown. */
  readonly showsValue: boolean;
  parse(text: string): Parsed<Value>;
};

export type Row<Value> = {
  readonly key: string;
  readonly kind: Kind<Value>;
  /** As it would stand in the environment. Null: must be set. */
  readonly fallback: string | null;
  /** Why it exists, and why the default is what it is. */
  readonly reason: string;
};

export type ParameterTable = { readonly [name: string]: Row<unknown> };
export type ParametersOf<Table extends ParameterTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Row<infer Value> ? Value : never;
};
export type Environment = { readonly [key: string]: string | undefined };

export const row = <Value>(key: string, kind: Kind<Value>, fallback: string | null, reason: string): Row<Value> => ({
  key,
  kind,
  fallback,
  reason,
});

type ParseResult<Parameters> =
  | { readonly parameters: Parameters; readonly problems: readonly [] }
  | { readonly parameters: null; readonly problems: readonly Problem[] };

/** `relations` is asked only when every value is good by itself: a rule between two values says nothing of a bad one. */
export function parseParameters<Table extends ParameterTable>(
  table: Table,
  environment: Environment,
  relations: (parameters: ParametersOf<Table>) => readonly Problem[] = () => [],
): ParseResult<ParametersOf<Table>> {
  const problems: Problem[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(table)) {
    const result = parseRow(entry, environment[entry.key]);
    if ('rule' in result) problems.push(result);
    else values[name] = result.value;
  }
  if (problems.length > 0) return { parameters: null, problems };
  const parameters = Object.freeze(values) as ParametersOf<Table>;
  const broken = relations(parameters);
  return broken.length > 0 ? { parameters: null, problems: broken } : { parameters, problems: [] };
}

/** An empty variable is one that is not set: that is how a chart leaves one out. */
function parseRow(entry: Row<unknown>, given: string | undefined): { value: unknown } | Problem {
  const text = given === undefined || given === '' ? entry.fallback : given;
  if (text === null) return { key: entry.key, rule: `must be set (${entry.kind.unit}): ${entry.reason}` };
  const parsed = entry.kind.parse(text);
  if ('value' in parsed) return parsed;
  return { key: entry.key, ...(entry.kind.showsValue ? { value: text } : {}), rule: parsed.rule };
}

/** What people see, ready to print. */
export function describeProblems(program: string, problems: readonly Problem[]): string {
  const names = problems.map(({ key, value }) => (value === undefined ? key : `${key}=${value}`));
  const width = Math.max(0, ...names.map((name) => name.length));
  const lines = problems.map(({ rule }, index) => `  ${(names[index] ?? '').padEnd(width)}   ${rule}`);
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  return [`${program}: ${count} in the configuration, nothing started:`, ...lines].join('\n');
}

/** Thrown by a program's start; `runProgram` prints it and exits with 2. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super(problems.map(({ key, rule }) => `${key} ${rule}`).join('; '));
    this.problems = problems;
  }
}

/** The parameters, or ConfigurationError with every problem. */
export function requireParameters<Table extends ParameterTable>(
  table: Table,
  environment: Environment,
  relations?: (parameters: ParametersOf<Table>) => readonly Problem[],
): ParametersOf<Table> {
  const { parameters, problems } = parseParameters(table, environment, relations);
  if (parameters === null) throw new ConfigurationError(problems);
  return parameters;
}
