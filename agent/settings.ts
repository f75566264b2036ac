/**
 * The agent's configuration: one table, and the rules between its rows. Pure: it is handed the environment, and a probe for what only the machine
 * can tell (does a directory exist). Must never start anything.
 */
import { COMMON_PARAMETERS, commonRelations } from '../core/common-parameters.ts';
import {
  absolutePath,
  anyText,
  choice,
  type HostPort,
  hostPort,
  labels,
  map,
  name,
  pools,
  text,
  wholeNumber,
} from '../core/parameter-kinds.ts';
import {
  ConfigurationError,
  type Environment,
  type ParametersOf,
  type ParameterTable,
  type Problem,
  parseParameters,
  row,
} from '../core/parameters.ts';

/** The kernel's limit for the path of a unix socket. */
const SOCKET_PATH_BYTES_MAX = 107;
const PORT_MAX = 65_535;
/** A volume that the CSI provisioner named has `pvc-`, a UUID and `.sock`, and a socket is born in a directory of its own beside its place. */
const SOCKET_NAME_BYTES = '/pvc-00000000-0000-0000-0000-000000000000.sock'.length;

const host = text('host', /^([0-9a-zA-Z.-]{1,253}|[0-9a-fA-F:.]{2,45})?$/, 'must be a host name or an address, without a port');
const TAG = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const poolTags = map('name=tag+tag,...', (pool, tags) => {
  const wrong = tags.split('+').find((tag) => !TAG.test(tag));
  return wrong === undefined ? null : `${pool}=${tags}: "${wrong}" is not a tag: lower-case letters, digits and dashes, at most 63`;
});

export const AGENT_PARAMETERS = {
  ...COMMON_PARAMETERS,
  nodeName: row('NODE_NAME', name, null, "this machine's name in Kubernetes"),
  pools: row('POOLS', pools, null, 'directories in which replicas are kept; each belongs to this agent alone'),
  poolTags: row('POOL_TAGS', poolTags, '', 'what volumes ask for in placement.poolTags'),
  runDirectory: row('RUN_DIR', absolutePath, '/run/holdfast', "where the volumes' NBD sockets appear; lost at a reboot, as they are"),
  replicationListen: row(
    'REPLICATION_LISTEN',
    hostPort,
    '0.0.0.0:9450',
    'where primaries on other nodes reach the replicas here: this port for the first pool, the next for the second; 0: any that are free',
  ),
  replicationTls: row(
    'REPLICATION_TLS',
    choice('on', 'off'),
    'on',
    'mutual TLS between agents; off: whoever reaches the replication ports can read and write everything. For benchmarks and networks that are trusted',
  ),
  advertiseAddress: row('ADVERTISE_ADDRESS', host, '', 'what other nodes call this one; the listen host where that is an address'),
  zone: row('ZONE', anyText, '', 'failure zone, for placement'),
  labels: row('LABELS', labels, '', 'for placement.nodeSelector'),
  csiSocket: row('CSI_SOCKET', anyText, '', 'where the CSI node answers the kubelet, a path; empty: nowhere'),
  holderSocket: row(
    'HOLDER_SOCKET',
    absolutePath,
    '/run/holdfast-holder/holder.sock',
    'where the attach holder of this node answers the CSI node',
  ),
  wholeSeconds: row(
    'WHOLE_SECONDS',
    wholeNumber('s', 0, 86_400),
    '600',
    'how long /readyz/whole waits, after a start, for the replicas here to be in sync again; 0: not at all',
  ),
  etcdLeaseSeconds: row(
    'ETCD_LEASE_SECONDS',
    wholeNumber('s', 2, 60),
    '3',
    'how long this agent counts as alive after its last word; 3 lets a volume move within 10 s, etcd grants no less than 2',
  ),
} as const;

export type AgentParameters = ParametersOf<typeof AGENT_PARAMETERS>;

/** Answers whether a path can be used: null, or what is wrong with it in words that follow the path. */
export type MachineProbe = { directory(path: string): string | null; file(path: string): string | null };

export type AgentSettings = Omit<AgentParameters, 'poolTags' | 'advertiseAddress'> & {
  /** What other nodes dial; its port is the one that was bound. */
  readonly advertisedHost: string;
  readonly tagsOf: (pool: string) => string[];
};

/** Every problem of every row that is good by itself, then those that only the machine can tell. */
export function parseAgentSettings(environment: Environment, probe: MachineProbe): AgentSettings {
  const { parameters, problems } = parseParameters(AGENT_PARAMETERS, environment, agentRelations);
  const all = [...problems, ...machineProblems(environment, probe)];
  if (parameters === null || all.length > 0) throw new ConfigurationError(all);
  const { poolTags: tags, advertiseAddress, ...rest } = parameters;
  return Object.freeze({
    ...rest,
    advertisedHost: advertiseAddress === '' ? parameters.replicationListen.host : advertiseAddress,
    tagsOf: (pool: string) => tags.get(pool)?.split('+') ?? [],
  });
}

function agentRelations(parameters: AgentParameters): Problem[] {
  return [
    ...commonRelations(parameters),
    ...poolProblems(parameters),
    ...addressProblems(parameters),
    ...portProblems(parameters),
    ...runDirectoryProblems(parameters),
  ];
}

/** Two pools in one directory would fight for its lock; one inside the other would count the same bytes twice. */
function poolProblems({ pools: paths, poolTags: tags }: AgentParameters): Problem[] {
  const problems: Problem[] = [];
  if (paths.size === 0) problems.push({ key: 'POOLS', rule: 'must name at least one pool (name=/path,...)' });
  const entries = [...paths].map(([pool, path]) => [pool, `${path.replace(/\/+$/, '')}/`] as const);
  for (const [index, [pool, path]] of entries.entries()) {
    const other = entries.slice(index + 1).find(([, otherPath]) => path.startsWith(otherPath) || otherPath.startsWith(path));
    if (other) problems.push({ key: 'POOLS', rule: `${pool} and ${other[0]} lie in one another: each pool needs a directory of its own` });
  }
  for (const pool of tags.keys()) {
    if (!paths.has(pool)) problems.push({ key: 'POOL_TAGS', rule: `${pool} is not one of POOLS (${[...paths.keys()].join(', ')})` });
  }
  return problems;
}

const isWildcard = (listen: HostPort): boolean => listen.host === '0.0.0.0' || /^[0:]+$/.test(listen.host);

function addressProblems({ replicationListen, advertiseAddress }: AgentParameters): Problem[] {
  if (advertiseAddress !== '' || !isWildcard(replicationListen)) return [];
  return [{ key: 'ADVERTISE_ADDRESS', rule: `must be set while REPLICATION_LISTEN is ${replicationListen.host}, which nobody can dial` }];
}

/** Of the pool at this place in POOLS. */
export const poolListen = ({ host, port }: HostPort, index: number): HostPort => ({ host, port: port === 0 ? 0 : port + index });

/** Each pool has a port of its own, from REPLICATION_LISTEN upwards. */
function portProblems({ replicationListen: { port }, httpListen, pools: paths }: AgentParameters): Problem[] {
  if (port === 0) return [];
  const last = port + paths.size - 1;
  const ports = `REPLICATION_LISTEN ${port} and ${paths.size} pools need the ports ${port} to ${last}`;
  if (last > PORT_MAX) return [{ key: 'REPLICATION_LISTEN', rule: `must leave a port for each pool: ${ports}` }];
  if (httpListen.port < port || httpListen.port > last) return [];
  return [{ key: 'HTTP_LISTEN', rule: `must not be ${httpListen.port}: ${ports}` }];
}

function runDirectoryProblems({ runDirectory: directory, pools: paths }: AgentParameters): Problem[] {
  const names = [SOCKET_NAME_BYTES, ...[...paths.keys()].map((pool) => `/pools/${pool}.sock`.length)];
  const tooLongBytes = Buffer.byteLength(directory) + Math.max(...names) - SOCKET_PATH_BYTES_MAX;
  if (tooLongBytes <= 0) return [];
  const rule = `is ${tooLongBytes} bytes too long: a unix socket's path has at most ${SOCKET_PATH_BYTES_MAX} bytes`;
  return [{ key: 'RUN_DIR', value: directory, rule }];
}

/** The directories that POOLS names, if it can be read at all: to be looked at before the rest is judged. */
export const poolPathsIn = (environment: Environment): string[] => [
  ...(parseParameters({ pools: AGENT_PARAMETERS.pools }, environment).parameters?.pools.values() ?? []),
];

/** Looked at row by row, so that one bad value does not hide what the machine says of the others. */
function machineProblems(environment: Environment, probe: MachineProbe): Problem[] {
  const goodValues = <Table extends ParameterTable>(table: Table) => parseParameters(table, environment).parameters;
  const problems: Problem[] = [];
  for (const path of poolPathsIn(environment)) {
    const wrong = probe.directory(path);
    if (wrong !== null) problems.push({ key: 'POOLS', rule: `${path} ${wrong}` });
  }
  for (const entry of [AGENT_PARAMETERS.tlsCa, AGENT_PARAMETERS.tlsCert, AGENT_PARAMETERS.tlsKey]) {
    const path = goodValues({ path: entry })?.path;
    const wrong = path === undefined ? null : probe.file(path);
    if (path !== undefined && wrong !== null) problems.push({ key: entry.key, value: path, rule: wrong });
  }
  return problems;
}
