/**
 * The settings of every agent: all of them change in one transaction, or none does. Which operator is asked does not matter: what fences is the compare of
 * the record's revision, as it is for the leader's own write.
 */
import { DEFAULT_SETTINGS, SETTINGS_TABLE } from '../../core/settings.ts';
import type { Condition, Entry } from '../../core/store.ts';
import { HttpError } from '../../edge/http/errors.ts';
import { changed, parseSettingsRecord, type SettingsRecord } from '../settingsRecord.ts';
import type { Access } from './access.ts';
import { settingsOf } from './bodies.ts';
import type { ApiAnswer, ApiPorts, ApiRequest } from './ports.ts';

/** Others change them at the same moment; more often than this something else is wrong. */
const ATTEMPTS_MAX = 5;

const TABLE = SETTINGS_TABLE.map(({ key, unit, fallback, min, max, reason }) => ({ name: key, unit, default: fallback, min, max, reason }));

export class SettingsOperations {
  readonly #ports: ApiPorts;
  readonly #access: Access;

  constructor(ports: ApiPorts, access: Access) {
    this.#ports = ports;
    this.#access = access;
  }

  async get({ caller, signal }: ApiRequest): Promise<ApiAnswer> {
    await this.#access.authorize(caller, 'get', 'settings', signal);
    return shownSettings((await this.#read()).record);
  }

  async replace({ body, caller, trace, signal, ifMatch }: ApiRequest): Promise<ApiAnswer> {
    await this.#access.authorize(caller, 'update', 'settings', signal);
    const values = settingsOf(body);
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const { entry, record } = await this.#read();
      checkVersion(record, ifMatch);
      const next = changed(record, values, { by: caller.user, traceId: trace.traceId });
      if (next === null) return shownSettings(record);
      if (await this.#commit(entry, next)) {
        this.#ports.log.info('settings changed', { by: caller.user, traceId: trace.traceId, version: next.version, settings: next.values });
        return shownSettings(next);
      }
    }
    throw new HttpError(409, 'Conflict', `others changed the settings ${ATTEMPTS_MAX} times in between; nothing was changed`);
  }

  async #read(): Promise<{ entry: Entry | null; record: SettingsRecord }> {
    const entry = await this.#ports.store.get(this.#ports.keys.settings);
    const { record, version } = parseSettingsRecord(entry?.value ?? null);
    // No leader has published any yet: agents run the defaults.
    return { entry, record: record ?? { version, values: DEFAULT_SETTINGS, configured: DEFAULT_SETTINGS } };
  }

  /** Without an answer it may have been done or not, and the error says so; asked again with the same values, nothing is done twice. */
  async #commit(entry: Entry | null, next: SettingsRecord): Promise<boolean> {
    const { store, keys } = this.#ports;
    const unchanged: Condition = entry
      ? { key: keys.settings, is: 'revision', revision: entry.revision }
      : { key: keys.settings, is: 'absent' };
    const { committed } = await store.commit([unchanged], [{ put: keys.settings, value: JSON.stringify(next) }]);
    return committed;
  }
}

function checkVersion({ version }: SettingsRecord, ifMatch: string | null): void {
  if (ifMatch === null || ifMatch === String(version)) return;
  throw new HttpError(409, 'Conflict', `the settings have changed: the change is based on version ${ifMatch}, now it is ${version}`, {
    versions: { given: ifMatch, current: String(version) },
  });
}

const shownSettings = ({ version, values, configured, change }: SettingsRecord): ApiAnswer => ({
  status: 200,
  body: { version, values, configured, change: change ?? null, table: TABLE },
  version: String(version),
});
