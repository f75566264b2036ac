/** The rows of the configuration that both programs share. Pure. */
import { LOG_LEVELS } from './log.ts';
import { absolutePath, choice, hostPort, name, urls } from './parameter-kinds.ts';
import { type ParametersOf, type Problem, row } from './parameters.ts';

export const COMMON_PARAMETERS = {
  cluster: row('HOLDFAST_CLUSTER', name, 'default', 'prefix of every key in etcd: several clusters may share one'),
  etcdEndpoints: row('ETCD_ENDPOINTS', urls, null, 'where etcd answers'),
  tlsCa: row('TLS_CA', absolutePath, '/etc/holdfast/tls/ca.crt', 'who may talk to this program'),
  tlsCert: row('TLS_CERT', absolutePath, '/etc/holdfast/tls/tls.crt', 'who this program is'),
  tlsKey: row('TLS_KEY', absolutePath, '/etc/holdfast/tls/tls.key', 'the key of TLS_CERT'),
  httpListen: row('HTTP_LISTEN', hostPort, '0.0.0.0:9443', 'health, readiness and metrics'),
  logLevel: row('LOG_LEVEL', choice(...LOG_LEVELS), 'info', 'the least important line that is written'),
} as const;

export function commonRelations(parameters: ParametersOf<typeof COMMON_PARAMETERS>): Problem[] {
  const plain = parameters.etcdEndpoints.find((endpoint) => !endpoint.startsWith('https:'));
  return plain === undefined ? [] : [{ key: 'ETCD_ENDPOINTS', rule: `${plain} must be https: this program shows its certificate there` }];
}
