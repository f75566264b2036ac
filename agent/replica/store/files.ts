/** The files of a replica: their names, and how long they are. */
import { extentCount } from '../../../core/extent.ts';
import { intentBytes } from './intentLog.ts';
import { META_FILE } from './meta.ts';
import { pagedFileBytes } from './pagedFile.ts';
import { stampBytes } from './stampFile.ts';

export const DATA_FILE = 'data';
export const INTENTS_FILE = 'intents';
export const STAMPS_FILE = 'stamps';
export { META_FILE };

/** What a replica takes before anything is written to it. */
export function stateBytes(sizeBytes: number): number {
  const extents = extentCount(sizeBytes);
  return pagedFileBytes(intentBytes(extents)) + pagedFileBytes(stampBytes(extents));
}
