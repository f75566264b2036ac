/** What the chart renders for several sets of values, to be read in a review: make test-chart UPDATE=1 writes the files anew. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { allAlerts } from '../support/monitoring/alerts.ts';
import { CHART, compareWithFile, helm, NAMESPACE, objectsOf, type Rendered, render, renderSet, SETS, valuesOf } from './chart.ts';

const filesOf = (folder: string, ending: string): string[] => {
  const directory = path.join(CHART, folder);
  return readdirSync(directory)
    .filter((name) => name.endsWith(ending))
    .map((name) => path.join(directory, name));
};
const byName = (objects: Rendered[], kind: string): Map<string, Rendered> =>
  new Map(objects.filter((object) => object.kind === kind).map((object) => [object.metadata.name, object]));

describe('what the chart renders', function () {
  this.timeout(120_000);

  for (const set of SETS) {
    it(`with values/${set.name}.yaml is golden/${set.name}.yaml`, async () => {
      const { wanted, found } = compareWithFile(path.join(import.meta.dirname, 'golden', `${set.name}.yaml`), await renderSet(set));
      expect(found).to.equal(wanted);
    });

    it(`with values/${set.name}.yaml has no word against it from helm lint`, async () => {
      const { code, out, error } = await helm(
        ['lint', '--strict', CHART, '--namespace', set.namespace, '--values', '-'],
        valuesOf(set.name),
      );
      expect(code, out + error).to.equal(0);
    });

    it(`with values/${set.name}.yaml lies in the release's namespace, or in none`, async () => {
      const elsewhere = objectsOf(await renderSet(set)).filter(({ metadata }) => (metadata.namespace ?? set.namespace) !== set.namespace);
      expect(elsewhere.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).to.deep.equal([]);
    });
  }

  it('brings the kinds as crds/ has them, and keeps them unless that was not wanted', async () => {
    const names = readdirSync(path.join(CHECKOUT, 'crds')).filter((name) => name.endsWith('.yaml'));
    const wanted = names.map((name) => parse(readFileSync(path.join(CHECKOUT, 'crds', name), 'utf8')) as Rendered);
    for (const keep of [true, false]) {
      const found = byName(
        objectsOf(await render({ values: `crds: { keep: ${keep} }`, only: 'templates/crds.yaml' })),
        'CustomResourceDefinition',
      );
      expect([...found.keys()].sort()).to.deep.equal(wanted.map(({ metadata }) => metadata.name).sort());
      for (const one of wanted) {
        expect(found.get(one.metadata.name)?.spec).to.deep.equal(one.spec);
        expect(found.get(one.metadata.name)?.metadata.annotations?.['helm.sh/resource-policy']).to.equal(keep ? 'keep' : undefined);
      }
    }
  });

  it('has every file of dashboards/ as a ConfigMap and of rules/ as a PrometheusRule, unchanged', async () => {
    const objects = objectsOf(await render({ kinds: ['monitoring.coreos.com/v1'] }));
    const maps = byName(objects, 'ConfigMap');
    for (const file of filesOf('dashboards', '.json')) {
      const name = path.basename(file);
      const map = maps.get(`holdfast-dashboard-${name.replace('.json', '')}`) as (Rendered & { data: Record<string, string> }) | undefined;
      expect(map?.metadata.labels, name).to.include({ grafana_dashboard: '1' });
      expect(JSON.parse(map?.data[name] ?? 'null'), name).to.deep.equal(JSON.parse(readFileSync(file, 'utf8')));
    }
    const rules = byName(objects, 'PrometheusRule');
    for (const file of filesOf('rules', '.yaml')) {
      const rule = rules.get(`holdfast-${path.basename(file, '.yaml')}`);
      expect(rule?.spec, file).to.deep.equal(parse(readFileSync(file, 'utf8')));
    }
  });

  it('leads from each alert to its runbook, wherever those can be read', async () => {
    const values = 'monitoring: { runbooks: "https://docs.example/runbooks/" }';
    const objects = objectsOf(await render({ values, kinds: ['monitoring.coreos.com/v1'] }));
    const urls = objects
      .filter(({ kind }) => kind === 'PrometheusRule')
      .map((rule) => JSON.stringify(rule).match(/"runbook_url":"[^"]*"/g) ?? []);
    expect(urls.flat()).to.have.length(allAlerts().length);
    for (const url of urls.flat()) expect(url).to.match(/:"https:\/\/docs\.example\/runbooks\/[a-z-]+\.md"$/);
  });

  it("has the product's version", () => {
    const { version } = JSON.parse(readFileSync(path.join(CHECKOUT, 'package.json'), 'utf8')) as { version: string };
    const chart = parse(readFileSync(path.join(CHART, 'Chart.yaml'), 'utf8')) as { version: string; appVersion: string };
    expect(chart).to.include({ version, appVersion: version });
  });

  it('leaves what an API server may not know alone, unless it was asked for', async () => {
    const kinds = new Set(objectsOf(await render({ namespace: NAMESPACE })).map(({ kind }) => kind));
    for (const kind of ['PodMonitor', 'PrometheusRule', 'VolumeSnapshotClass', 'Certificate', 'Issuer'])
      expect([...kinds]).not.to.include(kind);
    const always = 'volumeSnapshotClasses: { create: always }\nmonitoring: { podMonitors: always, rules: never }\n';
    const asked = objectsOf(await render({ values: always })).map(({ kind }) => kind);
    expect(asked).to.include.members(['PodMonitor', 'VolumeSnapshotClass']);
  });
});
