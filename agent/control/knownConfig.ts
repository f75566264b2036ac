/**
 * A config together with the revision that holds it and the text that stands there: what a change of it compares. Both, since a store that was lost and rebuilt counts
 * its revisions anew, and a number of before may come again over another config. Pure.
 */
import type { VolumeConfig } from '../../core/config.ts';
import type { VolumeUid } from '../../core/ids.ts';
import { parseVolumeConfigText } from '../../core/parseConfig.ts';
import type { Entry } from '../../core/store.ts';

export type KnownConfig = { readonly config: VolumeConfig; readonly revision: string; readonly text: string };

/** What stands there in a form that this agent understands, or why it does not. */
export function readKnown(uid: VolumeUid, entry: Entry): KnownConfig | { problem: string } {
  const { value, problem } = parseVolumeConfigText(entry.value);
  if (value === null) return { problem };
  if (value.uid !== uid) return { problem: `config.uid must be ${uid}, not ${value.uid}` };
  return { config: value, revision: entry.revision, text: entry.value };
}
