import { expect } from 'chai';
import fc from 'fast-check';
import { COMMON_PARAMETERS, commonRelations } from '../../../core/common-parameters.ts';
import * as kinds from '../../../core/parameter-kinds.ts';
import { ConfigurationError, describeProblems, type Kind, parseParameters, requireParameters, row } from '../../../core/parameters.ts';

const TABLE = {
  heartbeatMs: row('HEARTBEAT_MS', kinds.wholeNumber('ms', 20, 10_000), '200', 'how often'),
  replicaTimeoutMs: row('REPLICA_TIMEOUT_MS', kinds.wholeNumber('ms', 1, 120_000), '3000', 'how long'),
  pools: row('POOLS', kinds.pools, null, 'where replicas lie'),
};
const relations = ({ heartbeatMs, replicaTimeoutMs }: { heartbeatMs: number; replicaTimeoutMs: number }) =>
  replicaTimeoutMs < 4 * heartbeatMs
    ? [{ key: 'REPLICA_TIMEOUT_MS', value: `${replicaTimeoutMs}`, rule: `must be at least 4 x HEARTBEAT_MS (${heartbeatMs})` }]
    : [];

describe('parseParameters', () => {
  it('gives a frozen object of values, defaults where nothing or an empty text is given', () => {
    const { parameters, problems } = parseParameters(TABLE, { POOLS: 'fast=/mnt/fast,slow=/mnt/slow', HEARTBEAT_MS: '', OTHER: 'x' });
    expect(problems).to.deep.equal([]);
    expect(parameters?.heartbeatMs).to.equal(200);
    expect([...(parameters?.pools ?? [])]).to.deep.equal([
      ['fast', '/mnt/fast'],
      ['slow', '/mnt/slow'],
    ]);
    expect(Object.isFrozen(parameters)).to.equal(true);
  });

  it('lists every problem, not only the first', () => {
    const { parameters, problems } = parseParameters(TABLE, { HEARTBEAT_MS: '5', REPLICA_TIMEOUT_MS: 'soon', POOLS: 'fast=mnt' });
    expect(parameters).to.equal(null);
    expect(problems).to.deep.equal([
      { key: 'HEARTBEAT_MS', value: '5', rule: 'must be a whole number from 20 to 10000 (ms)' },
      { key: 'REPLICA_TIMEOUT_MS', value: 'soon', rule: 'must be a whole number from 1 to 120000 (ms)' },
      { key: 'POOLS', rule: 'mnt is not an absolute path' },
    ]);
  });

  it('says what a missing one is for', () => {
    expect(parseParameters(TABLE, {}).problems).to.deep.equal([{ key: 'POOLS', rule: 'must be set (name=/path,...): where replicas lie' }]);
  });

  it('checks relations once every value is good by itself, and not before', () => {
    const environment = { REPLICA_TIMEOUT_MS: '50', POOLS: 'a=/a' };
    expect(parseParameters(TABLE, environment, relations).problems).to.have.length(1);
    expect(parseParameters(TABLE, { ...environment, HEARTBEAT_MS: 'x' }, relations).problems).to.have.length(1);
    expect(() => requireParameters(TABLE, environment, relations)).to.throw(ConfigurationError, 'must be at least 4 x HEARTBEAT_MS (200)');
  });
});

describe('describeProblems', () => {
  it('reads as people are promised', () => {
    const text = describeProblems('holdfast-agent', [
      { key: 'REPLICA_TIMEOUT_MS', value: '50', rule: 'must be at least 4 x HEARTBEAT_MS (200)' },
      { key: 'POOLS', rule: '/var/lib/holdfast/fast does not exist' },
    ]);
    expect(text).to.equal(
      [
        'holdfast-agent: 2 problems in the configuration, nothing started:',
        '  REPLICA_TIMEOUT_MS=50   must be at least 4 x HEARTBEAT_MS (200)',
        '  POOLS                   /var/lib/holdfast/fast does not exist',
      ].join('\n'),
    );
  });

  it('counts one as one', () => {
    expect(describeProblems('p', [{ key: 'A', rule: 'is bad' }])).to.equal(
      'p: 1 problem in the configuration, nothing started:\n  A   is bad',
    );
  });
});

describe('kinds of parameters', () => {
  const rows: [string, Kind<unknown>, string, unknown][] = [
    ['a port on all addresses', kinds.hostPort, '0.0.0.0:9443', { host: '0.0.0.0', port: 9443 }],
    ['a port on an IPv6 address', kinds.hostPort, '[::]:0', { host: '::', port: 0 }],
    ['a port without a host', kinds.hostPort, ':9443', 'must be host:port, as 0.0.0.0:9443 or [::]:9443'],
    ['a port too high', kinds.hostPort, 'a:65536', 'must be host:port, as 0.0.0.0:9443 or [::]:9443'],
    ['one endpoint', kinds.urls, 'https://127.0.0.1:2379/', ['https://127.0.0.1:2379']],
    ['three endpoints', kinds.urls, 'https://a:1, https://b:2,https://[::1]:3', ['https://a:1', 'https://b:2', 'https://[::1]:3']],
    ['an endpoint with the port that is usual', kinds.urls, 'https://a:443', ['https://a:443']],
    ['no endpoint', kinds.urls, ',', 'must name at least 1 (https://host:port,...)'],
    ['an endpoint of no kind', kinds.urls, 'https://a:1,b:2', 'b:2 is not an https URL'],
    ['an endpoint without a port', kinds.urls, 'https://a', 'https://a must name its port'],
    ['an endpoint with a path', kinds.urls, 'https://a:1/x', 'https://a:1/x must be only https://host:port'],
    ['a choice', kinds.choice('info', 'warn'), 'warn', 'warn'],
    ['no choice', kinds.choice('info', 'warn'), 'Warn', 'must be one of info, warn'],
    ['a number with a fraction', kinds.wholeNumber('ms', 0, 9), '1.5', 'must be a whole number from 0 to 9 (ms)'],
    ['a number in letters', kinds.wholeNumber('ms', 0, 9), '1e0', 'must be a whole number from 0 to 9 (ms)'],
    ['a relative path', kinds.absolutePath, 'run', 'must be an absolute path'],
    ['no labels', kinds.labels, '', new Map()],
    [
      'labels',
      kinds.labels,
      'disk=nvme,example.org/rack=r1',
      new Map([
        ['disk', 'nvme'],
        ['example.org/rack', 'r1'],
      ]),
    ],
    ['a label without a name', kinds.labels, '=x', '=x must be name=value'],
    ['a label twice', kinds.labels, 'a=1,a=2', 'names a twice'],
    ['a label with a space', kinds.labels, 'a=b c', "b c is not a label's value"],
    ['a pool with a bad name', kinds.pools, 'Fast=/x', "Fast is not a pool's name: lower-case letters, digits and dashes, at most 63"],
    ['a name with a slash', kinds.name, 'a/b', 'must be lower-case letters, digits, dashes and dots, at most 253'],
  ];
  for (const [sentence, kind, given, expected] of rows) {
    it(`${sentence}: ${given}`, () => {
      const parsed = kind.parse(given);
      expect('value' in parsed ? parsed.value : parsed.rule).to.deep.equal(expected);
    });
  }

  it('never throw, whatever is given', () => {
    const all: Kind<unknown>[] = [kinds.hostPort, kinds.urls, kinds.labels, kinds.pools, kinds.name, kinds.absolutePath, kinds.anyText];
    fc.assert(
      fc.property(fc.constantFrom(...all), fc.string(), (kind, given) => {
        const parsed = kind.parse(given);
        return 'value' in parsed || parsed.rule.length > 0;
      }),
    );
  });

  it('a list has an end', () => {
    const many = Array.from({ length: 65 }, (_, index) => `l${index}=v`).join(',');
    expect(kinds.labels.parse(many)).to.deep.equal({ rule: 'may name at most 64 (name=value,...), not 65' });
  });
});

describe('the parameters of both programs', () => {
  it('need only etcd to be named, and by https', () => {
    expect(parseParameters(COMMON_PARAMETERS, {}).problems.map(({ key }) => key)).to.deep.equal(['ETCD_ENDPOINTS']);
    const { parameters } = parseParameters(COMMON_PARAMETERS, { ETCD_ENDPOINTS: 'https://e:2379' }, commonRelations);
    expect(parameters).to.include({ cluster: 'default', logLevel: 'info', tlsKey: '/etc/holdfast/tls/tls.key' });
    expect(parseParameters(COMMON_PARAMETERS, { ETCD_ENDPOINTS: 'http://e:2379' }, commonRelations).problems).to.have.length(1);
  });
});
