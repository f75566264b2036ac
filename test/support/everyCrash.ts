/** Every point at which the power can go, or the process, in the middle of something done on a simulated disk. */
import { SeededRandom } from './seededRandom.ts';
import { PowerLoss, type SimulatedDisk } from './simulatedDisk.ts';

export const SEEDS = [1, 2, 3, 4, 5, 6];

type End = { name: string; end: (disk: SimulatedDisk) => SimulatedDisk };

const ENDS: readonly End[] = [
  { name: 'all lost', end: (disk) => disk.losePower('everything') },
  { name: 'all kept', end: (disk) => disk.losePower('nothing') },
  { name: 'process killed', end: (disk) => disk.killProcess() },
  ...SEEDS.map((seed) => ({ name: `some lost (${seed})`, end: (disk: SimulatedDisk) => disk.losePower(new SeededRandom(seed)) })),
];

/** Runs `act` once for each change that it makes and each end, cut off right before that change, and hands over what the next start finds. */
export function atEveryCrash(
  prepare: () => { disk: SimulatedDisk; act: () => void },
  check: (disk: SimulatedDisk, what: string) => void,
): number {
  let points = 0;
  for (let isCut = true; isCut; points++) {
    for (const { name, end } of ENDS) {
      const { disk, act } = prepare();
      disk.losePowerBefore(points);
      isCut = false;
      try {
        act();
        disk.drain();
      } catch (error) {
        if (!(error instanceof PowerLoss)) throw error;
        isCut = true;
      }
      check(end(disk), `before change ${points}, ${name}`);
    }
  }
  return points;
}
