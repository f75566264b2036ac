/**
 * etcd, kube-apiserver and kubectl: taken from KUBEBUILDER_ASSETS when that is set, else built once from the Go modules that tools/ pins, into a
 * cache that all checkouts of this user share. Never downloads a program; a build that was killed leaves nothing that is taken for one.
 */
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { goBuild } from './build.ts';
import { LocalClusterError } from './errors.ts';
import { CHECKOUT } from './layout.ts';
import { withLock } from './lock.ts';
import { type OnProgress, step } from './progress.ts';

export type Programs = { etcd: string; apiServer: string; kubectl: string; versions: { etcd: string; kubernetes: string } };

/** What is built: a package of the Go module in `tools/<module>`. */
export type Pin = {
  program: string;
  module: string;
  goPackage: string;
  versionOf: string;
  firstBuild: string;
  /** Files of the module that are our own, beside what it pins. */
  sources?: string[];
};

/** What the step of a program that is built begins with: who shows nothing else of the start shows these, for they take minutes. */
export const BUILDING = 'build ';

const ETCD_MODULE = 'go.etcd.io/etcd/server/v3';
const KUBERNETES_MODULE = 'k8s.io/kubernetes';
const PINS: Record<'etcd' | 'kube-apiserver' | 'kubectl', Pin> = {
  etcd: { program: 'etcd', module: 'etcd', goPackage: ETCD_MODULE, versionOf: ETCD_MODULE, firstBuild: 'about a minute' },
  'kube-apiserver': {
    program: 'kube-apiserver',
    module: 'kube-apiserver',
    goPackage: 'k8s.io/kubernetes/cmd/kube-apiserver',
    versionOf: KUBERNETES_MODULE,
    firstBuild: 'about 5 minutes on 2 cores',
  },
  kubectl: {
    program: 'kubectl',
    module: 'kube-apiserver',
    goPackage: 'k8s.io/kubernetes/cmd/kubectl',
    versionOf: KUBERNETES_MODULE,
    firstBuild: 'about a minute',
  },
};

const HISTORY: Pin = {
  program: 'history',
  module: 'history',
  goPackage: '.',
  versionOf: 'github.com/anishathalye/porcupine',
  firstBuild: 'in seconds',
  sources: ['main.go'],
};

const CSI_SANITY: Pin = {
  program: 'csi-sanity',
  module: 'csi-sanity',
  goPackage: 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity',
  versionOf: 'github.com/kubernetes-csi/csi-test/v5',
  firstBuild: 'about a minute',
};

const HELM: Pin = {
  program: 'helm',
  module: 'helm',
  goPackage: 'helm.sh/helm/v4/cmd/helm',
  versionOf: 'helm.sh/helm/v4',
  firstBuild: 'about 4 minutes on 2 cores',
};

/** Installs and renders the chart (tools/helm). */
export const findHelm = (onProgress: OnProgress): Promise<string> => build(HELM, onProgress);

/** The standard tests of a CSI driver (tools/csi-sanity). */
export const findCsiSanity = (onProgress: OnProgress): Promise<string> => build(CSI_SANITY, onProgress);

/** The program that says whether a history is linearizable (tools/history). */
export const findHistoryChecker = (onProgress: OnProgress): Promise<string> => build(HISTORY, onProgress);

export async function findPrograms(onProgress: OnProgress): Promise<Programs> {
  const assets = process.env.KUBEBUILDER_ASSETS || undefined;
  const find = (pin: Pin): Promise<string> => (assets === undefined ? build(pin, onProgress) : Promise.resolve(asset(assets, pin.program)));
  const etcd = await find(PINS.etcd);
  const apiServer = await find(PINS['kube-apiserver']);
  const kubectl = existing(assets, 'kubectl') ?? onPath('kubectl') ?? (await build(PINS.kubectl, onProgress));
  const given = assets === undefined ? undefined : 'from KUBEBUILDER_ASSETS';
  return {
    etcd,
    apiServer,
    kubectl,
    versions: { etcd: given ?? pinnedVersion(PINS.etcd), kubernetes: given ?? pinnedVersion(PINS['kube-apiserver']) },
  };
}

/** The version that the pin's go.mod asks for, such as `v3.7.3`. */
export function pinnedVersion(pin: Pin): string {
  const goMod = readFileSync(path.join(moduleDirectory(pin), 'go.mod'), 'utf8');
  const version = goMod.match(new RegExp(`^(?:require )?\\s*${pin.versionOf.replaceAll('.', '\\.')} (v\\S+)`, 'm'))?.[1];
  if (version === undefined) {
    throw new Error(`tools/${pin.module}/go.mod does not pin ${pin.versionOf}`);
  }
  return version;
}

export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  return environment.HOLDFAST_CACHE || path.join(environment.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'holdfast');
}

function moduleDirectory(pin: Pin): string {
  return path.join(CHECKOUT, 'tools', pin.module);
}

async function build(pin: Pin, onProgress: OnProgress): Promise<string> {
  const version = pinnedVersion(pin);
  const linkerFlags = `-s -w${pin.versionOf === KUBERNETES_MODULE ? kubernetesVersionFlags(version) : ''}`;
  const target = path.join(cacheDirectory(), `${pin.program}-${version}-${buildKey(pin, linkerFlags)}`, pin.program);
  if (existsSync(target)) {
    return target;
  }
  await step(onProgress, `${BUILDING}${pin.program}`, `${version}, waiting for another build`, (tell) =>
    withLock(path.join(cacheDirectory(), 'lock'), async () => {
      if (existsSync(target)) {
        return; // built meanwhile by whom we waited for
      }
      const what = `${version}, built once, ${pin.firstBuild}`;
      tell(what);
      const unfinished = path.join(path.dirname(target), 'unfinished');
      rmSync(unfinished, { recursive: true, force: true }); // left by a build that was killed: only whoever holds the lock builds
      mkdirSync(unfinished, { recursive: true });
      const parts = { module: moduleDirectory(pin), goPackage: pin.goPackage, linkerFlags, directory: unfinished };
      renameSync(await goBuild(parts, (text) => tell(`${what}: ${text}`)), target);
      rmSync(unfinished, { recursive: true });
      tell(`${version}, built`);
    }),
  );
  return target;
}

/** All that decides what the program will be: another pin or another way to build is another program. */
function buildKey(pin: Pin, linkerFlags: string): string {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${pin.goPackage} ${linkerFlags}\n`);
  for (const file of ['go.mod', 'go.sum', ...(pin.sources ?? [])]) {
    hash.update(readFileSync(path.join(moduleDirectory(pin), file)));
  }
  return hash.digest('hex').slice(0, 12);
}

/** Without these the server calls itself v0.0.0, and clients that look at the version misbehave. */
function kubernetesVersionFlags(version: string): string {
  const [major, minor] = version.slice(1).split('.');
  const flags = {
    'k8s.io/component-base/version.gitVersion': version,
    'k8s.io/component-base/version.gitMajor': major,
    'k8s.io/component-base/version.gitMinor': minor,
    'k8s.io/client-go/pkg/version.gitVersion': version,
  };
  return Object.entries(flags)
    .map(([name, value]) => ` -X ${name}=${value}`)
    .join('');
}

function asset(assets: string, program: string): string {
  const file = existing(assets, program);
  if (file === undefined) {
    throw new LocalClusterError(
      `KUBEBUILDER_ASSETS is ${assets}, but there is no program ${program} in it: put it there, or unset KUBEBUILDER_ASSETS to have it built.`,
    );
  }
  return file;
}

function onPath(program: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .map((directory) => existing(directory, program))
    .find((file) => file !== undefined);
}

function existing(directory: string | undefined, program: string): string | undefined {
  if (!directory) {
    return undefined;
  }
  const file = path.resolve(directory, program);
  try {
    accessSync(file, constants.X_OK);
    return file;
  } catch {
    return undefined; // whatever the reason is, it is not a program that we can start
  }
}
