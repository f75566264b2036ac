/** A real API server takes every object of the chart, with nothing unknown and nothing to warn of. Needs etcd and kube-apiserver; no pod ever runs. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { FIRST_START_MS, RealCluster } from '../support/operator/realCluster.ts';
import { objectsOf, render, renderSet, SETS } from './chart.ts';

const KINDS = path.join(CHECKOUT, 'tools/kinds');
/** Of others: where their modules have them, and which of them the chart makes objects of. */
const OTHERS: readonly [module: string, directory: string, files: RegExp][] = [
  ['github.com/cert-manager/cert-manager', 'deploy/crds', /^cert-manager\.io_(certificates|issuers)\.yaml$/],
  ['github.com/kubernetes-csi/external-snapshotter/client/v8', 'config/crd', /_volumesnapshotclasses\.yaml$/],
  ['github.com/prometheus-operator/prometheus-operator', 'example/prometheus-operator-crd', /_(podmonitors|prometheusrules)\.yaml$/],
];

function definitionsOfOthers(): string[] {
  return OTHERS.flatMap(([module, directory, files]) => {
    const { Dir } = JSON.parse(execFileSync('go', ['mod', 'download', '-json', module], { cwd: KINDS, encoding: 'utf8' })) as {
      Dir: string;
    };
    const found = readdirSync(path.join(Dir, directory)).filter((name) => files.test(name));
    expect(found, module).not.to.deep.equal([]);
    return found.map((name) => path.join(Dir, directory, name));
  });
}

describe('an API server that is given the chart', function () {
  this.timeout(60_000);
  let real: RealCluster;
  const dryRun = ['apply', '--server-side', '--force-conflicts', '--dry-run=server', '--validate=strict', '-o', 'name', '-f', '-'];

  before(async function () {
    this.timeout(FIRST_START_MS);
    real = await RealCluster.start({ operators: 0 });
    const files = definitionsOfOthers();
    await real.cluster.kubectl(['apply', '--server-side', ...files.flatMap((file) => ['-f', file])]);
    await real.cluster.kubectl(['wait', '--for=condition=Established', '--timeout=30s', ...files.flatMap((file) => ['-f', file])]);
    await real.cluster.kubectl(['create', 'namespace', 'storage']);
  });
  after(async () => real?.stop());

  const takes = async (text: string): Promise<void> => {
    const taken = (await real.cluster.kubectl(dryRun, text)).trim().split('\n');
    expect(taken.length).to.equal(objectsOf(text).length);
  };

  for (const set of SETS) it(`takes all that values/${set.name}.yaml makes`, async () => takes(await renderSet(set)));

  it('takes the kinds, alerts and dashboards', async () =>
    takes(await render({ kinds: ['monitoring.coreos.com/v1', 'snapshot.storage.k8s.io/v1'] })));

  it('refuses what it does not know, so the above says something', async () => {
    const wrong = (await render({ only: 'templates/storage.yaml' })).replace('attachRequired:', 'attachDemanded:');
    const said = await real.cluster.kubectl(dryRun, wrong).then(
      () => 'nothing',
      (error: Error) => error.message,
    );
    expect(said).to.match(/attachDemanded/);
  });
});
