/** The configuration of uninstalling: one table. Pure. Must never start anything. */
import { anyText, list, name } from '../../core/parameter-kinds.ts';
import { type Environment, type ParametersOf, requireParameters, row } from '../../core/parameters.ts';

const names = list('name,...', 0, (part) =>
  /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(part) ? { value: part } : { rule: `${part} is no name` },
);

export const UNINSTALL_PARAMETERS = {
  kubeconfig: row('KUBECONFIG', anyText, '', 'how to reach the API server; empty: as the pod that it runs in'),
  namespace: row('POD_NAMESPACE', name, 'holdfast-system', 'where Holdfast is installed'),
  release: row('RELEASE', name, null, 'app.kubernetes.io/instance of its pods'),
  daemonSets: row('DAEMONSETS', names, '', 'agents and holders: they end first'),
  deployments: row('DEPLOYMENTS', names, '', 'operators and signer: they end when the StorageNodes are gone'),
  statefulSets: row('STATEFULSETS', names, '', 'etcd'),
  secrets: row('SECRETS', names, '', 'what the signer has made'),
  configMaps: row('CONFIGMAPS', names, '', 'the same'),
  signerName: row('SIGNER_NAME', anyText, 'holdfast.dev/agent', 'whose CertificateSigningRequests go'),
  cleaner: row('CLEANER', name, 'holdfast-cleaner', 'the DaemonSet that takes away what is left on nodes'),
} as const;

export type UninstallParameters = ParametersOf<typeof UNINSTALL_PARAMETERS>;

/** Throws ConfigurationError with every problem. */
export const uninstallSettings = (environment: Environment): UninstallParameters => requireParameters(UNINSTALL_PARAMETERS, environment);
