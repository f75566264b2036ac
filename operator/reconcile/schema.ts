/**
 * Raises the schema of etcd when every program knows the next: every agent that is registered, and one is registered of every node that there is. Until then nothing is
 * written that the version before would not know, and everybody may go back to it. Must never lower it, and never raise it on a guess: an agent that is away may come back old.
 */
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
export type SchemaWriter = { highest: number; lowestReader: number; version: string };

export type SchemaFacts = {
  text: string | null;
  machines: ReadonlyMap<NodeName, Pick<MachineState, 'speaks'>>;
  storageNodes: Iterable<NodeName>;
};

/** `next` null: nothing is to be written. `waitsFor`: who keeps it from being raised, in words. */
export type SchemaDecision = { next: SchemaRecord | null; waitsFor: string[] };

export function decideSchema({ text, machines, storageNodes }: SchemaFacts, own: SchemaWriter): SchemaDecision {
  const record = parseSchema(text);
  // What cannot be read is a person's business.
  if (record === null) return { next: null, waitsFor: [] };
  const { highest, lowestReader, version: writtenBy } = own;
  if (text !== null && record.version >= highest) return { next: null, waitsFor: [] };
  const away = [...storageNodes].filter((node) => !machines.has(node)).map((node) => `${node} (not heard of)`);
  const older = [...machines].flatMap(([node, { speaks }]) => {
    const known = rangeOf(speaks?.schema).highest;
    return known < highest ? [`${node} (knows ${known})`] : [];
  });
  const waitsFor = [...away, ...older];
  if (waitsFor.length === 0) return { next: { version: highest, lowestReader, writtenBy }, waitsFor };
  return { next: text === null ? { ...record, writtenBy } : null, waitsFor };
}

export type SchemaKeeperPorts = { keys: Keys; entry: () => Entry | null; version: string; log: Log };

/** One term of leadership. */
export class SchemaKeeper {
  readonly #ports: SchemaKeeperPorts;
  readonly #leadership: Leadership;
  readonly #own: SchemaWriter;
  #said = '';

  constructor(ports: SchemaKeeperPorts, leadership: Leadership) {
    this.#ports = ports;
    this.#leadership = leadership;
    this.#own = { highest: SCHEMA.highest, lowestReader: SCHEMA_LOWEST_READER, version: ports.version };
  }

  /** A crash right behind the write leaves a schema that everybody knows. */
  async update(facts: Omit<SchemaFacts, 'text'>): Promise<void> {
    const { keys, entry: look, log } = this.#ports;
    const entry = look();
    const { next, waitsFor } = decideSchema({ ...facts, text: entry?.value ?? null }, this.#own);
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
