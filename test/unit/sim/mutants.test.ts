/**
 * That every mutant still fits the sources, and that one of them is caught in its copy: a change that moves a rule, or makes what is simulated need a room that is not copied, is told
 * on the spot, and not when all of them run the next time.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { controls, MUTANTS, SITUATED } from '../../sim/mutants/list.ts';
import type { Trial } from '../../sim/mutants/mutant.ts';
import { judge } from '../../sim/mutants/trial.ts';

const CHECKOUT = path.resolve(import.meta.dirname, '../../..');

function misfits({ name, changes }: Trial): string[] {
  return changes.flatMap(({ file, find }) => {
    const times = readFileSync(path.join(CHECKOUT, file), 'utf8').split(find).length - 1;
    return times === 1 ? [] : [`${name}: ${file} has ${times} times: ${find}`];
  });
}

describe('The mutants of the simulator', () => {
  it('change what is there once', () => {
    expect([...MUTANTS, ...controls(1)].flatMap(misfits)).to.deep.equal([]);
  });

  it('have names of their own, and situations only for names that there are', () => {
    const names = MUTANTS.map(({ name }) => name);
    expect(new Set(names).size).to.equal(names.length);
    expect(SITUATED.filter((name) => !names.includes(name))).to.deep.equal([]);
  });

  it('are caught: here the first of those that one seed shows', async () => {
    const trial = MUTANTS.find(({ name }) => name === 'noPromise') ?? expect.fail('there is no such mutant');
    const { violated, problem } = await judge(trial, () => undefined);
    expect(problem).to.equal(null);
    expect(violated).to.match(/monotone/);
  }).timeout(60_000);

  it('have a control for each situation', () => {
    const controlled = new Set(controls(1).map(({ situation }) => situation));
    expect(MUTANTS.filter(({ situation }) => !controlled.has(situation))).to.deep.equal([]);
  });
});
