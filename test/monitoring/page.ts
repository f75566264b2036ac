/**
 * One dashboard as a page that a browser can draw, from the answers that a real Prometheus gave to its queries: for pictures where no Grafana runs. Pure. Says on
 * the page what it is, and must never draw a number that was not answered.
 */
import type { Saved, SavedPanel } from './saved.ts';

type Dashboard = Saved[number];
type Line = { legend: string; points: [number, number][] };

export const PAGE_WIDTH = 1_000;
const COLUMNS = 24;
const UNIT_HEIGHT = 26;
const GAP = 6;
const HEAD_HEIGHT = 64;
const CELLS_MAX = 6;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** `{{volume}} {{operation}}` with the labels of one series; `__auto`: all of them. */
function legendOf(legend: string, labels: Record<string, string>): string {
  if (legend !== '__auto') return legend.replace(/\{\{(\w+)\}\}/g, (_, name: string) => labels[name] ?? '');
  return Object.entries(labels)
    .filter(([name]) => name !== '__name__')
    .map(([, value]) => value)
    .join(' ');
}

const linesOf = ({ answers }: SavedPanel): Line[] =>
  answers.flatMap(({ legend, samples }) =>
    samples.map(({ labels, points }) => ({
      legend: legendOf(legend, labels).trim() || 'none',
      points: points.filter(([, value]) => Number.isFinite(value)),
    })),
  );

const POWERS = ['', 'Ki', 'Mi', 'Gi', 'Ti'];

export function formatted(value: number, unit: string): string {
  if (unit === 'bytes' || unit === 'Bps') {
    const power = value < 1 ? 0 : Math.min(POWERS.length - 1, Math.floor(Math.log2(value) / 10));
    return `${(value / 1024 ** power).toPrecision(3).replace(/\.0+$/, '')} ${POWERS[power]}B${unit === 'Bps' ? '/s' : ''}`;
  }
  if (unit === 's') return formattedSeconds(value);
  if (unit === 'percentunit') return value > 0 && value < 0.01 ? `${(value * 100).toPrecision(2)} %` : `${(value * 100).toFixed(0)} %`;
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function formattedSeconds(value: number): string {
  const days = value / 86_400;
  if (Math.abs(days) >= 2) return `${days.toFixed(0)} days`;
  if (Math.abs(value) >= 120) return `${(value / 60).toFixed(0)} min`;
  return Math.abs(value) < 1 ? formattedMs(value * 1000) : `${value.toPrecision(3)} s`;
}

const formattedMs = (value: number): string => (value >= 100 || value === 0 ? `${value.toFixed(0)} ms` : `${value.toPrecision(2)} ms`);

const lastOf = ({ points }: Line): number | undefined => points.at(-1)?.[1];
const unitOf = ({ fieldConfig }: SavedPanel): string => fieldConfig?.defaults.unit ?? 'short';
const badFrom = ({ fieldConfig }: SavedPanel): number =>
  fieldConfig?.defaults.thresholds?.steps.find(({ color }) => color === 'red')?.value ?? Number.POSITIVE_INFINITY;

function statHtml(panel: SavedPanel): string {
  const value = linesOf(panel).flatMap((line) => lastOf(line) ?? [])[0];
  const colour = value !== undefined && value >= badFrom(panel) ? 'bad' : 'good';
  return `<div class="stat ${colour}">${value === undefined ? 'no data' : formatted(value, unitOf(panel))}</div>`;
}

function barsHtml(panel: SavedPanel): string {
  return linesOf(panel)
    .map((line) => {
      const value = lastOf(line) ?? 0;
      const colour = value >= badFrom(panel) ? 'bad' : 'good';
      return `<div class="bar"><span>${escaped(line.legend)}</span><i class="${colour}" style="width:${Math.min(60, value * 60)}%"></i><b>${formatted(value, unitOf(panel))}</b></div>`;
    })
    .join('');
}

/** What held at the end. */
function tableHtml(panel: SavedPanel, untilSeconds: number, stepSeconds: number): string {
  const rows = panel.answers
    .flatMap(({ samples }) => samples)
    .filter(({ points }) => (points.at(-1)?.[0] ?? 0) > untilSeconds - 2 * stepSeconds)
    .map(({ labels }) => labels);
  const columns = [...new Set(rows.flatMap((labels) => Object.keys(labels)))].filter((name) => name !== '__name__');
  const cells = (tag: string, values: string[]): string =>
    `<tr>${values.map((value) => `<${tag}>${escaped(value)}</${tag}>`).join('')}</tr>`;
  const body = rows.slice(0, CELLS_MAX).map((labels) =>
    cells(
      'td',
      columns.map((name) => labels[name] ?? ''),
    ),
  );
  return rows.length === 0 ? '<div class="none">nothing</div>' : `<table>${cells('th', columns)}${body.join('')}</table>`;
}

/** As the library has them: one list of times, and of each line a value or null for each. */
function graphData(panel: SavedPanel): object {
  const lines = linesOf(panel);
  const times = [...new Set(lines.flatMap(({ points }) => points.map(([at]) => at)))].sort((a, b) => a - b);
  const values = lines.map(({ points }) => {
    const known = new Map(points);
    return times.map((at) => known.get(at) ?? null);
  });
  return { data: [times, ...values], legends: lines.map(({ legend }) => legend), unit: unitOf(panel) };
}

const bottomOf = ({ panels }: Dashboard): number => Math.max(...panels.map(({ gridPos: { y, h } }) => y + h));
export const pageHeight = (dashboard: Dashboard): number => HEAD_HEIGHT + bottomOf(dashboard) * UNIT_HEIGHT + GAP;

/** `library`: uPlot's script and style sheet. */
export function pageOf(dashboard: Dashboard, stepSeconds: number, library: { script: string; style: string }): string {
  const untilSeconds = dashboard.untilMs / 1000;
  const graphs: object[] = [];
  const boxes = dashboard.panels.map((panel) => {
    const { x, y, w, h } = panel.gridPos;
    const left = (x * PAGE_WIDTH) / COLUMNS + GAP / 2;
    const [width, height] = [(w * PAGE_WIDTH) / COLUMNS - GAP, h * UNIT_HEIGHT - GAP];
    const place = `left:${left}px;top:${HEAD_HEIGHT + y * UNIT_HEIGHT}px;width:${width}px;height:${height}px`;
    if (panel.type === 'row') return `<h2 style="${place}">${escaped(panel.title)}</h2>`;
    const inside = insideOf(panel, untilSeconds, stepSeconds);
    if (panel.type === 'timeseries') graphs.push({ ...graphData(panel), id: `g${graphs.length}`, width: width - 12, height: height - 74 });
    const graph = panel.type === 'timeseries' ? `<div id="g${graphs.length - 1}"></div>` : inside;
    return `<section style="${place}"><h3>${escaped(panel.title)}</h3>${graph}</section>`;
  });
  const about = `${dashboard.description} Drawn from what a real Prometheus answered to this dashboard's queries; this is not Grafana.`;
  return `<!doctype html><meta charset="utf-8"><style>${library.style}${STYLE}</style><h1>${escaped(dashboard.title)}</h1><p>${escaped(about)}</p>${boxes.join('')}
<script>${library.script}</script><script>const formatted=${formatted.toString()};const formattedSeconds=${formattedSeconds.toString()};const formattedMs=${formattedMs.toString()};const POWERS=${JSON.stringify(POWERS)};
const GRAPHS=${JSON.stringify(graphs).replaceAll('<', '\\u003c')};${DRAW}</script>`;
}

function insideOf(panel: SavedPanel, untilSeconds: number, stepSeconds: number): string {
  if (panel.type === 'stat') return statHtml(panel);
  if (panel.type === 'bargauge') return barsHtml(panel);
  return panel.type === 'table' ? tableHtml(panel, untilSeconds, stepSeconds) : '';
}

const STYLE = `
body{margin:0;background:#f4f5f5;font:12px sans-serif;color:#24292e;position:relative}
h1{font-size:18px;margin:0;padding:10px 8px 0}p{margin:2px 8px;color:#6b7280}
h2{position:absolute;margin:0;font-size:14px;line-height:24px;padding-left:4px}
section{position:absolute;background:#fff;border:1px solid #e0e2e4;box-sizing:border-box;padding:4px 6px;overflow:hidden}
h3{font-size:12px;margin:0 0 4px;font-weight:600}
.stat{font-size:28px;text-align:center;line-height:50px;color:#fff;border-radius:3px}.good{background:#4c9a52}.bad{background:#c4314b}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:2px 8px;border-bottom:1px solid #eee}.none{color:#6b7280;padding:8px}
.bar{display:flex;align-items:center;height:26px}.bar span{width:130px}.bar i{height:16px;display:block}.bar b{padding-left:8px}
.u-legend{font-size:11px}.u-legend .u-value{display:none}`;

const DRAW = `
const COLOURS=['#3b78c3','#c4314b','#4c9a52','#d98a00','#7d4fb5','#008b8b','#8a6d3b','#d6559f','#5a5f66','#9bb000'];
for(const {id,data,legends,unit,width,height} of GRAPHS){
  const shown=legends.slice(0,10);
  new uPlot({width,height,legend:{live:false},cursor:{show:false},scales:{y:{range:(_,low,high)=>[Math.min(0,low??0),(high??0)>0?high*1.1:1]}},
    axes:[{size:24},{size:84,values:(_,ticks)=>ticks.map((tick)=>formatted(tick,unit))}],
    series:[{},...shown.map((label,index)=>({label,stroke:COLOURS[index%COLOURS.length],width:1.5,points:{show:false},spanGaps:false}))]},
    data.slice(0,shown.length+1),document.getElementById(id));
}`;
