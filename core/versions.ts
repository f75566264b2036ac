/**
 * What two versions of the programs must agree on, as ranges of numbers: the replication protocol between agents, and the schema of what stands in etcd. One version of
 * the programs knows what the one before it wrote and spoke; ARCHITECTURE.md ("Versions") says what follows from that. Pure. Must never be changed without a row in
 * core/wire/PROTOCOL.md or in the list of schemas below.
 */

export type VersionRange = { readonly lowest: number; readonly highest: number };

/** Of the replication protocol: what this program speaks. core/wire/PROTOCOL.md says what each version changed. */
export const PROTOCOL: VersionRange = Object.freeze({ lowest: 1, highest: 1 });

/**
 * Of what stands in etcd, and of what lies on the disks: what this program knows. New things (a field of a config, a kind of task, a setting, a format on disk) are
 * written only under a schema that has them, and that is in force only when every program says that it knows it.
 *
 *   1  the first; also where no key says so
 *   2  what a primary changes of its volume's config stands under its own node's prefix (core/inForce.ts), and `volumes/` and `nodes/` are the leader's alone
 */
export const SCHEMA: VersionRange = Object.freeze({ lowest: 1, highest: 2 });
/** From this schema on primaries write under their own nodes' prefixes. */
export const SCHEMA_OF_RECORDS = 2;
/** The lowest schema whose programs may go on under the highest of ours. As high, unless the new things harm nobody who drops them. */
export const SCHEMA_LOWEST_READER = SCHEMA.highest;

/** What an agent says of itself in `machines/<node>`. */
export type Speaks = { readonly protocol: VersionRange; readonly schema: VersionRange };
export const SPEAKS: Speaks = Object.freeze({ protocol: PROTOCOL, schema: SCHEMA });

/** What agents meant before they said anything. */
const UNSAID: VersionRange = { lowest: 1, highest: 1 };
/** What cannot be read is nothing that we have in common. */
const NOTHING: VersionRange = { lowest: 0, highest: 0 };

export const isWithin = (version: number, { lowest, highest }: VersionRange): boolean => version >= lowest && version <= highest;

/** The highest that both know; null: they have none in common. */
export function commonVersion(one: VersionRange, other: VersionRange): number | null {
  const highest = Math.min(one.highest, other.highest);
  return highest >= Math.max(one.lowest, other.lowest, 1) ? highest : null;
}

export const formatRange = ({ lowest, highest }: VersionRange): string => (lowest === highest ? `${lowest}` : `${lowest} to ${highest}`);

/** Out of what another program said, of which nothing is taken for granted; `input` undefined: it said nothing. */
export function rangeOf(input: unknown): VersionRange {
  if (input === undefined) return UNSAID;
  const { lowest, highest } = (typeof input === 'object' && input !== null ? input : {}) as { [Field in keyof VersionRange]?: unknown };
  const isRange = isVersion(lowest) && isVersion(highest) && lowest <= highest;
  return isRange ? { lowest, highest } : NOTHING;
}

const isVersion = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1;
