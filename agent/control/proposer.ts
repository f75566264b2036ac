/**
 * A primary's compare-and-set on its volume's config.
 *
 *   idle --propose--> asking --committed, later version seen--> idle
 *                       |--not committed, no answer--> reading --later version seen--> idle
 *                       ^------------- still the known one, after a pause ----------------|
 *
 * It must never have two proposals out, nor call one failed because the old version is still there: one without an answer may yet land. It asks
 * again with the very same proposal, for ever, until the primary is no more. Where it is written is decided with each asking, by the schema in force: all of them compare both
 * keys of the config, so no two of them land.
 */
import { assert } from '../../core/assert.ts';
import type { Clock } from '../../core/clock.ts';
import { nodesOf, type VolumeConfig } from '../../core/config.ts';
import type { NodeName } from '../../core/ids.ts';
import type { PrimaryRecord } from '../../core/inForce.ts';
import type { Keys } from '../../core/keys.ts';
import type { Log } from '../../core/log.ts';
import type { Change, Store } from '../../core/store.ts';
import { SCHEMA_OF_RECORDS } from '../../core/versions.ts';
import type { SchemaInForce } from '../../edge/schemaWatch.ts';
import type { ConfigPort } from '../replication/link.ts';
import { retryDelayMs, whenAnswered } from './calls.ts';
import { type Found, type KnownConfig, unchangedKnown } from './knownConfig.ts';

export type ProposerOptions = {
  store: Pick<Store, 'commit'>;
  keys: Keys;
  clock: Clock;
  log: Log;
  node: NodeName;
  schema: Pick<SchemaInForce, 'version'>;
  /** The latest that this agent has seen. */
  latest: () => KnownConfig;
  /** What stands in the config's keys now. */
  read: () => Promise<Found>;
  /** What was read or written, perhaps the very same again; null: there is none now. Tells the primary, if it is later. */
  seen: (found: Found) => void;
  /** `latest` must be told to the primary again: it asked for a change of an older one. */
  tellAgain: () => void;
  recheck: () => void;
};

type Proposal = { known: VolumeConfig; next: VolumeConfig };

export class Proposer implements ConfigPort {
  readonly #options: ProposerOptions;
  #proposal: Proposal | null = null;
  #isBusy = false;
  #mustRead = false;
  #failures = 0;
  #notBeforeMs = 0;
  #isClosed = false;

  constructor(options: ProposerOptions) {
    this.#options = options;
  }

  propose(known: VolumeConfig, next: VolumeConfig): void {
    assert(this.#proposal === null || this.#isOver(this.#proposal), `two proposals for volume ${known.uid}`);
    assert(next.version === known.version + 1, `a proposal of version ${next.version} on ${known.version}`);
    if (this.#isClosed) return;
    // An earlier one may still wait for its answer; a later version was seen, so it has landed or never will.
    this.#proposal = { known, next };
    this.#isBusy = false;
    this.#mustRead = false;
    this.#failures = 0;
    this.#notBeforeMs = 0;
    if (this.#isOver(this.#proposal)) this.#options.tellAgain();
    else this.#step();
  }

  recheck(): void {
    if (!this.#isClosed) this.#options.recheck();
  }

  /** The primary is no more. What is out may still land. */
  close(): void {
    this.#isClosed = true;
    this.#proposal = null;
  }

  tick(): void {
    this.#step();
  }

  /** Nothing is proposed, or its answer is awaited. */
  get isResting(): boolean {
    return this.#proposal === null || this.#isBusy;
  }

  #isOver({ known }: Proposal): boolean {
    return this.#options.latest().config.version > known.version;
  }

  #step(): void {
    const proposal = this.#proposal;
    if (proposal === null || this.#isBusy || this.#options.clock.monotonicMs() < this.#notBeforeMs) return;
    if (this.#isOver(proposal)) {
      this.#proposal = null;
      return;
    }
    this.#isBusy = true;
    if (this.#mustRead) this.#read(proposal);
    else this.#ask(proposal);
  }

  #ask(proposal: Proposal): void {
    const { store, keys, latest, node, schema } = this.#options;
    const { known, next } = proposal;
    const before = latest();
    const isRecord = schema.version >= SCHEMA_OF_RECORDS;
    const writing = isRecord ? ownKey(before, next, keys.primary(node, next.uid)) : leadersKey(before, next);
    const others = isRecord ? bells(keys, node, next) : pointers(keys, known, next);
    whenAnswered(
      store.commit(unchangedKnown(before), [writing.put, ...others]),
      ({ committed, revision }) => this.#answered(proposal, committed ? writing.after(revision) : undefined),
      (error) => this.#unanswered(proposal, error),
    );
  }

  #read(proposal: Proposal): void {
    whenAnswered(
      this.#options.read(),
      (found) => this.#answered(proposal, found),
      (error) => this.#unanswered(proposal, error),
    );
  }

  /** `found` undefined: not committed, and what stands there instead is not known yet. */
  #answered(proposal: Proposal, found: Found | undefined): void {
    if (this.#proposal === proposal) {
      this.#isBusy = false;
      this.#mustRead = found === undefined;
    }
    if (found !== undefined) this.#options.seen(found);
    // `seen` may have led to another proposal.
    if (this.#proposal !== proposal) return;
    // Still the one that was known: the proposal did not land yet, or never will. The same again does no harm.
    if (found !== undefined && !this.#isOver(proposal)) this.#pause();
    this.#step();
  }

  #unanswered(proposal: Proposal, error: Error): void {
    if (this.#proposal !== proposal) return;
    this.#isBusy = false;
    this.#mustRead = true;
    if (this.#failures === 0) this.#options.log.warn('config could not be changed yet, asking again', { error });
    this.#pause();
  }

  #pause(): void {
    this.#failures++;
    this.#notBeforeMs = this.#options.clock.monotonicMs() + retryDelayMs(this.#failures);
  }
}

type Writing = { put: Change; after: (revision: string) => KnownConfig };

/** Beside what the leader wrote, of which it names the version. A crash right behind it leaves a config that counts, and agents that hear of it with the next one or the leader's. */
function ownKey(before: KnownConfig, next: VolumeConfig, key: string): Writing {
  const value = JSON.stringify({ base: before.leaders.version, config: next } satisfies PrimaryRecord);
  return {
    put: { put: key, value },
    after: (revision) => ({ ...before, config: next, record: { key, entry: { key, value, revision } }, refusal: null }),
  };
}

/** Over what the leader wrote: where programs may be about that look nowhere else. */
function leadersKey(before: KnownConfig, next: VolumeConfig): Writing {
  const { key } = before.entry;
  const value = JSON.stringify(next);
  const record = next.primary === null ? null : before.record;
  return {
    put: { put: key, value },
    after: (revision) => ({ config: next, leaders: next, entry: { key, value, revision }, record, refusal: null }),
  };
}

/** In the same transaction: by which the other agents that it concerns hear of it. */
const bells = (keys: Keys, own: NodeName, next: VolumeConfig): Change[] =>
  nodesOf(next)
    .filter((node) => node !== own)
    .map((node) => ({ put: keys.bell(node, next.uid), value: String(next.version) }));

/** As under the first schema. */
function pointers(keys: Keys, known: VolumeConfig, next: VolumeConfig): Change[] {
  const nodes = nodesOf(next);
  const gone = nodesOf(known).filter((node) => !nodes.includes(node));
  return [
    ...nodes.map((node) => ({ put: keys.pointer(node, next.uid), value: String(next.version) })),
    ...gone.map((node) => ({ delete: keys.pointer(node, next.uid) })),
  ];
}
