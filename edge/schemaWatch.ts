/**
 * The schema of etcd as both programs watch it: whether this one may act. Must never say yes before it was seen, nor forget what was seen because etcd does not answer.
 */
import type { Keys } from '../core/keys.ts';
import type { Log } from '../core/log.ts';
import { parseSchema, schemaProblem } from '../core/schema.ts';
import type { Entry, Store, View } from '../core/store.ts';
import { SCHEMA } from '../core/versions.ts';
import type { Metrics } from './metrics.ts';

const NOT_SEEN = 'the schema of etcd is not known yet';

/** Why this program may not act on what stands in etcd; null: it may. */
export type SchemaSight = { readonly problem: string | null };
/** Also which is in force, as last seen: new things are written only under one that has them. */
export type SchemaInForce = SchemaSight & { readonly version: number };

export class SchemaWatch implements SchemaInForce {
  readonly #key: string;
  readonly #log: Log;
  readonly #view: View;
  #hasSeen = false;
  #said: string | null = null;
  #version = 1;

  /** `changed`: it may be another than before. */
  constructor({ store, keys, log, changed }: { store: Store; keys: Keys; log: Log; changed?: () => void }) {
    this.#key = keys.schema;
    this.#log = log;
    this.#view = store.view(this.#key, () => {
      this.#say();
      changed?.();
    });
  }

  get problem(): string | null {
    this.#hasSeen ||= this.#view.isCurrent;
    return this.#hasSeen ? this.refusal : NOT_SEEN;
  }

  /** The same, by what is known; null also while nothing is. */
  get refusal(): string | null {
    return schemaProblem(this.entry?.value ?? null);
  }

  /** What cannot be read, or is not there any more, changes nothing: it is never lowered. */
  get version(): number {
    this.#version = Math.max(this.#version, parseSchema(this.entry?.value ?? null)?.version ?? 1);
    return this.#version;
  }

  /** What stands there; null: nothing, or it was not seen yet. */
  get entry(): Entry | null {
    return this.#view.entries.get(this.#key) ?? null;
  }

  close(): void {
    this.#view.close();
  }

  #say(): void {
    const { refusal } = this;
    if (refusal === this.#said) return;
    this.#said = refusal;
    if (refusal !== null) this.#log.error('nothing new is begun here', { reason: refusal });
    else this.#log.info('the schema of etcd is one that this program knows again');
  }
}

/** For each program: an alarm, and what to compare while an upgrade goes on. */
export function schemaMetrics(metrics: Metrics, schema: SchemaWatch): void {
  const highest = String(SCHEMA.highest);
  metrics.gauge('schema_unknown_count', '1 while etcd is of a schema that this program does not know: it begins nothing', [], (gauge) =>
    gauge.set(schema.problem === null ? 0 : 1),
  );
  metrics.gauge('schema_version_info', 'The schema of etcd, and what this program knows', ['version', 'known'], (gauge) => {
    gauge.reset();
    const version = parseSchema(schema.entry?.value ?? null)?.version;
    gauge.set({ version: version === undefined ? 'unknown' : String(version), known: highest }, 1);
  });
}
