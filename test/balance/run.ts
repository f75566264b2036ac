/** `make sim-balance`: every scenario at every size, as a table; fails where more than RATIO_MAX of the least was copied. Reads NODES, VOLUMES and SEED. */
import { GiB } from '../support/operator/builders.ts';
import { isGood, RATIO_MAX, ratioOf, SCENARIOS, type Size } from './scenarios.ts';

const seed = Number(process.env.SEED || 1);
const given = { nodes: Number(process.env.NODES || 0), volumes: Number(process.env.VOLUMES || 0) };
const SIZES: readonly Size[] =
  given.nodes > 0
    ? [{ nodes: given.nodes, volumes: given.volumes || given.nodes * 30 }]
    : [
        { nodes: 5, volumes: 200 },
        { nodes: 20, volumes: 1_000 },
        { nodes: 200, volumes: 4_000 },
      ];

const gib = (bytes: number): string => (bytes / GiB).toFixed(0);
console.log(`| nodes | volumes | what happens | copied GiB | least GiB | ratio | spread | undone |\n|---|---|---|---|---|---|---|---|`);
let isWell = true;
for (const size of SIZES) {
  for (const { run } of SCENARIOS) {
    const result = run(size, seed);
    const { name, copiedBytes, boundBytes, spread, undone } = result;
    const numbers = [gib(copiedBytes), gib(boundBytes), ratioOf(result).toFixed(2), `${(100 * spread).toFixed(1)} %`, undone];
    console.log(`| ${[size.nodes, size.volumes, name, ...numbers].join(' | ')} |${isGood(result) ? '' : ' <- not good'}`);
    isWell &&= isGood(result);
  }
}
console.log(`\nseed ${seed}: ${isWell ? 'all' : 'not all'} within ${RATIO_MAX} of the least, even, and nothing undone`);
process.exitCode = isWell ? 0 : 1;
