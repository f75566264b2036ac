/** The agent's configuration: every bad value, every relation, and all of them at once. */
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { AGENT_PARAMETERS, type MachineProbe, parseAgentSettings, poolListen } from '../../../agent/settings.ts';
import { ConfigurationError, describeProblems, type Environment } from '../../../core/parameters.ts';

const GOOD: Environment = {
  HOLDFAST_CLUSTER: 'local',
  NODE_NAME: 'node-a',
  POOLS: 'default=/pools/default,fast=/pools/fast',
  POOL_TAGS: 'fast=nvme+local',
  RUN_DIR: '/run/holdfast',
  REPLICATION_LISTEN: '10.0.0.1:9450',
  HTTP_LISTEN: '0.0.0.0:9443',
  ETCD_ENDPOINTS: 'https://10.0.0.9:2379',
  TLS_CA: '/tls/ca.crt',
  TLS_CERT: '/tls/tls.crt',
  TLS_KEY: '/tls/tls.key',
  ZONE: 'eu-1',
  LABELS: 'disk=nvme,holdfast.dev/rack=r1',
  LOG_LEVEL: 'debug',
};
const ALL_THERE: MachineProbe = { directory: () => null, file: () => null };

function problemsOf(environment: Environment, probe: MachineProbe = ALL_THERE): string[] {
  try {
    parseAgentSettings(environment, probe);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return error.problems.map(({ key, rule }) => `${key} ${rule}`);
  }
}

describe("the agent's settings", () => {
  it('are read from the environment', () => {
    const settings = parseAgentSettings(GOOD, ALL_THERE);
    expect(settings.nodeName).to.equal('node-a');
    expect([...settings.pools]).to.deep.equal([
      ['default', '/pools/default'],
      ['fast', '/pools/fast'],
    ]);
    expect(settings.tagsOf('fast')).to.deep.equal(['nvme', 'local']);
    expect(settings.tagsOf('default')).to.deep.equal([]);
    expect(settings.advertisedHost).to.equal('10.0.0.1');
    expect(settings.labels.get('holdfast.dev/rack')).to.equal('r1');
    expect(settings.etcdLeaseSeconds).to.equal(3);
    expect(Object.isFrozen(settings)).to.equal(true);
  });

  it('have defaults for all but the node, its pools, etcd and an address that others can dial', () => {
    const problems = problemsOf({});
    expect(problems.map((problem) => problem.split(' ')[0])).to.deep.equal(['ETCD_ENDPOINTS', 'NODE_NAME', 'POOLS']);
    const rest = { ETCD_ENDPOINTS: 'https://etcd:2379', NODE_NAME: 'a', POOLS: 'default=/pools' };
    expect(problemsOf(rest)).to.deep.equal(['ADVERTISE_ADDRESS must be set while REPLICATION_LISTEN is 0.0.0.0, which nobody can dial']);
    expect(problemsOf({ ...rest, ADVERTISE_ADDRESS: '10.0.0.1' })).to.deep.equal([]);
  });

  it('give each pool a port of its own, from REPLICATION_LISTEN upwards', () => {
    expect(poolListen({ host: '10.0.0.1', port: 9450 }, 1)).to.deep.equal({ host: '10.0.0.1', port: 9451 });
    expect(poolListen({ host: '10.0.0.1', port: 0 }, 1)).to.deep.equal({ host: '10.0.0.1', port: 0 });
  });

  const BAD: [string, Environment, RegExp][] = [
    [
      'a port of a pool that is that of HTTP',
      { REPLICATION_LISTEN: '10.0.0.1:9442' },
      /^HTTP_LISTEN must not be 9443: .* ports 9442 to 9443$/,
    ],
    ['fewer ports than pools', { REPLICATION_LISTEN: '10.0.0.1:65535' }, /^REPLICATION_LISTEN must leave a port for each pool/],
    ['replication that is half encrypted', { REPLICATION_TLS: 'maybe' }, /^REPLICATION_TLS must be one of on, off/],
    ['a node name that is no key', { NODE_NAME: '../x' }, /^NODE_NAME must be lower-case/],
    ['no node name', { NODE_NAME: '' }, /^NODE_NAME must be set/],
    ['a cluster name that is no key', { HOLDFAST_CLUSTER: 'a/b' }, /^HOLDFAST_CLUSTER /],
    ['a pool without a path', { POOLS: 'default' }, /^POOLS default must be name=\/path/],
    ['a pool with a relative path', { POOLS: 'default=pools' }, /^POOLS pools is not an absolute path/],
    ['a pool named twice', { POOLS: 'fast=/a,fast=/b' }, /^POOLS names fast twice/],
    ['a pool with a bad name', { POOLS: 'Fast=/a,fast=/b' }, /^POOLS Fast is not a pool's name/],
    ['no pool', { POOLS: ',', POOL_TAGS: '' }, /^POOLS must name at least one pool/],
    ['two pools in one directory', { POOLS: 'default=/a/,fast=/a' }, /^POOLS default and fast lie in one another/],
    ['a pool in another', { POOLS: 'default=/a,fast=/a/b' }, /^POOLS default and fast lie in one another/],
    ['tags of no pool', { POOL_TAGS: 'slow=hdd' }, /^POOL_TAGS slow is not one of POOLS \(default, fast\)/],
    ['a bad tag', { POOL_TAGS: 'fast=NVMe' }, /^POOL_TAGS fast=NVMe: "NVMe" is not a tag/],
    ['an empty tag', { POOL_TAGS: 'fast=a++b' }, /^POOL_TAGS fast=a\+\+b: "" is not a tag/],
    ['a relative run directory', { RUN_DIR: 'run' }, /^RUN_DIR must be an absolute path/],
    ['a run directory too long for sockets', { RUN_DIR: `/${'r'.repeat(80)}` }, /^RUN_DIR is 20 bytes too long/],
    ['a replication address without a port', { REPLICATION_LISTEN: '10.0.0.1' }, /^REPLICATION_LISTEN must be host:port/],
    ['a port that is none', { HTTP_LISTEN: '0.0.0.0:70000' }, /^HTTP_LISTEN must be host:port/],
    ['an advertised address with a port', { ADVERTISE_ADDRESS: 'host:1' }, /^ADVERTISE_ADDRESS /],
    [
      'every address as the replication address',
      { REPLICATION_LISTEN: '[::]:9450' },
      /^ADVERTISE_ADDRESS must be set while REPLICATION_LISTEN is ::/,
    ],
    ['etcd without TLS', { ETCD_ENDPOINTS: 'http://10.0.0.9:2379' }, /^ETCD_ENDPOINTS .* must be https/],
    ['etcd without a port', { ETCD_ENDPOINTS: 'https://etcd' }, /^ETCD_ENDPOINTS .* must name its port/],
    ['a lease too short', { ETCD_LEASE_SECONDS: '1' }, /^ETCD_LEASE_SECONDS must be a whole number from 2 to 60/],
    ['a lease that is no number', { ETCD_LEASE_SECONDS: '3s' }, /^ETCD_LEASE_SECONDS must be a whole number/],
    ['a label without a value', { LABELS: 'disk' }, /^LABELS disk must be name=value/],
    ['a label with a bad value', { LABELS: 'disk=a b' }, /^LABELS a b is not a label's value/],
    ['an unknown log level', { LOG_LEVEL: 'loud' }, /^LOG_LEVEL must be one of error, warn, info, debug/],
    ['a relative certificate', { TLS_CERT: 'tls.crt' }, /^TLS_CERT must be an absolute path/],
    ['a zone of two lines', { ZONE: 'a\nb' }, /^ZONE must be one line/],
  ];
  for (const [name, change, expected] of BAD) {
    it(`refuse ${name}`, () => {
      const problems = problemsOf({ ...GOOD, ...change });
      expect(problems.length, problems.join('\n')).to.equal(1);
      expect(problems[0]).to.match(expected);
    });
  }

  it('say what the machine lacks, also beside a value that is bad', () => {
    const probe: MachineProbe = {
      directory: (path) => (path === '/pools/fast' ? 'does not exist' : null),
      file: (path) => (path === '/tls/tls.key' ? 'may not be used by this user' : null),
    };
    expect(problemsOf({ ...GOOD, LOG_LEVEL: 'loud', ETCD_LEASE_SECONDS: '0' }, probe)).to.deep.equal([
      'LOG_LEVEL must be one of error, warn, info, debug',
      'ETCD_LEASE_SECONDS must be a whole number from 2 to 60 (s)',
      'POOLS /pools/fast does not exist',
      'TLS_KEY may not be used by this user',
    ]);
  });

  it('are in the README, with their defaults', () => {
    const lines = readFileSync(new URL('../../../agent/README.md', import.meta.url), 'utf8').split('\n');
    for (const { key, fallback } of Object.values(AGENT_PARAMETERS)) {
      const line = lines.find((text) => text.startsWith(`| \`${key}\` |`));
      expect(line, key).to.not.equal(undefined);
      if (fallback === null) expect(line, key).to.contain('must be set');
      else if (fallback !== '') expect(line, key).to.contain(`| \`${fallback}\` |`);
    }
  });

  it('are described so that a person sees all problems at once', () => {
    const problems = [{ key: 'POOLS', rule: '/var/lib/holdfast/fast does not exist' }];
    expect(describeProblems('holdfast-agent', problems)).to.equal(
      'holdfast-agent: 1 problem in the configuration, nothing started:\n  POOLS   /var/lib/holdfast/fast does not exist',
    );
  });
});
