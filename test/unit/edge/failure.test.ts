import { expect } from 'chai';
import { EtcdLeaseInvalidError } from 'etcd3';
import { failureOf, isCompacted, isLeaseGone } from '../../../edge/etcd/failure.ts';

describe('what a failed call to etcd proves', () => {
  const rows: [string, string, ReturnType<typeof failureOf>['kind']][] = [
    ['nobody listens', '14 UNAVAILABLE: No connection established. Last error: connect ECONNREFUSED 127.0.0.1:1', 'notSent'],
    ['the name is unknown', '14 UNAVAILABLE: Name resolution failed for target dns:etcd:2379', 'notSent'],
    ['the connection broke', '14 UNAVAILABLE: read ECONNRESET', 'noAnswer'],
    ['the connection was dropped', '14 UNAVAILABLE: Connection dropped', 'noAnswer'],
    ['no answer came in time', '4 DEADLINE_EXCEEDED: Deadline exceeded after 3.000s', 'noAnswer'],
    ['etcd itself gave up', '14 UNAVAILABLE: etcdserver: request timed out', 'noAnswer'],
    ['etcd lost its leader', '14 UNAVAILABLE: etcdserver: no leader', 'noAnswer'],
    ['etcd is full', '8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded', 'refused'],
    ['the transport is full', '8 RESOURCE_EXHAUSTED: Bandwidth exhausted or memory limit exceeded', 'noAnswer'],
    ['the answer is too large', '8 RESOURCE_EXHAUSTED: Received message larger than max (5 vs. 4)', 'noAnswer'],
    ['the request is too large', '3 INVALID_ARGUMENT: etcdserver: request is too large', 'refused'],
    ['the history is compacted', '11 OUT_OF_RANGE: etcdserver: mvcc: required revision has been compacted', 'refused'],
    ['something unknown', 'surprise', 'noAnswer'],
    ['the words of a refusal inside another', '14 UNAVAILABLE: proxy: 3 INVALID_ARGUMENT: etcdserver: x', 'noAnswer'],
  ];
  for (const [sentence, message, kind] of rows) {
    it(`${sentence}: ${kind}`, () => {
      expect(failureOf(new Error(message)).kind).to.equal(kind);
    });
  }

  it('knows a history that is compacted and a lease that is gone', () => {
    expect(isCompacted(failureOf(new Error('11 OUT_OF_RANGE: etcdserver: mvcc: required revision has been compacted')))).to.equal(true);
    expect(isCompacted(failureOf(new Error('3 INVALID_ARGUMENT: etcdserver: request is too large')))).to.equal(false);
    expect(isLeaseGone(failureOf(new Error('x', { cause: new EtcdLeaseInvalidError('1') })))).to.equal(true);
    expect(isLeaseGone(failureOf(new Error('5 NOT_FOUND: etcdserver: requested lease not found')))).to.equal(true);
    expect(isLeaseGone(failureOf(new Error('14 UNAVAILABLE: etcdserver: requested lease not found')))).to.equal(false);
  });
});
