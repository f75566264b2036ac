/** The dashboards as Grafana takes them, made from tools/dashboards: change them there. */
import { DASHBOARDS } from '../dashboards/dashboards.ts';
import { grafanaJson } from '../dashboards/describe.ts';

export const dashboardFiles = (): { name: string; text: string }[] =>
  DASHBOARDS.map((dashboard) => ({
    name: `helm/holdfast/dashboards/${dashboard.file}.json`,
    text: `${JSON.stringify(grafanaJson(dashboard), null, 2)}\n`,
  }));
