/** What local clusters apply is what the chart renders: nobody edits helm/rbac.yaml. */
import path from 'node:path';
import { expect } from 'chai';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { compareWithFile, NAMESPACE, render } from './chart.ts';

const HEADER = '# Made from helm/holdfast/templates/roles.yaml by make test-chart UPDATE=1: change it there.\n';

describe('the roles of local clusters', function () {
  this.timeout(600_000);

  it('are those of the chart', async () => {
    const text = HEADER + (await render({ only: 'templates/roles.yaml', namespace: NAMESPACE }));
    const { wanted, found } = compareWithFile(path.join(CHECKOUT, 'helm/rbac.yaml'), text);
    expect(found).to.equal(wanted);
  });
});
