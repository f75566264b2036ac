/**
 * A device becomes one that can be mounted: made where nothing is, made again where one was begun and never mounted (mark.ts), else checked. Must never make one
 * where anything else is.
 *
 *   nothing --mark--> begun --mkfs--> made, marked --unmark--> made --mount--> in use
 *                       |<--killed, whatever it left: mkfs again--|
 */
import { CsiError } from '../../edge/csi/codes.ts';
import { hasPlace } from './mark.ts';
import type { Device, FileSystem, Mounts } from './ports.ts';
import { NO_FILE_SYSTEM, SEVERAL_SIGNATURES } from './programs.ts';

type Making = Pick<Mounts, 'probe' | 'isMarked' | 'mayHaveBeenMounted' | 'mark' | 'unmark' | 'format' | 'check'>;
type Wish = { type: FileSystem; mkfs: readonly string[] };
/** What a killed mkfs can have left; anything else somebody put there, mark or not. */
const LEAVINGS: readonly string[] = [NO_FILE_SYSTEM, SEVERAL_SIGNATURES];

/** Whether it was made now. A crash anywhere leaves what the next attempt makes again, or what is whole. */
export async function make(mounts: Making, device: Device, wish: Wish): Promise<boolean> {
  const { device: path, name, uid } = device;
  const { type } = wish;
  const isMarked = await mounts.isMarked(path, uid, type);
  const found = await mounts.probe(path);
  if (found === type && (!isMarked || (await mounts.mayHaveBeenMounted(path, type)))) {
    if (isMarked) await mounts.unmark(path, type);
    await mounts.check(path, type);
    return false;
  }
  if (found !== null && !(isMarked && (found === type || LEAVINGS.includes(found))))
    throw new CsiError('FailedPrecondition', `the volume ${name} holds ${found}, asked is ${type}: it is not made anew over data`);
  await makeNew(mounts, device, wish, isMarked);
  return true;
}

async function makeNew(mounts: Making, { device, uid, sizeBytes }: Device, { type, mkfs }: Wish, isAgain: boolean): Promise<void> {
  if (!isAgain && hasPlace(sizeBytes, type)) await mounts.mark(device, uid, type);
  await mounts.format(device, type, mkfs, isAgain);
  // Where it is not any more, mkfs was told to write there: what it wrote stays.
  if (await mounts.isMarked(device, uid, type)) await mounts.unmark(device, type);
}

const TYPES: readonly FileSystem[] = ['ext4', 'xfs'];

/** Before somebody has the whole device to write to: what he writes is data, and a mark beside it would be leave to overwrite that. */
export async function unmarkAll(mounts: Pick<Mounts, 'isMarked' | 'unmark'>, { device, uid }: Device): Promise<void> {
  for (const type of TYPES) if (await mounts.isMarked(device, uid, type)) await mounts.unmark(device, type);
}
