/**
 * How a dashboard is described here, and the JSON that Grafana takes for it. Pure. A panel is a title in plain words, one sentence for who does not understand
 * it, a unit, and queries; places are dealt out in reading order.
 */

export type Query = { expr: string; legend?: string };
export type Panel = {
  title: string;
  /** What it means, and what is bad. */
  means: string;
  kind: 'stat' | 'graph' | 'table' | 'bars';
  unit: Unit;
  queries: readonly Query[];
  /** From here on it is bad: what is drawn in red. */
  badFrom?: number;
  /** Of 24 columns; left out, as its kind is usually. */
  width?: number;
};
export type Unit = 'short' | 'bytes' | 'Bps' | 's' | 'percentunit' | 'ops' | 'none';
export type Variable = { name: 'volume' | 'node'; label: string; query: string };
export type Dashboard = { file: string; title: string; about: string; variables: readonly Variable[]; rows: readonly Row[] };
export type Row = { title: string; panels: readonly Panel[] };

const SCHEMA_VERSION = 39;
const COLUMNS = 24;
const WIDTH = { stat: 4, graph: 12, table: 24, bars: 12 } as const;
const HEIGHT = { stat: 4, graph: 8, table: 6, bars: 8 } as const;
// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's, not ours
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' } as const;
const GRAFANA_KIND = { stat: 'stat', graph: 'timeseries', table: 'table', bars: 'bargauge' } as const;

const link = (file: string): string => `holdfast-${file}`;

type Place = { x: number; y: number; w: number; h: number };

export function grafanaJson(dashboard: Dashboard): object {
  let id = 0;
  let y = 0;
  const panels: object[] = [];
  for (const row of dashboard.rows) {
    panels.push({ id: ++id, type: 'row', title: row.title, collapsed: false, gridPos: { x: 0, y: y++, w: COLUMNS, h: 1 }, panels: [] });
    let [x, high] = [0, 0];
    for (const panel of row.panels) {
      const [w, h] = [panel.width ?? WIDTH[panel.kind], HEIGHT[panel.kind]];
      if (x + w > COLUMNS) [x, y, high] = [0, y + high, 0];
      panels.push(panelJson(panel, ++id, { x, y, w, h }));
      x += w;
      high = Math.max(high, h);
    }
    y += high;
  }
  return {
    uid: link(dashboard.file),
    title: `Holdfast / ${dashboard.title}`,
    description: dashboard.about,
    tags: ['holdfast'],
    schemaVersion: SCHEMA_VERSION,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    timezone: 'browser',
    annotations: { list: [] },
    links: [
      {
        type: 'dashboards',
        title: 'Holdfast',
        tags: ['holdfast'],
        asDropdown: true,
        includeVars: true,
        keepTime: true,
        targetBlank: false,
      },
    ],
    templating: { list: [datasourceVariable(), ...dashboard.variables.map(variableJson)] },
    panels,
  };
}

const datasourceVariable = (): object => ({ name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', hide: 0 });

const variableJson = ({ name, label, query }: Variable): object => ({
  name,
  label,
  type: 'query',
  datasource: DATASOURCE,
  query: { query, refId: name },
  definition: query,
  refresh: 2,
  sort: 1,
  includeAll: true,
  // Not `.*`: of what operators and agents both tell, only agents have a node.
  allValue: '.+',
  multi: true,
  current: { selected: true, text: ['All'], value: ['$__all'] },
});

function panelJson(panel: Panel, id: number, gridPos: Place): object {
  return {
    id,
    type: GRAFANA_KIND[panel.kind],
    title: panel.title,
    description: panel.means,
    datasource: DATASOURCE,
    gridPos,
    targets: panel.queries.map((query, index) => targetJson(panel, query, index)),
    fieldConfig: { defaults: fieldDefaults(panel), overrides: [] },
    options: optionsOf(panel),
    ...(panel.kind === 'table'
      ? { transformations: [{ id: 'organize', options: { excludeByName: { Time: true, Value: true, __name__: true } } }] }
      : {}),
  };
}

function targetJson({ kind }: Panel, { expr, legend }: Query, index: number): object {
  const isNow = kind !== 'graph';
  return {
    refId: String.fromCharCode('A'.charCodeAt(0) + index),
    datasource: DATASOURCE,
    expr,
    legendFormat: legend ?? '__auto',
    instant: isNow,
    range: !isNow,
    format: kind === 'table' ? 'table' : 'time_series',
  };
}

function fieldDefaults({ unit, badFrom, kind }: Panel): object {
  const bad = badFrom === undefined ? [] : [{ color: 'red', value: badFrom }];
  return {
    unit,
    ...(unit === 'percentunit' ? { min: 0, max: 1 } : kind === 'graph' ? { min: 0 } : {}),
    thresholds: { mode: 'absolute', steps: [{ color: 'green', value: null }, ...bad] },
    ...(kind === 'graph' ? { custom: { drawStyle: 'line', lineWidth: 1, fillOpacity: 8, showPoints: 'never' } } : {}),
  };
}

function optionsOf({ kind }: Panel): object {
  if (kind === 'stat')
    return { colorMode: 'background', graphMode: 'none', reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false } };
  if (kind === 'bars')
    return { orientation: 'horizontal', displayMode: 'basic', reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false } };
  if (kind === 'table') return { showHeader: true, cellHeight: 'sm' };
  return { legend: { displayMode: 'list', placement: 'bottom', showLegend: true }, tooltip: { mode: 'multi', sort: 'desc' } };
}
