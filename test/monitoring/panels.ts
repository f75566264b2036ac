/** The panels of the dashboards as they are shipped, and their queries as Grafana would ask them. Pure but for reading the files. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { CHECKOUT } from '../../tools/local/layout.ts';

const DIRECTORY = path.join(CHECKOUT, 'helm/holdfast/dashboards');

export type ShippedPanel = {
  type: string;
  title: string;
  description: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { expr: string; legendFormat: string }[];
  fieldConfig?: { defaults: { unit?: string; thresholds?: { steps: { color: string; value: number | null }[] } } };
};
export type ShippedDashboard = { uid: string; title: string; description: string; panels: ShippedPanel[] };

export const shippedDashboards = (): { file: string; dashboard: ShippedDashboard }[] =>
  readdirSync(DIRECTORY)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => ({ file, dashboard: JSON.parse(readFileSync(path.join(DIRECTORY, file), 'utf8')) as ShippedDashboard }));

/** With every variable as Grafana has it when all are chosen. A variable that is not known here is a mistake. */
export function asked(expr: string, rateSeconds: number): string {
  const query = expr.replaceAll('$__rate_interval', `${rateSeconds}s`).replaceAll('$volume', '.+').replaceAll('$node', '.+');
  const left = /\$\w+/.exec(query);
  if (left !== null) throw new Error(`${expr}: nobody says what ${left[0]} is`);
  return query;
}
