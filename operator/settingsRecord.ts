/**
 * The settings of every agent as they stand in etcd, which is their only truth. The operators' configuration seeds them; the REST API changes them; a leader
 * that starts with the configuration of before changes nothing. What a later configuration says differently from the one before it is taken over, name by
 * name, so that what was set by the API stays. Pure.
 */
import { isDeepStrictEqual } from 'node:util';
import { parseSettings, SETTINGS_TABLE, type Settings, type SettingsProblem, type VersionedSettings } from '../core/settings.ts';

/** Who changed the values last, and under which trace. Left out: the configuration did. */
export type SettingsChange = { by: string; traceId: string };
/** Agents read `version` and `values`. */
export type SettingsRecord = VersionedSettings & {
  /** What the operators' configuration said when it was last taken over. */
  configured: Settings;
  change?: SettingsChange;
};

/** Null: there is none, or it cannot be read; then it is written anew, above any version that an agent may have seen as far as that can be known. */
export function parseSettingsRecord(value: string | null): { record: SettingsRecord | null; version: number } {
  try {
    const { version, values, configured, change } = JSON.parse(value ?? 'null') as Partial<SettingsRecord>;
    const known = Number.isSafeInteger(version) ? Number(version) : 0;
    const { settings } = parseSettings(values);
    if (settings === null) return { record: null, version: known };
    // Before there was an API, the values were the configuration.
    return {
      record: { version: known, values: settings, configured: configured ?? settings, ...(change ? { change } : {}) },
      version: known,
    };
  } catch {
    return { record: null, version: 0 };
  }
}

/** Settings that a later version has stored: not damage, and not ours to write over. */
function laterSettings(value: string | null): SettingsProblem[] {
  try {
    const { values } = JSON.parse(value ?? 'null') as Partial<SettingsRecord>;
    return (parseSettings(values).problems as SettingsProblem[]).filter(({ key }) => Object.hasOwn(Object(values), key) && !isSetting(key));
  } catch {
    return [];
  }
}

const isSetting = (name: string): boolean => SETTINGS_TABLE.some(({ key }) => key === name);

export type Seeded = { next: SettingsRecord | null; problems: readonly SettingsProblem[] };

/** With a leader's configuration. `next` null: nothing is to be written; with problems, because the two do not go together. */
export function seeded(value: string | null, configured: Settings): Seeded {
  const { record, version } = parseSettingsRecord(value);
  const later = record === null ? laterSettings(value) : [];
  if (later.length > 0) return { next: null, problems: later };
  if (record === null) return { next: { version: version + 1, values: configured, configured }, problems: [] };
  if (isDeepStrictEqual(record.configured, configured)) return { next: null, problems: [] };
  const values = { ...record.values };
  for (const { key } of SETTINGS_TABLE) if (configured[key] !== record.configured[key]) values[key] = configured[key];
  const { settings, problems } = parseSettings(values);
  if (settings === null) return { next: null, problems };
  const isSame = isDeepStrictEqual(settings, record.values);
  return { next: { ...record, version: record.version + (isSame ? 0 : 1), values: settings, configured }, problems: [] };
}

/** By the API. Null: these are the values already. */
export function changed(record: SettingsRecord, values: Settings, change: SettingsChange): SettingsRecord | null {
  return isDeepStrictEqual(record.values, values) ? null : { ...record, version: record.version + 1, values, change };
}
