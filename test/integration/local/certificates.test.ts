/** Certificates of a local cluster are what Node's own TLS believes, and no more than that. */
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { Authority } from '../../../tools/local/certificates.ts';

describe('local cluster: certificates', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'hf-'));
  });

  afterEach(() => rm(directory, { recursive: true }));

  it('names who it speaks of, where that one serves, and for what it is good', async () => {
    const authority = await Authority.open(path.join(directory, 'ca'), 'test authority');
    const files = await authority.issue(path.join(directory, 'a'), { commonName: 'agent:node-a', organizations: ['holdfast:agents'] }, [
      '127.0.0.1',
      'localhost',
      'node-a',
    ]);
    const certificate = new X509Certificate(await readFile(files.cert));
    expect(certificate.subject).to.equal('O=holdfast:agents\nCN=agent:node-a');
    expect(certificate.subjectAltName).to.equal('IP Address:127.0.0.1, DNS:localhost, DNS:node-a');
    expect(certificate.checkHost('node-a')).to.equal('node-a');
    expect(certificate.checkHost('node-b')).to.equal(undefined);
    expect(certificate.keyUsage).to.deep.equal(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    expect(certificate.ca).to.equal(false);
  });

  it('is signed by its own authority and by no other', async () => {
    const [one, other] = await Promise.all(['one', 'other'].map((name) => Authority.open(path.join(directory, name), name)));
    const files = await one?.issue(path.join(directory, 'a'), { commonName: 'a', organizations: [] });
    const certificate = new X509Certificate(await readFile(files?.cert ?? ''));
    const publicKey = async (authority: Authority | undefined) =>
      new X509Certificate(await readFile(authority?.certificateFile ?? '')).publicKey;
    expect(certificate.verify(await publicKey(one))).to.equal(true);
    expect(certificate.verify(await publicKey(other))).to.equal(false);
  });

  it('keeps keys from other users, and what is there as it is', async () => {
    const issue = async (): Promise<string> => {
      const authority = await Authority.open(path.join(directory, 'ca'), 'test authority');
      const files = await authority.issue(path.join(directory, 'a'), { commonName: 'a', organizations: [] });
      expect((await stat(files.key)).mode & 0o777).to.equal(0o600);
      return readFile(files.cert, 'utf8');
    };
    expect(await issue()).to.equal(await issue());
    expect((await stat(path.join(directory, 'ca/ca.key'))).mode & 0o777).to.equal(0o600);
  });
});
