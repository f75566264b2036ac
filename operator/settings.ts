/**
 * The operator's own configuration, and the settings that it gives to every agent. Pure but for the one file that SETTINGS_FILE names, which is read through
 * an argument.
 */
import { COMMON_PARAMETERS, commonRelations } from '../core/common-parameters.ts';
import { messageOf } from '../core/errors.ts';
import { anyText, name, wholeNumber } from '../core/parameter-kinds.ts';
import { ConfigurationError, type Environment, type ParametersOf, type Problem, parseParameters, row } from '../core/parameters.ts';
import { parseSettings, type Settings } from '../core/settings.ts';
import { GROUP } from './api.ts';
import type { PlacementLimits } from './placement/checks.ts';

const OPERATOR_PARAMETERS = {
  ...COMMON_PARAMETERS,
  name: row('NAME', name, null, 'who this operator is among the others'),
  kubeconfig: row('KUBECONFIG', anyText, '', 'how to reach the API server; empty: as the pod that it runs in'),
  namespace: row('POD_NAMESPACE', name, 'holdfast-system', 'where the Lease lies'),
  leaseName: row('LEASE_NAME', name, `operator.${GROUP}`, 'which of several operators leads'),
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

/** Throws ConfigurationError with every problem. `readFile` is for SETTINGS_FILE only. */
export function operatorSettings(environment: Environment, readFile: (path: string) => string): OperatorSettings {
  const { parameters, problems } = parseParameters(OPERATOR_PARAMETERS, environment, relations);
  const found: Problem[] = [...problems];
  const path = environment.SETTINGS_FILE ?? '';
  const key = path === '' ? 'SETTINGS' : 'SETTINGS_FILE';
  let text = environment.SETTINGS ?? '';
  try {
    if (path !== '') text = readFile(path);
  } catch (error) {
    found.push({ key, value: path, rule: `cannot be read: ${messageOf(error)}` });
    text = '';
  }
  const agents = agentSettings(key, text);
  found.push(...agents.problems);
  if (parameters === null || agents.settings === null || found.length > 0) throw new ConfigurationError(found);
  const limits = { overProvisioningRatio: parameters.overProvisioningPercent / 100, reserveRatio: parameters.reservePercent / 100 };
  return { parameters, agents: agents.settings, limits };
}
