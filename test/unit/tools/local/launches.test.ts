/** What the processes of a local cluster are told: the names that the programs' own configuration tables read. */
import path from 'node:path';
import { expect } from 'chai';
import { agentLaunch, apiServerLaunch, etcdLaunch, operatorLaunch } from '../../../../tools/local/launches.ts';
import { CHECKOUT } from '../../../../tools/local/layout.ts';

const credentials = { ca: '/d/ca.crt', cert: '/d/tls.crt', key: '/d/tls.key' };
const shared = { httpPort: 20001, etcdEndpoint: 'https://127.0.0.1:20000', credentials };
const sharedEnvironment = {
  HOLDFAST_CLUSTER: 'local',
  ETCD_ENDPOINTS: 'https://127.0.0.1:20000',
  TLS_CA: '/d/ca.crt',
  TLS_CERT: '/d/tls.crt',
  TLS_KEY: '/d/tls.key',
  HTTP_LISTEN: '127.0.0.1:20001',
  LOG_LEVEL: 'info',
  NODE_COMPILE_CACHE: path.join(CHECKOUT, 'node_modules/.cache/holdfast'),
};

describe('local cluster: what its processes are told', () => {
  it('tells an operator its name, its kubeconfig and its namespace', () => {
    const launch = operatorLaunch({
      ...shared,
      process: 'operator/operator-1',
      kubeconfig: '/d/kubeconfig',
      apiPort: 20009,
      csiSocket: '/c/operator/operator-1/csi.sock',
    });
    expect(launch.arguments).to.deep.equal(['--disable-warning=DEP0123', 'operator/main.ts']);
    expect(launch.environment).to.deep.equal({
      ...sharedEnvironment,
      NAME: 'operator-1',
      KUBECONFIG: '/d/kubeconfig',
      POD_NAMESPACE: 'holdfast-system',
      API_PORT: '20009',
      CSI_SOCKET: '/c/operator/operator-1/csi.sock',
    });
  });

  it('tells an agent its node, pools, sockets and peers', () => {
    const parts = { clusterDirectory: '/c', replicationPort: 20002, pools: ['default', 'fast'], node: {} };
    const launch = agentLaunch({ ...shared, ...parts, process: 'agent/node-b' });
    expect(launch.arguments).to.deep.equal(['--disable-warning=DEP0123', 'agent/main.ts']);
    expect(launch.environment).to.deep.equal({
      ...sharedEnvironment,
      NODE_NAME: 'node-b',
      POOLS: 'default=/c/agent/node-b/pools/default,fast=/c/agent/node-b/pools/fast',
      RUN_DIR: '/c/agent/node-b/run',
      CSI_SOCKET: '/c/agent/node-b/csi.sock',
      HOLDER_SOCKET: '/c/holder/node-b/holder.sock',
      REPLICATION_LISTEN: '127.0.0.1:20002',
    });
  });

  it('tells an agent its zone and labels, and lets the caller change anything', () => {
    const node = { zone: 'eu-1', labels: { disk: 'nvme', rack: '7' } };
    const parts = { clusterDirectory: '/c', replicationPort: 20002, pools: ['default'], node, environment: { LOG_LEVEL: 'debug' } };
    const launch = agentLaunch({ ...shared, ...parts, process: 'agent/node-a' });
    expect(launch.environment).to.include({ ZONE: 'eu-1', LABELS: 'disk=nvme,rack=7', LOG_LEVEL: 'debug' });
  });

  it('lets nobody speak to etcd or the API server who has no certificate', () => {
    const etcd = etcdLaunch({
      ...{ program: 'etcd', process: 'etcd/etcd-1', directory: '/e', clientPort: 1, credentials },
      peers: new Map([
        ['etcd/etcd-0', 2],
        ['etcd/etcd-1', 3],
      ] as const),
    });
    expect(etcd.arguments).to.include.members([
      '--client-cert-auth',
      '--peer-client-cert-auth',
      // An agent's certificate, of the same authority, is no member's.
      '--peer-cert-allowed-cn=etcd-0',
      '--enable-grpc-gateway=false',
      '--listen-client-urls=https://127.0.0.1:1',
      '--name=etcd-1',
      '--listen-peer-urls=https://127.0.0.1:3',
      '--initial-cluster=etcd-0=https://127.0.0.1:2,etcd-1=https://127.0.0.1:3',
    ]);
    const tokenKeys = { publicFile: '/a/tokens.pub', privateFile: '/a/tokens.key' };
    const server = { program: 'kube-apiserver', directory: '/a', port: 3, etcdEndpoint: 'https://127.0.0.1:1' };
    const apiServer = apiServerLaunch({ ...server, serving: credentials, etcd: credentials, tokenKeys });
    expect(apiServer.arguments).to.include.members(['--anonymous-auth=false', '--authorization-mode=RBAC', '--client-ca-file=/d/ca.crt']);
  });
});
