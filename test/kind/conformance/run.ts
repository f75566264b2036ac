/**
 * `make conformance`: Kubernetes' own storage tests (test/e2e/storage/external) against csi.holdfast.dev, on the cluster of `make e2e`. Exit code 0: all that ran passed.
 * What is left out is said and counted: tests of what driver.yaml does not claim skip themselves; SKIP leaves out more. KEEP=1 leaves the cluster,
 * AS_IT_IS=1 takes the one that is there.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { onCluster } from '../cluster.ts';

const HERE = import.meta.dirname;
const KIND = path.dirname(HERE);
const CACHE = process.env.HOLDFAST_CACHE || '/var/cache/holdfast';
const PROGRAMS = path.join(CACHE, 'conformance');
const REPORTS = path.resolve(process.env.REPORTS || path.join(PROGRAMS, 'reports'));
/** Disruptive ones stop kubelets over ssh, which these nodes have not; Windows and SELinux are not here, nor the image of the populator that "any volume data source" tries. */
const SKIP = process.env.SKIP || '\\[Disruptive\\]|\\[Feature:Windows\\]|SELinux|any.volume.data.source';
const FOCUS = process.env.FOCUS || 'External.Storage';
const PROCESSES = Number(process.env.PROCESSES || '6');
const HOURS_MAX = 3;
const FAILURES_SHOWN_MAX = 40;
const WORDS_MAX = 400;

type Spec = {
  State: string;
  ContainerHierarchyTexts: string[] | null;
  LeafNodeType: string;
  LeafNodeText: string;
  RunTime: number;
  Failure?: { Message: string };
};

function environment(): NodeJS.ProcessEnv {
  const text = execFileSync('bash', ['-c', `eval "$("${KIND}/env.sh")"; env -0`], { encoding: 'utf8' });
  const pairs = text
    .split('\0')
    .flatMap((line) => (line.includes('=') ? [[line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]] : []));
  return { ...Object.fromEntries(pairs), KUBE_TEST_REPO_LIST: path.join(HERE, 'registries.yaml') };
}

function runSuite(): void {
  mkdirSync(REPORTS, { recursive: true });
  const env = environment();
  const words = [
    'run',
    `--procs=${PROCESSES}`,
    `--timeout=${HOURS_MAX}h`,
    `--focus=${FOCUS}`,
    `--skip=${SKIP}`,
    '--no-color',
    '--silence-skips',
    '--keep-going',
    `--output-dir=${REPORTS}`,
    '--json-report=report.json',
    path.join(PROGRAMS, 'storage.test'),
    '--',
    `-storage.testdriver=${path.join(HERE, 'driver.yaml')}`,
    `-kubeconfig=${env.KUBECONFIG}`,
    '-provider=local',
    '-allowed-not-ready-nodes=0',
    '-non-blocking-taints=node-role.kubernetes.io/control-plane',
  ];
  spawnSync(path.join(PROGRAMS, 'ginkgo'), words, { env, stdio: 'inherit' });
}

/** How many passed, and which did not. */
function report(): number {
  const [suite] = JSON.parse(readFileSync(path.join(REPORTS, 'report.json'), 'utf8')) as [{ SpecReports: Spec[] }];
  const specs = suite.SpecReports.filter(({ LeafNodeType }) => LeafNodeType === 'It');
  const of = (...states: string[]): Spec[] => specs.filter(({ State }) => states.includes(State));
  const skippedByThemselves = specs.filter(({ State, Failure }) => State === 'skipped' && (Failure?.Message ?? '') !== '');
  const failed = of('failed', 'panicked', 'timedout', 'interrupted', 'aborted');
  for (const spec of failed.slice(0, FAILURES_SHOWN_MAX))
    process.stdout.write(
      `\nWRONG  ${[...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' ')}\n  ${(spec.Failure?.Message ?? '').slice(0, WORDS_MAX)}\n`,
    );
  process.stdout.write(
    `\n${of('passed').length} passed, ${failed.length} failed, ${skippedByThemselves.length} skipped themselves: not claimed, or not of this cluster\n`,
  );
  if (of('passed').length === 0) throw new Error('nothing ran: see FOCUS and SKIP');
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = await onCluster(['conformance/images.sh'], async () => {
  runSuite();
  return report();
}).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  return 2;
});
