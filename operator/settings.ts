/**
 * The operator's own configuration, and the settings that it gives to every agent. Pure: files are read through an argument. Must never start anything.
 */
import { COMMON_PARAMETERS, commonRelations } from '../core/common-parameters.ts';
import { messageOf } from '../core/errors.ts';
import { anyText, choice, name, wholeNumber } from '../core/parameter-kinds.ts';
import { ConfigurationError, type Environment, type ParametersOf, type Problem, parseParameters, row } from '../core/parameters.ts';
import { parseSettings, type Settings } from '../core/settings.ts';
import { GROUP } from './api.ts';
import type { PlacementLimits } from './placement/checks.ts';
import type { UpkeepLimits } from './store/decide.ts';

export const OPERATOR_PARAMETERS = {
  ...COMMON_PARAMETERS,
  name: row('NAME', name, null, 'who this operator is among the others'),
  kubeconfig: row('KUBECONFIG', anyText, '', 'how to reach the API server; empty: as the pod that it runs in'),
  namespace: row('POD_NAMESPACE', name, 'holdfast-system', 'where the Lease lies'),
  leaseName: row('LEASE_NAME', name, `operator.${GROUP}`, 'which of several operators leads'),
  apiPort: row('API_PORT', wholeNumber('port', 0, 65_535), '9444', 'where the REST API answers, at the address of HTTP_LISTEN; 0: nowhere'),
  csiSocket: row('CSI_SOCKET', anyText, '', 'where the CSI controller answers the sidecars, a path; empty: nowhere'),
  settings: row('SETTINGS', anyText, '', "every agent's settings, as JSON; left out: the defaults"),
  settingsFile: row('SETTINGS_FILE', anyText, '', 'a file with the same, instead'),
  overProvisioningPercent: row(
    'OVER_PROVISIONING_PERCENT',
    wholeNumber('%', 100, 10_000),
    '200',
    "how much of a pool's usable capacity may be promised; volumes are thin, so more than it has",
  ),
  replaceAfterSeconds: row(
    'REPLACE_AFTER_SECONDS',
    wholeNumber('s', 0, 30 * 86_400),
    '600',
    'after which the replicas of a node that is away are made elsewhere, longer than a reboot; 0: never',
  ),
  schemaRaiseAfterSeconds: row(
    'SCHEMA_RAISE_AFTER_SECONDS',
    wholeNumber('s', 0, 30 * 86_400),
    '86400',
    'how long all programs have known a new schema of etcd before it is put in force, and the version before is refused',
  ),
  pressurePercent: row(
    'PRESSURE_PERCENT',
    wholeNumber('%', 1, 100),
    '85',
    "how much of a pool's file system may be used before nothing new is placed there and replicas are moved away; at most what RESERVE_PERCENT leaves",
  ),
  rebalance: row(
    'REBALANCE',
    choice('on', 'off', 'pressure'),
    'on',
    'whether replicas are moved to where more room is: on; pressure: only away from pools whose file systems are nearly full; off',
  ),
  outOfServiceTaint: row(
    'OUT_OF_SERVICE_TAINT',
    choice('on', 'off'),
    'on',
    'whether the Kubernetes Node of a node whose agent and kubelet are silent is tainted out-of-service, so that its pods start elsewhere',
  ),
  etcdUpkeep: row(
    'ETCD_UPKEEP',
    choice('on', 'off'),
    'on',
    'whether the leader compacts and defragments etcd where nobody else does; off: it only tells; for an etcd that others look after',
  ),
  etcdHistoryMinutes: row(
    'ETCD_HISTORY_MINUTES',
    wholeNumber('min', 5, 10_080),
    '30',
    "how much of its history etcd keeps where nobody else compacts it; longer than etcd's own (--auto-compaction-retention)",
  ),
  etcdWastePercent: row(
    'ETCD_WASTE_PERCENT',
    wholeNumber('%', 10, 100),
    '50',
    "of a member's database, what may be wasted before the member is defragmented, which silences it for seconds",
  ),
  etcdWasteMebibytes: row('ETCD_WASTE_MIB', wholeNumber('MiB', 1, 8_192), '100', 'below this no waste is worth that'),
  reservePercent: row('RESERVE_PERCENT', wholeNumber('%', 0, 50), '5', 'of each pool, never promised: file systems work badly when full'),
} as const;

export type OperatorParameters = ParametersOf<typeof OPERATOR_PARAMETERS>;
export type OperatorSettings = { parameters: OperatorParameters; agents: Settings; limits: PlacementLimits };

const relations = (parameters: OperatorParameters): Problem[] => [
  ...commonRelations(parameters),
  ...(parameters.settings !== '' && parameters.settingsFile !== ''
    ? [{ key: 'SETTINGS_FILE', rule: 'may not be set together with SETTINGS' }]
    : []),
];

function agentSettings(key: string, text: string): { settings: Settings; problems: [] } | { settings: null; problems: Problem[] } {
  let input: unknown;
  try {
    input = text.trim() === '' ? {} : JSON.parse(text);
  } catch (error) {
    return { settings: null, problems: [{ key, rule: `must be JSON: ${messageOf(error)}` }] };
  }
  const { settings, problems } = parseSettings(input);
  if (settings !== null) return { settings, problems: [] };
  return {
    settings: null,
    problems: problems.map((problem) => ({ key: `${key}.${problem.key}`, value: JSON.stringify(problem.value), rule: problem.rule })),
  };
}

const MEBIBYTE = 1024 ** 2;
const MS_PER_MINUTE = 60_000;

export const upkeepLimits = ({
  etcdUpkeep,
  etcdHistoryMinutes,
  etcdWastePercent,
  etcdWasteMebibytes,
}: OperatorParameters): UpkeepLimits => ({
  acts: etcdUpkeep === 'on',
  wasteRatio: etcdWastePercent / 100,
  wasteBytesMin: etcdWasteMebibytes * MEBIBYTE,
  historyMs: etcdHistoryMinutes * MS_PER_MINUTE,
});

type ReadFile = (path: string) => string;

function unreadable(readFile: ReadFile, key: string, path: string): Problem[] {
  try {
    readFile(path);
    return [];
  } catch (error) {
    return [{ key, value: path, rule: `cannot be read: ${messageOf(error)}` }];
  }
}

/** What only the machine can tell; looked at even when other rows are wrong, so that all problems are told at once. */
function machineProblems(environment: Environment, readFile: ReadFile): Problem[] {
  const { kubeconfig, tlsCa, tlsCert, tlsKey } = OPERATOR_PARAMETERS;
  const files = [kubeconfig, tlsCa, tlsCert, tlsKey].flatMap(({ key, fallback }) => {
    const path = environment[key] || fallback || '';
    return path === '' ? [] : unreadable(readFile, key, path);
  });
  const isPod = (environment.KUBERNETES_SERVICE_HOST ?? '') !== '';
  if (isPod || environment[kubeconfig.key]) return files;
  return [{ key: kubeconfig.key, rule: 'must be set: this is no pod of a cluster (KUBERNETES_SERVICE_HOST is not set)' }, ...files];
}

/** The text of the settings, and where it came from. */
function settingsText(environment: Environment, readFile: ReadFile): { key: string; text: string; problems: Problem[] } {
  const path = environment.SETTINGS_FILE ?? '';
  if (path === '') return { key: 'SETTINGS', text: environment.SETTINGS ?? '', problems: [] };
  const problems = unreadable(readFile, 'SETTINGS_FILE', path);
  return { key: 'SETTINGS_FILE', text: problems.length > 0 ? '' : readFile(path), problems };
}

/** Throws ConfigurationError with every problem. `readFile` throws what is wrong with a file. */
export function operatorSettings(environment: Environment, readFile: ReadFile): OperatorSettings {
  const { parameters, problems } = parseParameters(OPERATOR_PARAMETERS, environment, relations);
  const given = settingsText(environment, readFile);
  const agents = agentSettings(given.key, given.text);
  const found = [...problems, ...machineProblems(environment, readFile), ...given.problems, ...agents.problems];
  if (parameters === null || agents.settings === null || found.length > 0) throw new ConfigurationError(found);
  const limits = {
    overProvisioningRatio: parameters.overProvisioningPercent / 100,
    reserveRatio: parameters.reservePercent / 100,
    // What is kept back is never to be used.
    pressureRatio: Math.min(parameters.pressurePercent, 100 - parameters.reservePercent) / 100,
  };
  return { parameters, agents: agents.settings, limits };
}
