/** The signer's configuration: one table, and the rules between its rows. Pure. Must never start anything. */
import { messageOf } from '../../core/errors.ts';
import { LOG_LEVELS } from '../../core/log.ts';
import { anyText, choice, list, name, wholeNumber } from '../../core/parameter-kinds.ts';
import { type Environment, type Kind, type ParametersOf, type Problem, requireParameters, row } from '../../core/parameters.ts';

export type LeafSecret = { readonly secret: string; readonly commonName: string; readonly names: readonly string[] };

const LEAVES_MAX = 32;

const isText = (value: unknown): value is string => typeof value === 'string' && value.length > 0 && value.length <= 253;

function isLeafSecret(value: unknown): value is LeafSecret {
  if (typeof value !== 'object' || value === null) return false;
  const { secret, commonName, names } = value as Record<string, unknown>;
  return isText(secret) && isText(commonName) && Array.isArray(names) && names.every(isText);
}

const leaves: Kind<readonly LeafSecret[]> = {
  unit: 'JSON',
  showsValue: false,
  parse(text) {
    try {
      const parsed: unknown = JSON.parse(text);
      if (!Array.isArray(parsed) || parsed.length > LEAVES_MAX || !parsed.every(isLeafSecret))
        return { rule: `must be a list of at most ${LEAVES_MAX} of {"secret", "commonName", "names": […]}` };
      const agents = parsed.find(({ commonName }) => commonName.startsWith('agent:'));
      if (agents !== undefined)
        return { rule: `may not hold ${agents.commonName}: agents ask for theirs, so that the API server vouches for the node` };
      return { value: parsed };
    } catch (error) {
      return { rule: `must be JSON: ${messageOf(error)}` };
    }
  },
};

const urlsOrNone = list('https://host:port,...', 0, (part) =>
  URL.canParse(part) && part.startsWith('https:') ? { value: part } : { rule: `${part} must be https://host:port` },
);
const commonNames = list('name,...', 0, (part) =>
  /^[\w:.-]{1,253}$/.test(part) ? { value: part } : { rule: `${part} is no common name` },
);
const seconds = wholeNumber('s', 1, 20 * 365 * 86_400);

export const SIGNER_PARAMETERS = {
  name: row('NAME', name, null, 'who this signer is among the others'),
  kubeconfig: row('KUBECONFIG', anyText, '', 'how to reach the API server; empty: as the pod that it runs in'),
  namespace: row('POD_NAMESPACE', name, 'holdfast-system', 'where Secrets and ConfigMap lie, and the agents live'),
  authority: row('CA', choice('own', 'given'), 'own', 'whether the authority is made and renewed here, or by somebody else'),
  authoritySecret: row('CA_SECRET', name, 'holdfast-ca', 'where the authority lies'),
  trustConfigMap: row('TRUST_CONFIGMAP', name, 'holdfast-trust', 'whom everybody trusts'),
  leaves: row('LEAVES', leaves, '[]', 'certificates to be kept in Secrets'),
  signerName: row('SIGNER_NAME', anyText, 'holdfast.dev/agent', 'whose CertificateSigningRequests are looked at'),
  agentServiceAccount: row('AGENT_SERVICE_ACCOUNT', name, 'holdfast-agent', "who may ask for an agent's certificate"),
  authoritySeconds: row('CA_SECONDS', seconds, '315360000', 'life of an authority'),
  leafSeconds: row('LEAF_SECONDS', seconds, '7776000', 'life of every other certificate: not long, for none can be called back'),
  spreadSeconds: row('SPREAD_SECONDS', seconds, '3600', 'how long a new authority is trusted before it issues anything'),
  lookEveryMs: row('LOOK_EVERY_MS', wholeNumber('ms', 50, 600_000), '5000', 'how often requests and certificates are looked at'),
  etcdStatefulSet: row('ETCD_STATEFULSET', anyText, '', 'rolled when the trust changes: etcd reads it at its start only; empty: none'),
  etcdAccounts: row('ETCD_ACCOUNTS', choice('on', 'off'), 'off', 'whether accounts in etcd are kept, and its authentication is turned on'),
  etcdEndpoints: row('ETCD_ENDPOINTS', urlsOrNone, '', 'where etcd answers'),
  etcdOperators: row('ETCD_OPERATORS', commonNames, 'operator:operator', 'common names that may do everything in etcd'),
  cluster: row('HOLDFAST_CLUSTER', name, 'default', 'prefix of every key in etcd, as of operators and agents'),
  logLevel: row('LOG_LEVEL', choice(...LOG_LEVELS), 'info', 'the least important line that is written'),
} as const;

export type SignerParameters = ParametersOf<typeof SIGNER_PARAMETERS>;

function relations({ authoritySeconds, leafSeconds, spreadSeconds, ...parameters }: SignerParameters): Problem[] {
  const problems: Problem[] = [];
  if (parameters.authority === 'own' && authoritySeconds < 3 * (leafSeconds + spreadSeconds))
    problems.push({
      key: 'CA_SECONDS',
      rule: `must be at least 3 x (LEAF_SECONDS + SPREAD_SECONDS), ${3 * (leafSeconds + spreadSeconds)}: a third of it is left when the next one comes`,
    });
  if (parameters.etcdAccounts === 'on' && parameters.etcdEndpoints.length === 0)
    problems.push({ key: 'ETCD_ENDPOINTS', rule: 'must be set while ETCD_ACCOUNTS is on' });
  return problems;
}

/** Throws ConfigurationError with every problem. */
export const signerSettings = (environment: Environment): SignerParameters => requireParameters(SIGNER_PARAMETERS, environment, relations);
