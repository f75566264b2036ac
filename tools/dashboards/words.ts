/** The words in which dashboards.ts describes panels. Must never know one of them. */
import type { Panel, Query, Unit } from './describe.ts';

type Extra = Partial<Pick<Panel, 'badFrom' | 'width'>>;
type Make = (title: string, unit: Unit, means: string, queries: readonly Query[], extra?: Extra) => Panel;
const make =
  (kind: Panel['kind']): Make =>
  (title, unit, means, queries, extra = {}) => ({ title, kind, unit, means, queries, ...extra });
export const [stat, graph, table, bars] = [make('stat'), make('graph'), make('table'), make('bars')];
export const of = (expr: string, legend?: string): Query => (legend === undefined ? { expr } : { expr, legend });

export const RATE = '[$__rate_interval]';
export const BAD: Extra = { badFrom: 1 };
export const NONE = 'or vector(0)';
/** Only the leader tells them; for a moment after a change of leader both may. */
export const phases = (phase: string): string => `sum(max by (phase) (holdfast_volumes_count{phase=~"${phase}"}))`;
export const p99 = (histogram: string, by: string, where = ''): string =>
  `histogram_quantile(0.99, sum by (le, ${by}) (rate(${histogram}_bucket${where}${RATE})))`;

export const VOLUME = { name: 'volume', label: 'Volume', query: 'label_values(holdfast_volume_state_info, volume)' } as const;
export const NODE = { name: 'node', label: 'Node', query: 'label_values(holdfast_node_state_info, node)' } as const;
