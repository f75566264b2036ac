/** The kinds of values a configuration may hold. Pure: a path is checked for its form, never for being there. */
import type { Kind, Parsed } from './parameters.ts';

/** More is a mistake, and would only fill the message about it. */
const LIST_LENGTH_MAX = 64;

export type HostPort = { readonly host: string; readonly port: number };

const kind = <Value>(unit: string, parse: (text: string) => Parsed<Value>, showsValue = true): Kind<Value> => ({ unit, showsValue, parse });

export const text = (unit: string, pattern: RegExp, rule: string): Kind<string> =>
  kind(unit, (given) => (pattern.test(given) ? { value: given } : { rule }));

/** A Kubernetes name, also one segment of an etcd key and of a path. */
export const name: Kind<string> = text(
  'name',
  /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
  'must be lower-case letters, digits, dashes and dots, at most 253',
);

export const anyText: Kind<string> = text('text', /^[^\n\0]{0,1024}$/, 'must be one line of at most 1024 characters');

export const choice = <Choice extends string>(...choices: readonly Choice[]): Kind<Choice> =>
  kind(choices.join(' | '), (given) => {
    const value = choices.find((one) => one === given);
    return value === undefined ? { rule: `must be one of ${choices.join(', ')}` } : { value };
  });

export const wholeNumber = (unit: string, min: number, max: number): Kind<number> =>
  kind(unit, (given) => {
    const value = /^-?\d{1,16}$/.test(given) ? Number(given) : Number.NaN;
    return value >= min && value <= max ? { value } : { rule: `must be a whole number from ${min} to ${max} (${unit})` };
  });

export const absolutePath: Kind<string> = kind('/path', (given) => {
  if (!given.startsWith('/')) return { rule: 'must be an absolute path' };
  return given.includes('\0') || given.length > 4095 ? { rule: 'must be a path of at most 4095 characters' } : { value: given };
});

/** Port 0: any that is free. */
export const hostPort: Kind<HostPort> = kind('host:port', (given) => {
  const [, host, port] = /^(\[[0-9a-fA-F:.]+\]|[0-9a-zA-Z.-]+):(\d{1,5})$/.exec(given) ?? [];
  if (host === undefined || port === undefined || Number(port) > 65_535) return { rule: 'must be host:port, as 0.0.0.0:9443 or [::]:9443' };
  return { value: { host: host.replace(/^\[|\]$/g, ''), port: Number(port) } };
});

export const formatHostPort = ({ host, port }: HostPort): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/** Comma separated; the first wrong part is named. */
export function list<Value>(unit: string, min: number, parsePart: (part: string) => Parsed<Value>): Kind<readonly Value[]> {
  return kind(
    unit,
    (given) => {
      const parts = given.split(',').filter((part) => part.trim() !== '');
      if (parts.length < min) return { rule: `must name at least ${min} (${unit})` };
      if (parts.length > LIST_LENGTH_MAX) return { rule: `may name at most ${LIST_LENGTH_MAX} (${unit}), not ${parts.length}` };
      const values: Value[] = [];
      for (const part of parts) {
        const parsed = parsePart(part.trim());
        if ('rule' in parsed) return parsed;
        values.push(parsed.value);
      }
      return { value: Object.freeze(values) };
    },
    false,
  );
}

const parseUrl = (given: string): Parsed<string> => {
  const url = URL.canParse(given) ? new URL(given) : null;
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') return { rule: `${given} is not an https URL` };
  if (url.pathname !== '/' || url.search !== '' || url.username !== '') return { rule: `${given} must be only https://host:port` };
  return url.port === '' && !/:\d+\/?$/.test(given) ? { rule: `${given} must name its port` } : { value: given.replace(/\/$/, '') };
};

/** http is for tests; a program with certificates refuses it as a relation. */
export const urls: Kind<readonly string[]> = list('https://host:port,...', 1, parseUrl);

/** `name=value,...`, each name once. */
export function map(unit: string, parsePair: (name: string, value: string) => string | null): Kind<ReadonlyMap<string, string>> {
  const pairs = list(unit, 0, (part): Parsed<readonly [string, string]> => {
    const at = part.indexOf('=');
    if (at < 1) return { rule: `${part} must be ${unit.split(',')[0]}` };
    const pair = [part.slice(0, at), part.slice(at + 1)] as const;
    const rule = parsePair(...pair);
    return rule === null ? { value: pair } : { rule };
  });
  const parse = (given: string): Parsed<ReadonlyMap<string, string>> => {
    const parsed = pairs.parse(given);
    if ('rule' in parsed) return parsed;
    const twice = parsed.value.find(([key], index) => parsed.value.findIndex(([other]) => other === key) !== index);
    return twice === undefined ? { value: new Map(parsed.value) } : { rule: `names ${twice[0]} twice` };
  };
  return kind(unit, parse, false);
}

const LABEL_NAME = /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;

export const labels = map('name=value,...', (label, value) => {
  if (!LABEL_NAME.test(label)) return `${label} is not a label's name`;
  return LABEL_VALUE.test(value) ? null : `${value} is not a label's value`;
});

export const pools = map('name=/path,...', (pool, path) => {
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(pool))
    return `${pool} is not a pool's name: lower-case letters, digits and dashes, at most 63`;
  return path.startsWith('/') ? null : `${path} is not an absolute path`;
});
