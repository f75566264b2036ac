/** Publishes the settings of every agent: one value with one version, which rises only when the values change. */
import { isDeepStrictEqual } from 'node:util';
import type { Keys } from '../../core/keys.ts';
import type { Settings, VersionedSettings } from '../../core/settings.ts';
import type { Condition, Store } from '../../core/store.ts';
import type { CommitResult, Leadership } from '../election/generation.ts';

function parse(value: string): Partial<VersionedSettings> {
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    // Damaged: written anew, above any version that an agent may have seen as far as that can be known.
    return {};
  }
}

/** `unchanged`: they stand there already. */
export async function publishSettings(
  store: Store,
  keys: Keys,
  leadership: Leadership,
  values: Settings,
): Promise<CommitResult['kind'] | 'unchanged'> {
  const entry = await store.get(keys.settings);
  const before = entry ? parse(entry.value) : {};
  if (isDeepStrictEqual(before.values, values)) return 'unchanged';
  const next: VersionedSettings = { version: (before.version ?? 0) + 1, values };
  const condition: Condition = entry
    ? { key: keys.settings, is: 'revision', revision: entry.revision }
    : { key: keys.settings, is: 'absent' };
  const result = await leadership.commit([condition], [{ put: keys.settings, value: JSON.stringify(next) }]);
  return result.kind;
}
