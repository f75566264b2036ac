/**
 * Accounts in the etcd of a local cluster: who issues a name's certificate opens its account, here as in a real cluster. For every name that may come, before it does:
 * each change of an account makes the API server's calls under way fail once, where it shares this etcd.
 */
import { type Accounts, accountsOf, type Role } from '../../core/accounts.ts';
import { keysOf } from '../../core/keys.ts';
import { silentLog } from '../../core/log.ts';
import { EtcdAccounts, schemaInForce } from '../../edge/etcd/accounts.ts';
import { openClient } from '../../edge/etcd/endpoints.ts';
import { loadCertificates, type TlsFiles } from '../../edge/tls.ts';
import { CLUSTER_NAME, NODES_MAX, nodeNames, OPERATORS_MAX, operatorNames } from './layout.ts';

/** The API server's own prefix, and the key by which several of them agree who compacts. */
const KUBERNETES: Role = {
  name: 'kubernetes',
  grants: [
    { type: 'readwrite', key: '/registry/', isPrefix: true },
    { type: 'readwrite', key: 'compact_rev_key', isPrefix: false },
  ],
};

function localAccounts(schema: number): Accounts {
  const operators = ['operator:administrator', ...operatorNames(OPERATORS_MAX).map((name) => `operator:${name}`)];
  const { roles, accounts } = accountsOf(keysOf(CLUSTER_NAME), CLUSTER_NAME, { operators, nodes: nodeNames(NODES_MAX), schema });
  return { roles: [...roles, KUBERNETES], accounts: [...accounts, { user: 'kube-apiserver', roles: [KUBERNETES.name] }] };
}

/** As the administrator, by the schema in force. Done twice it changes nothing. */
export async function openAccounts(endpoint: string, administrator: TlsFiles): Promise<void> {
  const certificates = await loadCertificates(administrator, silentLog);
  const client = openClient(endpoint, certificates.material);
  try {
    const schema = await schemaInForce(client, keysOf(CLUSTER_NAME).schema);
    await new EtcdAccounts(CLUSTER_NAME).keep(client, localAccounts(schema));
  } finally {
    client.close();
    certificates.close();
  }
}
