/** The store as one agent's proposer sees it: the config's two keys only, over the register, with whatever the register does to requests and answers. */
import { isDeepStrictEqual } from 'node:util';
import { assert } from '../../core/assert.ts';
import type { VolumeConfig } from '../../core/config.ts';
import { OperatingError } from '../../core/errors.ts';
import { type ConfigInForce, parsePrimaryRecord, recorderOf, unlawfulChange } from '../../core/inForce.ts';
import { keysOf } from '../../core/keys.ts';
import type { Change, Condition, Entry, Outcome, Store } from '../../core/store.ts';
import { Call } from './call.ts';
import { type ConfigRegister, revisionOf, type Watcher } from './register.ts';
import { Violation } from './violation.ts';

export const KEYS = keysOf('simulated');
/** How long the agent's client waits for etcd. */
const PATIENCE_MS = 800;

export class RegisterStore implements Pick<Store, 'commit'> {
  readonly #register: ConfigRegister;
  readonly #watcher: Watcher;

  constructor(register: ConfigRegister, watcher: Watcher) {
    this.#register = register;
    this.#watcher = watcher;
  }

  /** Both keys at one moment, as edge/configs.ts reads them; a promise of that one could not be settled within an event (`Call`). */
  readInForce(): Promise<ConfigInForce> {
    return this.#ask('read', () => inForceIn(this.#register, this.#register.config));
  }

  commit(conditions: readonly Condition[], changes: readonly Change[]): Promise<Outcome> {
    const compared = conditions.map(({ key }) => key);
    const isBoth = compared.includes(KEYS.volume(this.#register.config.uid)) && compared.some((key) => key.startsWith(KEYS.primaries));
    assert(isBoth, 'a change of the config compares both its keys');
    return this.#ask('compare-and-set', () => {
      const known = this.#register.config;
      const now = inForceIn(this.#register, known);
      const holds = conditions.every((condition) => isMet(condition, [now.entry, now.record?.entry ?? null]));
      const committed = holds && this.#register.apply(known, recordIn(changes, now), true);
      return { committed, revision: revisionOf(this.#register.config) };
    });
  }

  #ask<Value>(label: string, land: () => Value): Promise<Value> {
    const call = new Call<Value>();
    const fail = () => call.reject(new OperatingError('Unavailable', label, 'no answer; the outcome is unknown'));
    this.#register.request(this.#watcher.node, label, land, (value) => this.#watcher.run('answers', () => call.resolve(value)));
    this.#register.after(PATIENCE_MS, () => this.#watcher.run('answers', fail));
    return call.promise;
  }
}

/** A config that is or was in force, in its two keys. */
export function inForceIn(register: ConfigRegister, config: VolumeConfig): ConfigInForce {
  const leaders = register.leadersOf(config);
  const entry = { key: KEYS.volume(config.uid), value: JSON.stringify(leaders), revision: revisionOf(leaders) };
  const node = recorderOf(leaders);
  if (node === null) return { config, leaders, entry, record: null, refusal: null };
  const key = KEYS.primary(node, config.uid);
  const isLeaders = config.version === leaders.version;
  const value = JSON.stringify({ base: leaders.version, config });
  return { config, leaders, entry, record: { key, entry: isLeaders ? null : { key, value, revision: revisionOf(config) } }, refusal: null };
}

/** The register keeps no texts, and the order of fields is whoever's who wrote it last: only what they mean is compared. */
function isMet(condition: Condition, there: readonly (Entry | null)[]): boolean {
  const entry = there.find((one) => one?.key === condition.key) ?? null;
  if (condition.is === 'absent') return entry === null;
  if (condition.is === 'revision') return entry?.revision === condition.revision;
  return entry !== null && isDeepStrictEqual(JSON.parse(entry.value), JSON.parse(condition.value));
}

function recordIn(changes: readonly Change[], now: ConfigInForce): VolumeConfig {
  const change = changes.find((candidate) => 'put' in candidate && candidate.put === now.record?.key);
  assert(change && 'put' in change, 'a change of the config puts its record');
  const { value, problem } = parsePrimaryRecord(change.value);
  if (value === null) throw new Violation('contract', `a config is proposed that nobody can read: ${problem}`);
  const broken = unlawfulChange(now.leaders, value.config);
  if (broken !== null || value.base !== now.leaders.version)
    throw new Violation('contract', `a config is proposed that does not count: ${broken}`);
  return value.config;
}
