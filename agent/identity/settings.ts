/** The identity's configuration: one table. Pure. Must never start anything. */
import { LOG_LEVELS } from '../../core/log.ts';
import { absolutePath, anyText, choice, list, name, wholeNumber } from '../../core/parameter-kinds.ts';
import { type Environment, type ParametersOf, requireParameters, row } from '../../core/parameters.ts';

const addresses = list('address,...', 0, (part) =>
  /^[0-9a-fA-F:.]{2,45}$/.test(part) ? { value: part } : { rule: `${part} is no address` },
);

export const IDENTITY_PARAMETERS = {
  nodeName: row('NODE_NAME', name, null, "this machine's name in Kubernetes"),
  namespace: row('POD_NAMESPACE', name, 'holdfast-system', 'where the trust lies'),
  host: row('KUBERNETES_SERVICE_HOST', anyText, null, 'where the API server is; every pod is told'),
  port: row('KUBERNETES_SERVICE_PORT', wholeNumber('port', 1, 65_535), '443', 'and at which port'),
  tokenDirectory: row(
    'TOKEN_DIR',
    absolutePath,
    '/var/run/secrets/kubernetes.io/serviceaccount',
    "where the pod's token and the API server's authority (ca.crt) lie",
  ),
  addresses: row('ADDRESSES', addresses, '', "the pod's addresses, to stand in the certificate beside the node's name"),
  directory: row(
    'IDENTITY_DIR',
    absolutePath,
    '/run/holdfast-identity',
    'where ca.crt, tls.crt and tls.key appear; in memory, shared with the agent',
  ),
  trustConfigMap: row('TRUST_CONFIGMAP', name, 'holdfast-trust', 'whom everybody trusts'),
  signerName: row('SIGNER_NAME', anyText, 'holdfast.dev/agent', 'who is asked to sign'),
  lookEveryMs: row('LOOK_EVERY_MS', wholeNumber('ms', 50, 600_000), '60000', "how often the trust and the certificate's age are looked at"),
  logLevel: row('LOG_LEVEL', choice(...LOG_LEVELS), 'info', 'the least important line that is written'),
} as const;

export type IdentityParameters = ParametersOf<typeof IDENTITY_PARAMETERS>;

/** Throws ConfigurationError with every problem. */
export const identitySettings = (environment: Environment): IdentityParameters => requireParameters(IDENTITY_PARAMETERS, environment);
