import type { TLSSocket } from 'node:tls';
import { expect } from 'chai';
import { refusalOf } from '../../../edge/refusal.ts';
import { formatPeerName, parsePeerName } from '../../../edge/tls.ts';

describe('the name in a certificate', () => {
  it('is a role and a name', () => {
    expect(parsePeerName('agent:node-a')).to.deep.equal({ role: 'agent', name: 'node-a' });
    expect(parsePeerName('operator:operator-0')).to.deep.equal({ role: 'operator', name: 'operator-0' });
    expect(parsePeerName('agent:ip-10-0-0-1.eu.internal')?.name).to.equal('ip-10-0-0-1.eu.internal');
    expect(formatPeerName({ role: 'agent', name: 'node-a' })).to.equal('agent:node-a');
  });

  const others: unknown[] = [
    'node-a',
    'agent:',
    'agent:Node',
    'agent:a/b',
    'agent:a:b',
    'root:node-a',
    ' agent:a',
    'agent:a\n',
    '',
    undefined,
    null,
  ];
  for (const other of [...others, ['agent:a', 'agent:b'], `agent:${'a'.repeat(300)}`]) {
    it(`is not ${JSON.stringify(other)?.slice(0, 40)}`, () => {
      expect(parsePeerName(other)).to.equal(null);
    });
  }
});

describe('why a handshake came to nothing', () => {
  const withCode = (code: string) => Object.assign(new Error('x'), { code });
  const socketWith = (authorizationError: unknown) => ({ authorizationError }) as unknown as TLSSocket;

  it('is told by the error, or by the verdict on the certificate before that', () => {
    expect(refusalOf(withCode('ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE'), socketWith(null))).to.equal('noCertificate');
    expect(refusalOf(withCode('ECONNRESET'), socketWith('SELF_SIGNED_CERT_IN_CHAIN'))).to.equal('unknownAuthority');
    expect(refusalOf(withCode('ECONNRESET'), socketWith(withCode('CERT_HAS_EXPIRED')))).to.equal('expired');
    expect(refusalOf(withCode('ECONNRESET'), null)).to.equal('brokenOff');
    expect(refusalOf('surprise', null)).to.equal('other');
  });
});
