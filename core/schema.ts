/**
 * The schema of what stands in etcd (`schema`): which version's things may be there, and who may still read them. Pure. Every program looks at it before it acts: what it does
 * not know may have been a fence. Its own fields never change; others may come, and harm nobody who does not know them.
 */
import { formatRange, SCHEMA, type VersionRange } from './versions.ts';

export type SchemaRecord = {
  version: number;
  /** Programs that know this one, though not `version`, may go on. */
  lowestReader: number;
  /** The version of the program that wrote it, for people. */
  writtenBy: string;
};

/** Where nothing is said, as in a store of programs that knew of no other. */
const FIRST: SchemaRecord = { version: 1, lowestReader: 1, writtenBy: 'a version that did not say so' };

const isVersion = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1;

/** Null: it cannot be read. `text` null: there is none. */
export function parseSchema(text: string | null): SchemaRecord | null {
  if (text === null) return FIRST;
  try {
    const { version, lowestReader, writtenBy } = Object(JSON.parse(text)) as { [Field in keyof SchemaRecord]?: unknown };
    if (!isVersion(version) || !isVersion(lowestReader) || lowestReader > version) return null;
    return { version, lowestReader, writtenBy: typeof writtenBy === 'string' ? writtenBy : 'an unknown version' };
  } catch {
    return null;
  }
}

/** Why a program that knows `known` may not act on what stands in etcd; null: it may. */
export function schemaProblem(text: string | null, known: VersionRange = SCHEMA): string | null {
  const record = parseSchema(text);
  if (record === null) return `the schema of etcd cannot be read: ${text?.slice(0, 100)}`;
  const { version, lowestReader, writtenBy } = record;
  const found = `etcd is of schema ${version} (written by ${writtenBy})`;
  if (lowestReader > known.highest)
    return `${found}, which is for programs that know ${lowestReader} or later; this one knows ${formatRange(known)}: it is too old to act here`;
  if (version < known.lowest)
    return `${found}; this program knows ${formatRange(known)}: it is too new, upgrade by one version after the other`;
  return null;
}
