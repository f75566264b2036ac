/** The scenarios of `make sim-balance`, small. */
import { expect } from 'chai';
import { isGood, SCENARIOS } from '../../../balance/scenarios.ts';

describe('operator: the balance over time', function () {
  this.timeout(60_000);

  for (const { name, run } of SCENARIOS) {
    it(`copies hardly more than it must, ends even and undoes nothing when ${name}`, () => {
      const result = run({ nodes: 6, volumes: 100 }, 1);
      expect(isGood(result), JSON.stringify(result)).to.equal(true);
    });
  }
});
