/**
 * Raises the schema of etcd when every program has known the next for a while: every agent that is registered, and one is registered of every node that there is. Until then
 * nothing is written that the version before would not know, and everybody may go back to it: the while is for people to see whether they want to. A store that nothing stands in
 * yet begins with the highest. Must never lower it, and never raise it on a guess: an agent that is away may come back old. How long all have known it is not kept anywhere: the
 * next leader counts from its own beginning.
 */
import type { Clock } from '../../core/clock.ts';
import { isOperatingError, messageOf } from '../../core/errors.ts';
import type { NodeName } from '../../core/ids.ts';
import type { Keys } from '../../core/keys.ts';
import type { Log } from '../../core/log.ts';
import type { MachineState } from '../../core/machine.ts';
import { parseSchema, type SchemaRecord } from '../../core/schema.ts';
import type { Condition, Entry } from '../../core/store.ts';
import { rangeOf, SCHEMA, SCHEMA_LOWEST_READER } from '../../core/versions.ts';
import type { Leadership } from '../election/generation.ts';

/** What this program knows and is. */
export type SchemaWriter = {
  highest: number;
  lowestReader: number;
  version: string;
  /** How long all must have known it in a store that holds something. */
  raiseAfterMs: number;
};

export type SchemaFacts = {
  text: string | null;
  machines: ReadonlyMap<NodeName, Pick<MachineState, 'speaks'>>;
  storageNodes: Iterable<NodeName>;
  /** Whether there is the config of any volume. */
  hasVolumes: boolean;
  /** For how long nobody has been known who does not know it. */
  agreedForMs: number;
};

/** `next` null: nothing is to be written. `waitsFor`: who keeps it from being raised, in words. */
export type SchemaDecision = { next: SchemaRecord | null; waitsFor: string[] };

/** Who is not known to know it, in words. */
function laggards({ machines, storageNodes }: Pick<SchemaFacts, 'machines' | 'storageNodes'>, highest: number): string[] {
  const away = [...storageNodes].filter((node) => !machines.has(node)).map((node) => `${node} (not heard of)`);
  const older = [...machines].flatMap(([node, { speaks }]) => {
    const known = rangeOf(speaks?.schema).highest;
    return known < highest ? [`${node} (knows ${known})`] : [];
  });
  return [...away, ...older];
}

export function decideSchema(facts: SchemaFacts, own: SchemaWriter): SchemaDecision {
  const { text, hasVolumes, agreedForMs } = facts;
  const record = parseSchema(text);
  // What cannot be read is a person's business.
  if (record === null) return { next: null, waitsFor: [] };
  const { highest, lowestReader, version: writtenBy, raiseAfterMs } = own;
  if (text !== null && record.version >= highest) return { next: null, waitsFor: [] };
  const isNew = text === null && !hasVolumes;
  const waitsFor = laggards(facts, highest);
  if (waitsFor.length === 0 && !isNew && agreedForMs < raiseAfterMs)
    waitsFor.push(`the ${raiseAfterMs / 1_000} s in which it may still be gone back (SCHEMA_RAISE_AFTER_SECONDS)`);
  if (waitsFor.length === 0) return { next: { version: highest, lowestReader, writtenBy }, waitsFor };
  return { next: text === null ? { ...record, writtenBy } : null, waitsFor };
}

export type SchemaKeeperPorts = { keys: Keys; entry: () => Entry | null; version: string; raiseAfterMs: number; clock: Clock; log: Log };

/** One term of leadership. */
export class SchemaKeeper {
  readonly #ports: SchemaKeeperPorts;
  readonly #leadership: Leadership;
  readonly #own: SchemaWriter;
  #agreedSinceMs: number | null = null;
  #said = '';

  constructor(ports: SchemaKeeperPorts, leadership: Leadership) {
    this.#ports = ports;
    this.#leadership = leadership;
    const { version, raiseAfterMs } = ports;
    this.#own = { highest: SCHEMA.highest, lowestReader: SCHEMA_LOWEST_READER, version, raiseAfterMs };
  }

  /** A crash right behind the write leaves a schema that everybody knows. */
  async update(seen: Omit<SchemaFacts, 'text' | 'agreedForMs'>): Promise<void> {
    const { keys, entry: look, log, clock } = this.#ports;
    const nowMs = clock.monotonicMs();
    const facts = { ...seen, storageNodes: [...seen.storageNodes] };
    this.#agreedSinceMs = laggards(facts, this.#own.highest).length > 0 ? null : (this.#agreedSinceMs ?? nowMs);
    const agreedForMs = nowMs - (this.#agreedSinceMs ?? nowMs);
    const entry = look();
    const { next, waitsFor } = decideSchema({ ...facts, text: entry?.value ?? null, agreedForMs }, this.#own);
    this.#say(waitsFor);
    if (next === null) return;
    const condition: Condition = entry
      ? { key: keys.schema, is: 'revision', revision: entry.revision }
      : { key: keys.schema, is: 'absent' };
    try {
      const { kind } = await this.#leadership.commit([condition], [{ put: keys.schema, value: JSON.stringify(next) }]);
      if (kind === 'committed') log.info('the schema of etcd is written', { schema: next });
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      log.warn('the schema of etcd could not be written yet', { error: messageOf(error) });
    }
  }

  #say(waitsFor: readonly string[]): void {
    const said = waitsFor.join(', ');
    if (said === this.#said) return;
    this.#said = said;
    if (said !== '')
      this.#ports.log.info('the schema of etcd is not raised before all know it', { schema: SCHEMA.highest, waitsFor: said });
  }
}
