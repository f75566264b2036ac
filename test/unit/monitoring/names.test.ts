/** Dashboards and alerts ask for metrics that exist, by labels that they have: a name that nobody tells has no answer, and says nothing of it. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { CHECKOUT } from '../../../tools/local/layout.ts';
import { shippedDashboards } from '../../monitoring/panels.ts';
import { allAlerts } from '../../support/monitoring/alerts.ts';

const rows = [...readFileSync(path.join(CHECKOUT, 'docs/metrics.md'), 'utf8').matchAll(/^\| `(holdfast_\w+)` \| (\w+) \| ([^|]*) \|/gm)];
const LABELS = new Map(
  rows.map(([, name = '', type, labels = '']) => [
    name,
    // What a scrape gives, and what a histogram has besides.
    [
      'node',
      'instance',
      'job',
      ...(type === 'histogram' ? ['le'] : []),
      ...[...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label),
    ],
  ]),
);
const base = (name: string): string => {
  const histogram = name.replace(/_(bucket|sum|count)$/, '');
  return !LABELS.has(name) && LABELS.has(histogram) ? histogram : name;
};

/** Each metric that is named, with the labels that are asked of it. */
const named = (expr: string): { name: string; labels: string[] }[] =>
  [...expr.matchAll(/\b(holdfast_\w+)(?:\{([^}]*)\})?/g)].map(([, name = '', matchers = '']) => ({
    name: base(name),
    labels: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label),
  }));

function mistakesIn(expr: string): string[] {
  return named(expr).flatMap(({ name, labels }) => {
    const known = LABELS.get(name);
    if (known === undefined) return [`nobody tells ${name}`];
    return labels.filter((label) => !known.includes(label)).map((label) => `${name} has no label ${label}`);
  });
}

describe('monitoring: names in queries', () => {
  it('are looked for as they should be', () => {
    expect(mistakesIn('sum(holdfast_nope_count)')).to.deep.equal(['nobody tells holdfast_nope_count']);
    expect(mistakesIn('holdfast_volumes_count{phases="x"}')).to.deep.equal(['holdfast_volumes_count has no label phases']);
    expect(mistakesIn('rate(holdfast_nbd_request_duration_seconds_bucket{operation="read"}[1m])')).to.deep.equal([]);
  });

  for (const { file, dashboard } of shippedDashboards()) {
    it(`of the dashboard ${file} are told by somebody`, () => {
      const queries = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
      expect(queries).not.to.deep.equal([]);
      for (const expr of queries) expect(mistakesIn(expr), expr).to.deep.equal([]);
    });
  }

  it('of alerts are told by somebody', () => {
    for (const { alert, expr } of allAlerts()) expect(mistakesIn(expr), alert).to.deep.equal([]);
  });
});
