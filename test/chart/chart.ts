/** The chart as Helm renders it, without a cluster; and the files that are made from it. Must never talk to an API server. */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { findHelm } from '../../tools/local/programs.ts';
import { printer } from '../../tools/local/progress.ts';

export const CHART = path.join(CHECKOUT, 'helm/holdfast');
export const NAMESPACE = 'holdfast-system';
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export type Rendered = {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> };
} & Record<string, unknown>;

/** Exit code and what was said; never rejects for what Helm refuses. */
export async function helm(words: readonly string[], input = ''): Promise<{ code: number; out: string; error: string }> {
  const program = await findHelm(printer(process.stderr));
  return new Promise((resolve) => {
    const child = execFile(program, words, { cwd: CHECKOUT, maxBuffer: OUTPUT_BYTES_MAX }, (error, out, said) =>
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, out, error: said }),
    );
    child.stdin?.end(input);
  });
}

export type RenderOptions = {
  /** As in values.yaml. */
  values?: string;
  /** What the API server is said to know, beside Kubernetes' own. */
  kinds?: readonly string[];
  /** One template of the chart alone. */
  only?: string;
  namespace?: string;
};

/** Throws what Helm says of it. */
export async function render({ values = '', kinds = [], only, namespace = NAMESPACE }: RenderOptions = {}): Promise<string> {
  const { code, out, error } = await helm(
    [
      ...['template', 'holdfast', CHART, '--namespace', namespace, '--kube-version', '1.36.0', '--values', '-'],
      ...kinds.flatMap((kind) => ['--api-versions', kind]),
      ...(only === undefined ? [] : ['--show-only', only]),
    ],
    values,
  );
  if (code !== 0) throw new Error(error.trim());
  return tidy(out);
}

/** Without what differs between versions of Helm: where blank lines are, and which template a document is of. */
export const tidy = (text: string): string =>
  text
    .split('\n')
    .filter((line) => !line.startsWith('# Source: ') && line.trim() !== '')
    .join('\n')
    .replace(/^---\n/, '')
    .concat('\n');

export const objectsOf = (text: string): Rendered[] =>
  parseAllDocuments(text)
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null);

/** With UPDATE=1 the file is written instead; read the difference before you keep it. */
export function compareWithFile(file: string, text: string): { wanted: string; found: string } {
  if (process.env.UPDATE === '1') writeFileSync(file, text);
  return { wanted: text, found: readFileSync(file, 'utf8') };
}

/** The sets of values that are tried, by their names. */
export const valuesOf = (name: string): string => readFileSync(path.join(import.meta.dirname, 'values', `${name}.yaml`), 'utf8');

/** What an API server knows where the Prometheus operator, cert-manager and snapshots are installed. */
const MONITORING = ['monitoring.coreos.com/v1'];
const SNAPSHOTS = ['snapshot.storage.k8s.io/v1'];
export const SETS: readonly { name: string; kinds: readonly string[]; namespace: string }[] = [
  { name: 'default', kinds: [], namespace: NAMESPACE },
  { name: 'monitored', kinds: [...MONITORING, ...SNAPSHOTS], namespace: NAMESPACE },
  { name: 'certmanager', kinds: SNAPSHOTS, namespace: 'storage' },
  { name: 'given', kinds: SNAPSHOTS, namespace: NAMESPACE },
  { name: 'small', kinds: [], namespace: 'default' },
];

export const renderSet = ({ name, kinds, namespace }: (typeof SETS)[number]): Promise<string> =>
  render({ values: valuesOf(name), kinds, namespace });
