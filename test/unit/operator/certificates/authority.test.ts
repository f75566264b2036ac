/** The exchange of authorities as a table of sentences, and lived through whole: whoever holds a certificate is trusted at every moment. */
import { expect } from 'chai';
import { certificatesIn, Issuer, isSignedBy, makeAuthority } from '../../../../edge/issuing.ts';
import {
  type AuthorityRecord,
  announce,
  forget,
  promote,
  readRecord,
  stepOf,
  trustBeside,
  trustOf,
  writeRecord,
} from '../../../../operator/certificates/authority.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const TIMES = { leafMs: 90 * DAY_MS, spreadMs: HOUR_MS };
const LIFE_MS = 3_650 * DAY_MS;

describe('operator: the authority', () => {
  let record: AuthorityRecord;
  const startMs = Date.now();
  const seen = (afterMs: number, change: { isAsked?: boolean; isTrustTaken?: boolean } = {}) => ({
    nowMs: startMs + afterMs,
    isAsked: false,
    isTrustTaken: true,
    ...change,
  });

  before(async () => {
    record = { current: await makeAuthority('one', LIFE_MS), next: null, previous: null };
  });

  it('rests while it is young, and gets a successor after two thirds of its life, or when somebody asks', () => {
    expect(stepOf(record, TIMES, seen(DAY_MS))).to.equal(null);
    expect(stepOf(record, TIMES, seen(LIFE_MS / 2))).to.equal(null);
    expect(stepOf(record, TIMES, seen((LIFE_MS * 2) / 3 + DAY_MS))).to.equal('announce');
    expect(stepOf(record, TIMES, seen(DAY_MS, { isAsked: true }))).to.equal('announce');
  });

  it('lets the successor issue only when everybody has had time to trust it, and etcd was rolled', async () => {
    const two = announce(record, await makeAuthority('two', LIFE_MS), startMs);
    expect(certificatesIn(trustOf(two))).to.deep.equal([record.current.certificate, two.next?.certificate]);
    expect(stepOf(two, TIMES, seen(HOUR_MS - 1))).to.equal(null);
    expect(stepOf(two, TIMES, seen(HOUR_MS, { isTrustTaken: false }))).to.equal(null);
    expect(stepOf(two, TIMES, seen(HOUR_MS))).to.equal('promote');
  });

  it('trusts the one before until the last certificate that it may have issued has ended, and keeps no key of it', async () => {
    const three = promote(announce(record, await makeAuthority('two', LIFE_MS), startMs), TIMES, startMs + HOUR_MS);
    expect(certificatesIn(trustOf(three))).to.deep.equal([three.current.certificate, record.current.certificate]);
    expect(JSON.stringify(three)).not.to.contain(JSON.stringify(record.current.key).slice(1, -1));
    expect(stepOf(three, TIMES, seen(HOUR_MS + TIMES.leafMs, { isAsked: true }))).to.equal(null);
    expect(stepOf(three, TIMES, seen(2 * HOUR_MS + TIMES.leafMs))).to.equal('forget');
    expect(certificatesIn(trustOf(forget(three)))).to.deep.equal([three.current.certificate]);
  });

  it('is written and read again as it was, in every state, and half of it is none', async () => {
    const two = announce(record, await makeAuthority('two', LIFE_MS), startMs);
    for (const one of [record, two, promote(two, TIMES, startMs)]) expect(readRecord(writeRecord(one))).to.deep.equal(one);
    const { 'tls.key': _key, ...half } = writeRecord(record);
    expect(readRecord(half)).to.equal(null);
    expect(readRecord(undefined)).to.equal(null);
  });

  it('kept by others is trusted first, and behind it what was trusted before and lives still', async () => {
    const [short, other] = [await makeAuthority('short', HOUR_MS), await makeAuthority('other', LIFE_MS)];
    const trust = trustBeside(other.certificate, record.current.certificate + short.certificate, startMs + 2 * HOUR_MS);
    expect(certificatesIn(trust)).to.deep.equal([other.certificate, record.current.certificate]);
    expect(trustBeside(other.certificate, trust, startMs)).to.equal(trust);
  });

  it('issues nothing with a key that is not its own, and nothing that outlives it', async () => {
    const other = await makeAuthority('other', LIFE_MS);
    expect(() => new Issuer({ certificate: record.current.certificate, key: other.key })).to.throw('the key is not that of');
    const brief = await makeAuthority('brief', HOUR_MS);
    const leaf = await new Issuer(brief).issue({ subject: { commonName: 'etcd', organizations: [] }, names: [], lifeMs: DAY_MS });
    expect(() => new Issuer(leaf)).to.throw('not that of an authority');
    const { X509Certificate } = await import('node:crypto');
    expect(Date.parse(new X509Certificate(leaf.certificate).validTo)).to.be.at.most(
      Date.parse(new X509Certificate(brief.certificate).validTo),
    );
    expect([isSignedBy(leaf.certificate, brief.certificate), isSignedBy(leaf.certificate, other.certificate)]).to.deep.equal([true, false]);
  });
});
