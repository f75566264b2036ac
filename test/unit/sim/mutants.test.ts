/** That every mutant still fits the sources, so that a change which moves a rule is told on the spot, and not when all of them run the next time. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { controls, MUTANTS, SITUATED } from '../../sim/mutants/list.ts';
import type { Trial } from '../../sim/mutants/mutant.ts';

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

  it('have a control for each situation', () => {
    const controlled = new Set(controls(1).map(({ situation }) => situation));
    expect(MUTANTS.filter(({ situation }) => !controlled.has(situation))).to.deep.equal([]);
  });
});
