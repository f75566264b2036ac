/** A node whose clock goes wrong: its agent alone is told another time, by libfaketime. The machine's clock is everybody's, and stays as it is. */
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Stage, StageOptions } from './stage.ts';

const LIBRARY = '/usr/lib/*/faketime/libfaketimeMT.so.1';

/** In it stands how many seconds node-b is ahead. */
let offset = '';

export function ownClock(): StageOptions {
  const [library] = globSync(LIBRARY);
  if (library === undefined)
    throw new Error('libfaketime is needed and not installed: apt-get install --no-install-recommends libfaketime');
  offset = path.join(mkdtempSync(path.join(tmpdir(), 'holdfast-clock-')), 'offset');
  writeFileSync(offset, '+0');
  // Read anew at each look; clocks that only go forward are left alone, as a clock that is set leaves them.
  const environment = { LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: offset, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' };
  return { nodes: 2, environments: { 'node-b': environment } };
}

/** It serves a volume meanwhile: leases and heartbeats must not care. */
export async function clockGoesWrong(stage: Stage): Promise<void> {
  await stage.volume('db', 2, 'node-b');
  stage.say('the clock of node-b is set a minute ahead: nobody but that is told');
  writeFileSync(offset, '+60');
  await stage.fire({ alert: 'ClockOff' });
  await stage.quiet();
  stage.say('and a minute back');
  writeFileSync(offset, '-60');
  await stage.fire({ alert: 'ClockOff' });
  await stage.quiet();
  writeFileSync(offset, '+0');
  await stage.end('ClockOff');
}

export function removeClock(): void {
  if (offset !== '') rmSync(path.dirname(offset), { recursive: true, force: true });
  offset = '';
}
