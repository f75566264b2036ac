/**
 * The command line and environment of every process of a local cluster. Pure, so that what is started can be read and tested here;
 * files, ports and certificates are made elsewhere.
 */
import path from 'node:path';
import type { TlsFiles } from '../../edge/tls.ts';
import {
  CHECKOUT,
  CLUSTER_NAME,
  csiSocket,
  holderSocket,
  lastPart,
  NAMESPACE,
  type ProcessName,
  poolDirectory,
  runDirectory,
} from './layout.ts';
import { ADDRESS } from './ports.ts';
import type { Launch } from './processes.ts';

/** What one node of the cluster is like, beyond its name. */
export type NodeOptions = { zone?: string; labels?: Record<string, string>; pools?: string[]; environment?: Record<string, string> };

/** `peers`: of each member, in the order of their numbers, the port for the others; alike for all of them. */
export type EtcdParts = {
  program: string;
  process: ProcessName;
  directory: string;
  clientPort: number;
  peers: ReadonlyMap<ProcessName, number>;
  credentials: TlsFiles;
  /** Beyond these. */
  flags?: readonly string[];
};

/** Of every member's certificate. */
export const ETCD_COMMON_NAME = 'etcd-0';

export function etcdLaunch(parts: EtcdParts): Launch {
  const { ca, cert, key } = parts.credentials;
  const client = `https://${ADDRESS}:${parts.clientPort}`;
  const peerOf = (port = 0): string => `https://${ADDRESS}:${port}`;
  const peer = peerOf(parts.peers.get(parts.process));
  const members = [...parts.peers].map(([name, port]) => `${lastPart(name)}=${peerOf(port)}`);
  return {
    file: parts.program,
    arguments: [
      `--name=${lastPart(parts.process)}`,
      `--data-dir=${path.join(parts.directory, 'data')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=${members.join(',')}`,
      '--client-cert-auth',
      `--trusted-ca-file=${ca}`,
      `--cert-file=${cert}`,
      `--key-file=${key}`,
      '--peer-client-cert-auth',
      `--peer-trusted-ca-file=${ca}`,
      `--peer-cert-file=${cert}`,
      `--peer-key-file=${key}`,
      // Agents have certificates of the same authority, which would do as a member's.
      `--peer-cert-allowed-cn=${ETCD_COMMON_NAME}`,
      // The HTTP gateway knows nobody by a certificate.
      '--enable-grpc-gateway=false',
      '--auto-compaction-mode=periodic',
      '--auto-compaction-retention=10m',
      ...(parts.flags ?? []),
    ],
    environment: {},
  };
}

export type ApiServerParts = {
  program: string;
  directory: string;
  port: number;
  etcdEndpoint: string;
  serving: TlsFiles;
  etcd: TlsFiles;
  tokenKeys: { publicFile: string; privateFile: string };
};

export function apiServerLaunch(parts: ApiServerParts): Launch {
  return {
    file: parts.program,
    arguments: [
      `--bind-address=${ADDRESS}`,
      `--advertise-address=${ADDRESS}`,
      `--secure-port=${parts.port}`,
      `--cert-dir=${parts.directory}`,
      `--tls-cert-file=${parts.serving.cert}`,
      `--tls-private-key-file=${parts.serving.key}`,
      `--client-ca-file=${parts.serving.ca}`,
      '--anonymous-auth=false',
      // As in every cluster with a CSI driver; no pod runs here.
      '--allow-privileged=true',
      '--authorization-mode=RBAC',
      `--etcd-servers=${parts.etcdEndpoint}`,
      `--etcd-cafile=${parts.etcd.ca}`,
      `--etcd-certfile=${parts.etcd.cert}`,
      `--etcd-keyfile=${parts.etcd.key}`,
      '--etcd-prefix=/registry',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${parts.tokenKeys.publicFile}`,
      `--service-account-signing-key-file=${parts.tokenKeys.privateFile}`,
      '--service-cluster-ip-range=10.96.0.0/24',
      // Nobody here makes service accounts for new namespaces, nor is there a kubelet whose pods would need them.
      '--disable-admission-plugins=ServiceAccount',
      '--endpoint-reconciler-type=none',
      '--profiling=false',
    ],
    environment: {},
  };
}

export type ProgramParts = {
  process: ProcessName;
  httpPort: number;
  etcdEndpoint: string;
  credentials: TlsFiles;
  environment?: Record<string, string> | undefined;
  /** Where the program's sources are; left out: in this checkout. */
  sources?: string | undefined;
};

export function operatorLaunch(parts: ProgramParts & { kubeconfig: string; apiPort: number; csiSocket: string }): Launch {
  return ourProgram('operator/main.ts', parts, {
    NAME: lastPart(parts.process),
    KUBECONFIG: parts.kubeconfig,
    POD_NAMESPACE: NAMESPACE,
    API_PORT: String(parts.apiPort),
    CSI_SOCKET: parts.csiSocket,
  });
}

export function agentLaunch(
  parts: ProgramParts & { clusterDirectory: string; replicationPort: number; pools: string[]; node: NodeOptions },
): Launch {
  const node = lastPart(parts.process);
  const labels = Object.entries(parts.node.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return ourProgram('agent/main.ts', parts, {
    NODE_NAME: node,
    POOLS: parts.pools.map((pool) => `${pool}=${poolDirectory(parts.clusterDirectory, node, pool)}`).join(','),
    RUN_DIR: runDirectory(parts.clusterDirectory, node),
    CSI_SOCKET: csiSocket(parts.clusterDirectory, parts.process),
    HOLDER_SOCKET: holderSocket(parts.clusterDirectory, node),
    REPLICATION_LISTEN: `${ADDRESS}:${parts.replicationPort}`,
    ...(parts.node.zone === undefined ? {} : { ZONE: parts.node.zone }),
    ...(labels.length === 0 ? {} : { LABELS: labels.join(',') }),
  });
}

/** It makes block devices: root's work, so only where somebody asks for it. */
export function holderLaunch(parts: { process: ProcessName; clusterDirectory: string; sources?: string | undefined }): Launch {
  const node = lastPart(parts.process);
  return {
    file: path.join(CHECKOUT, 'node_modules/.bin/node'),
    arguments: ['agent/holder/main.ts'],
    ...(parts.sources === undefined ? {} : { directory: parts.sources }),
    environment: {
      NODE_NAME: node,
      HOLDER_SOCKET: holderSocket(parts.clusterDirectory, node),
      HOLDER_DIR: path.join(parts.clusterDirectory, parts.process, 'devices'),
      LOG_LEVEL: 'info',
      NODE_COMPILE_CACHE: path.join(CHECKOUT, 'node_modules/.cache/holdfast'),
    },
  };
}

function ourProgram(main: string, parts: ProgramParts, own: Record<string, string>): Launch {
  return {
    file: path.join(CHECKOUT, 'node_modules/.bin/node'),
    // Endpoints here are IP addresses, which the gRPC library names in the handshake.
    arguments: ['--disable-warning=DEP0123', main],
    ...(parts.sources === undefined ? {} : { directory: parts.sources }),
    environment: {
      HOLDFAST_CLUSTER: CLUSTER_NAME,
      ETCD_ENDPOINTS: parts.etcdEndpoint,
      TLS_CA: parts.credentials.ca,
      TLS_CERT: parts.credentials.cert,
      TLS_KEY: parts.credentials.key,
      HTTP_LISTEN: `${ADDRESS}:${parts.httpPort}`,
      LOG_LEVEL: 'info',
      // Said here, it holds from the very first file on: see edge/compileCache.ts.
      NODE_COMPILE_CACHE: path.join(CHECKOUT, 'node_modules/.cache/holdfast'),
      ...own,
      ...parts.environment,
    },
  };
}
