/**
 * Reads values that came from outside (JSON of a peer or of etcd) field by field. What breaks a rule ends as a sentence that names the place and the
 * rule; must never let a value through that its type does not promise, nor a field that nobody reads.
 */

export type Parsed<Value> = { readonly value: Value; readonly problem: null } | { readonly value: null; readonly problem: string };

/** Thrown by the readers below and caught by `parsed` only. */
class BadInput extends Error {
  override readonly name = 'BadInput';
}

const SHOWN_CHARACTERS_MAX = 64;

function shown(input: unknown): string {
  const text = JSON.stringify(input) ?? String(input);
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
}

/** What `read` makes of its input, or the first rule that was broken. */
export function parsed<Value>(read: () => Value): Parsed<Value> {
  try {
    return { value: read(), problem: null };
  } catch (error) {
    if (error instanceof BadInput) return { value: null, problem: error.message };
    throw error;
  }
}

export function parsedJson<Value>(text: string, what: string, read: (input: unknown) => Value): Parsed<Value> {
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { value: null, problem: `${what} must be JSON` };
  }
  return parsed(() => read(input));
}

export function demand(holds: boolean, where: string, rule: string): asserts holds {
  if (!holds) throw new BadInput(`${where} ${rule}`);
}

/** An object whose fields are all of `fields`. */
export class Fields {
  readonly where: string;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(input: unknown, where: string, fields: readonly string[]) {
    demand(typeof input === 'object' && input !== null && !Array.isArray(input), where, `must be an object, not ${shown(input)}`);
    const unknown = Object.keys(input).find((key) => !fields.includes(key));
    demand(unknown === undefined, where, `must not have a field ${shown(unknown)}`);
    this.where = where;
    this.#fields = input as Record<string, unknown>;
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#fields, key);
  }

  get(key: string): unknown {
    return this.has(key) ? this.#fields[key] : undefined;
  }

  place(key: string): string {
    return `${this.where}.${key}`;
  }

  text(key: string, charactersMax: number): string {
    const value = this.get(key);
    const holds = typeof value === 'string' && value.length >= 1 && value.length <= charactersMax;
    demand(holds, this.place(key), `must be a text of 1 to ${charactersMax} characters, not ${shown(value)}`);
    return value as string;
  }

  /** A text in a form that `isIt` knows and `form` says in words. */
  formed(key: string, isIt: (text: string) => boolean, form: string): string {
    const value = this.get(key);
    demand(typeof value === 'string' && isIt(value), this.place(key), `must be ${form}, not ${shown(value)}`);
    return value;
  }

  oneOf<Choice extends string>(key: string, choices: readonly Choice[]): Choice {
    const value = this.get(key);
    const choice = choices.find((each) => each === value);
    demand(choice !== undefined, this.place(key), `must be one of ${choices.join(', ')}, not ${shown(value)}`);
    return choice;
  }

  whole(key: string, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.get(key);
    const holds = Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;
    demand(holds, this.place(key), `must be a whole number from ${min} to ${max}, not ${shown(value)}`);
    return value as number;
  }

  flag(key: string): boolean {
    const value = this.get(key);
    demand(typeof value === 'boolean', this.place(key), `must be true or false, not ${shown(value)}`);
    return value;
  }

  list<Item>(key: string, lengthMin: number, lengthMax: number, read: (input: unknown, where: string) => Item): Item[] {
    const value = this.get(key);
    const holds = Array.isArray(value) && value.length >= lengthMin && value.length <= lengthMax;
    demand(holds, this.place(key), `must be a list of ${lengthMin} to ${lengthMax}`);
    return (value as unknown[]).map((item, index) => read(item, `${this.place(key)}[${index}]`));
  }
}
