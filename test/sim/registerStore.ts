/** The store as one agent's proposer sees it: the config's key only, over the register, with whatever the register does to requests and answers. */
import { assert } from '../../core/assert.ts';
import type { VolumeConfig } from '../../core/config.ts';
import { OperatingError } from '../../core/errors.ts';
import { keysOf } from '../../core/keys.ts';
import { parseVolumeConfigText } from '../../core/parseConfig.ts';
import type { Change, Condition, Entry, Outcome, Store, View } from '../../core/store.ts';
import { Call } from './call.ts';
import { type ConfigRegister, revisionOf, type Watcher } from './register.ts';
import { Violation } from './violation.ts';

export const KEYS = keysOf('simulated');
/** How long the agent's client waits for etcd. */
const PATIENCE_MS = 800;

export class RegisterStore implements Store {
  readonly #register: ConfigRegister;
  readonly #watcher: Watcher;

  constructor(register: ConfigRegister, watcher: Watcher) {
    this.#register = register;
    this.#watcher = watcher;
  }

  get(key: string): Promise<Entry | null> {
    assert(key === KEYS.volume(this.#register.config.uid), `only the config is kept here, not ${key}`);
    return this.#ask('read', () => {
      const { config } = this.#register;
      return { key, value: JSON.stringify(config), revision: revisionOf(config) };
    });
  }

  commit(conditions: readonly Condition[], changes: readonly Change[]): Promise<Outcome> {
    const [revision, text] = conditions;
    const next = configIn(changes, KEYS.volume(this.#register.config.uid));
    assert(
      conditions.length === 2 && revision?.is === 'revision' && text?.is === 'value',
      'a change of the config compares revision and text',
    );
    return this.#ask('compare-and-set', () => {
      const known = this.#register.config;
      const isKnown = revisionOf(known) === revision.revision && normal(JSON.stringify(known)) === normal(text.value);
      const committed = isKnown && this.#register.apply(known, next);
      return { committed, revision: revisionOf(this.#register.config) };
    });
  }

  list(prefix: string): Promise<never> {
    throw new Violation('contract', `a proposer lists ${prefix}`);
  }

  view(prefix: string): View {
    throw new Violation('contract', `a proposer watches ${prefix}`);
  }

  #ask<Value>(label: string, land: () => Value): Promise<Value> {
    const call = new Call<Value>();
    const fail = () => call.reject(new OperatingError('Unavailable', label, 'no answer; the outcome is unknown'));
    this.#register.request(this.#watcher.node, label, land, (value) => this.#watcher.run('answers', () => call.resolve(value)));
    this.#register.after(PATIENCE_MS, () => this.#watcher.run('answers', fail));
    return call.promise;
  }
}

/** The register keeps no texts, and the order of fields is whoever's who wrote it last. */
const normal = (text: string): string => JSON.stringify(parseVolumeConfigText(text).value);

function configIn(changes: readonly Change[], key: string): VolumeConfig {
  const change = changes.find((candidate) => 'put' in candidate && candidate.put === key);
  assert(change && 'put' in change, 'a change of the config puts it');
  const { value, problem } = parseVolumeConfigText(change.value);
  if (value === null) throw new Violation('contract', `a config is proposed that nobody can read: ${problem}`);
  return value;
}
