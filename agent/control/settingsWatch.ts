/**
 * The settings that this agent runs: those that etcd holds, as a whole, or the ones before. Must never take one value out of a set that has a bad
 * one, nor fall back to defaults because etcd does not answer.
 */

import type { Keys } from '../../core/keys.ts';
import type { Log } from '../../core/log.ts';
import { DEFAULT_SETTINGS, parseSettings, type Settings } from '../../core/settings.ts';
import type { Store, View } from '../../core/store.ts';

export type SettingsEvents = {
  /** A value that is not in force because something is wrong with it. */
  refused(): void;
};

type Reading = { version: number; settings: Settings } | { problems: unknown };

/** What stands in etcd, or everything that is wrong with it. */
export function readSettings(text: string): Reading {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    return { problems: [{ key: 'settings', rule: `must be JSON: ${(error as Error).message}` }] };
  }
  const { version, values } = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as Record<string, unknown>;
  const { settings, problems } = parseSettings(values);
  if (!Number.isSafeInteger(version) || Number(version) < 1) {
    return { problems: [{ key: 'version', value: version, rule: 'must be a whole number from 1' }, ...problems] };
  }
  return settings === null ? { problems } : { version: Number(version), settings };
}

export class SettingsWatch {
  readonly #key: string;
  readonly #log: Log;
  readonly #events: SettingsEvents;
  readonly #view: View;
  #settings: Settings = DEFAULT_SETTINGS;
  #version = 0;
  #lookedAtRevision: string | null = null;

  constructor(options: { store: Store; keys: Keys; log: Log; events: SettingsEvents }) {
    this.#key = options.keys.settings;
    this.#log = options.log;
    this.#events = options.events;
    this.#view = options.store.view(this.#key, () => this.#look());
  }

  /** 0: none were seen yet, the defaults are in force. */
  get version(): number {
    return this.#version;
  }

  get settings(): Settings {
    return this.#settings;
  }

  close(): void {
    this.#view.close();
  }

  #look(): void {
    const entry = this.#view.entries.get(this.#key);
    if (entry === undefined || entry.revision === this.#lookedAtRevision) return;
    this.#lookedAtRevision = entry.revision;
    const reading = readSettings(entry.value);
    if ('problems' in reading) {
      this.#events.refused();
      this.#log.error('settings refused, the ones before stay in force', { version: this.#version, problems: reading.problems });
      return;
    }
    this.#settings = reading.settings;
    this.#version = reading.version;
    this.#log.info('settings in force', { version: reading.version, values: reading.settings });
  }
}
