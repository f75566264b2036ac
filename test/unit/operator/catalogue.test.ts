/** What people are told stands in the README, each with a sentence: Events, conditions, metrics. A name that is not there is not explained to anybody. */
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { createMetrics } from '../../../edge/metrics.ts';
import { operatorMetrics, sourceMetrics } from '../../../operator/metrics.ts';
import { NODE_EVENTS } from '../../../operator/node/events.ts';
import { VOLUME_EVENTS } from '../../../operator/volume/events.ts';

const ROOM = new URL('../../../operator/', import.meta.url);
const read = (file: string): string => readFileSync(new URL(file, ROOM), 'utf8');
const README = read('README.md');
const catalogue = README.slice(README.indexOf('## What is told'), README.indexOf('## Configuration'));

/** In the source, where they are told without a table. */
const named = (file: string, pattern: RegExp): string[] => [...read(file).matchAll(pattern)].map(([, name]) => name ?? '');

describe('operator: the catalogue in its README', () => {
  const events = [
    ...[...VOLUME_EVENTS, ...NODE_EVENTS].map(({ reason }) => reason),
    ...named('volume/events.ts', /reason: '(\w+)'/g),
    ...named('volume/events.ts', /\? '(\w+)' : '\w+',/g),
    ...named('volume/events.ts', /\? '\w+' : '(\w+)',/g),
    ...named('snapshot/status.ts', /reason: '(\w+)'/g),
    ...named('store/status.ts', /reason: '(\w+)', kind/g),
  ];
  it('has every Event, and only those', () => {
    expect(events).to.include.members(['FailedOver', 'AgentRestarted', 'SnapshotWaits', 'Moved', 'NodeAway']);
    const told = [...catalogue.matchAll(/`([A-Z]\w+)`/g)].map(([, name]) => name ?? '');
    const phases = ['Failed', 'Unavailable', 'Degraded'];
    expect([...new Set(told)].filter((name) => !/_/.test(name)).sort()).to.deep.equal([...new Set([...events, ...phases])].sort());
  });

  it('has every condition', () => {
    const types = [
      ...named('volume/status.ts', /(?:const type = |type: )'([A-Z]\w+)'/g),
      ...named('store/status.ts', /(?:const type = |type: )'([A-Z]\w+)'/g),
      ...named('node/status.ts', /(?:const type = |type: )'([A-Z]\w+)'/g),
    ];
    expect(types).to.include.members(['Consistent', 'Evicted', 'OutOfService']);
    for (const type of types) expect(README, type).to.include(`\`${type}\``);
  });

  it('has every metric', async () => {
    const metrics = createMetrics({ processMetrics: false });
    operatorMetrics(metrics);
    sourceMetrics(metrics, {});
    const names = [...(await metrics.render()).matchAll(/^# TYPE holdfast_(\w+)/gm)].map(([, name]) => name ?? '');
    expect(names).to.include.members(['leader_count', 'volumes_planned_count']);
    const own = [...names, ...named('edge/restServer.ts', /metrics\.\w+\(\s*'(\w+)'/g)];
    for (const name of own) expect(catalogue, name).to.match(new RegExp(`\`${name}[\`{]`));
  });
});
