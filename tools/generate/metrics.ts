/**
 * docs/metrics.md: every metric, read from where the code makes it, so that none can be missing or called otherwise. Names, helps and labels are literals there;
 * one that is not stops this. Must never be edited around: a sentence that is not good enough is one to correct in the code.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMetrics } from '../../edge/metrics.ts';

type Metric = { name: string; type: string; labels: string[]; help: string; program: string };

/** Where they are made, and what those files belong to; what is in none of them is no metric. */
const ROOMS = ['agent', 'operator', 'edge'] as const;
/** Of the shared ones, those that one program alone has. */
const ONLY: Record<string, string> = { 'edge/etcd/members.ts': 'operator' };
const CALL = /(?:\.|\b|\.shown)(counter|gauge|[hH]istogram)\(\s*(?=['`"])|\bnumber\(\s*(?=['`"])/g;
const UNITS = ['bytes_per_second', 'timestamp_seconds', 'seconds', 'bytes', 'ratio', 'info', 'count'];
const UNIT_WORDS: Record<string, string> = {
  bytes_per_second: 'bytes a second',
  timestamp_seconds: 'seconds since 1970',
  seconds: 'seconds',
  bytes: 'bytes',
  ratio: 'of 1',
  info: '1; what it says is in its labels',
  count: 'how many',
};

const HEAD = `# Metrics

Made from the code by \`make generate\`: do not edit it here. Agents and operators answer \`/metrics\` on their \`HTTP_LISTEN\` (9443), over TLS, to clients that show a certificate of
the cluster's authority; the chart keeps one for that (Secret \`holdfast-metrics-tls\`), and its PodMonitor uses it. Dashboards: \`helm/holdfast/dashboards\`; alerts: \`helm/holdfast/rules\`.

- **The label \`node\` of agents' metrics comes from the scrape**: the PodMonitor writes the node of the pod there, and any other way of scraping has to (\`__meta_kubernetes_pod_node_name\`). The leader's own series carry \`node\`
  themselves. Dashboards and alerts rely on both being named alike.
- **What only the leader tells** (volumes, nodes, tasks, snapshots, limits of pools, etcd) is missing or 0 at the other operators; ask with \`max by (...)\`.
- **How much there is of it is bounded.** By volume: the leader's worst 2,000 (\`holdfast_volumes_untold_count\` says how many more there are), and of each agent the first 256 that a thread of it serves. By node: those of
  the cluster. Nothing is labelled by client, replica or request.
- A metric's name ends in its unit. A histogram has \`_bucket\`, \`_sum\` and \`_count\`.
`;

const files = (room: string): string[] =>
  readdirSync(room, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .sort();

/** From an opening parenthesis to its end; parentheses within strings are none. */
function argumentsAt(text: string, start: number, file: string): string {
  let depth = 1;
  for (let at = start; at < text.length; at++) {
    const letter = text[at] ?? '';
    if (`'"\``.includes(letter)) at = endOfString(text, at);
    else if ('([{'.includes(letter)) depth++;
    else if (')]}'.includes(letter) && --depth === 0) return text.slice(start, at);
  }
  throw new Error(`${file}: a call has no end`);
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== text[start]) at += text[at] === '\\' ? 2 : 1;
  return at;
}

/** Of each listener, by its name. */
const LISTENER = /\$\{options\.name\}/;
const LITERAL = /^\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1\s*,\s*(['"`])((?:\\.|(?!\3)[^\\])*)\3/;
const LABELS = /\[\s*((?:'\w+'\s*,?\s*)+)\]/;
/** In the words of the code, a constant within a help. */
const constants = (text: string, help: string): string =>
  help.replace(/\$\{(\w+)\}/g, (_, name: string) => new RegExp(`const ${name} = ([\\d_]+)`).exec(text)?.[1]?.replaceAll('_', ',') ?? name);

function metricsIn(file: string, text: string, program: string): Metric[] {
  return [...text.matchAll(CALL)].flatMap((match) => {
    const words = argumentsAt(text, match.index + match[0].length, file);
    const [, , name, , help] = LITERAL.exec(words) ?? [];
    if (name === undefined || help === undefined)
      throw new Error(`${file}: a metric's name and help must be literals: ${words.slice(0, 80)}`);
    const isOfVolume = match[1] === undefined;
    const named = ['http', 'api'].map((listener) => name.replace(LISTENER, listener));
    const labels = isOfVolume ? ['volume'] : labelsIn(words, text);
    return [...new Set(named)].map((one) => ({
      name: `holdfast_${one}`,
      type: match[1]?.toLowerCase() ?? 'gauge',
      labels,
      help: constants(text, help.replaceAll("\\'", "'")),
      program: one.startsWith('api_') ? 'operator' : program,
    }));
  });
}

/** A list of words, or the constant \`labels\` of the same function. */
function labelsIn(words: string, text: string): string[] {
  const list =
    LABELS.exec(words)?.[1] ?? (/,\s*labels\b/.test(words) ? LABELS.exec(text.slice(text.indexOf('const labels =')))?.[1] : undefined);
  return [...(list ?? '').matchAll(/'(\w+)'/g)].map(([, label]) => label ?? '');
}

function ofTheProcess(): Metric[] {
  const { registry } = createMetrics({ processMetrics: true });
  const metrics = registry.getMetricsAsArray() as unknown as {
    name: string;
    help: string;
    labelNames: string[];
    constructor: { name: string };
  }[];
  return metrics.map(({ name, help, labelNames, constructor: kind }) => ({
    name,
    help,
    type: kind.name.toLowerCase(),
    labels: labelNames,
    program: 'process',
  }));
}

const unitOf = (name: string): string => {
  const isTotal = name.endsWith('_total');
  const unit = UNITS.find((one) => name.replace(/_total$/, '').endsWith(`_${one}`));
  return [UNIT_WORDS[unit ?? ''], isTotal ? 'counted since the start' : undefined].filter((word) => word !== undefined).join(', ');
};
const row = ({ name, type, labels, help }: Metric): string =>
  `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${unitOf(name)} | ${help.replaceAll('|', '\\|')} |`;

function section(title: string, metrics: readonly Metric[]): string {
  const rows = [...metrics].sort((a, b) => (a.name < b.name ? -1 : 1)).map(row);
  return `\n## ${title}\n\n| metric | type | labels | unit | what it means |\n|---|---|---|---|---|\n${rows.join('\n')}\n`;
}

export function metricsDocument(root: string): { name: string; text: string } {
  const found = ROOMS.flatMap((room) =>
    files(join(root, room)).flatMap((file) => {
      const place = `${room}/${file}`;
      const program = ONLY[place] ?? (room === 'edge' ? 'both' : room);
      return metricsIn(place, readFileSync(join(root, place), 'utf8'), program);
    }),
  );
  const of = (program: string): Metric[] => found.filter((metric) => metric.program === program);
  const text = [
    HEAD,
    section('Operators', of('operator')),
    section('Agents', of('agent')),
    section('Both', of('both')),
    section('Both: process and runtime', ofTheProcess()),
  ].join('');
  return { name: 'docs/metrics.md', text };
}
