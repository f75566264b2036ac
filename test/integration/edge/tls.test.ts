/** Certificates from real files: loaded, renewed under a server that listens, refused when they are not what they must be. */
import { once } from 'node:events';
import { copyFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { expect } from 'chai';
import type { Log } from '../../../core/log.ts';
import { silentLog } from '../../../core/log.ts';
import { ConfigurationError } from '../../../core/parameters.ts';
import { connectStore } from '../../../edge/etcd/connect.ts';
import { refusalOf } from '../../../edge/refusal.ts';
import { type Certificates, loadCertificates, peerName, type TlsFiles } from '../../../edge/tls.ts';
import { createAuthority, type TestAuthority } from '../../support/certificates.ts';
import { startSingleEtcd } from '../../support/etcd.ts';
import { until } from '../../support/until.ts';

const LOOK_EVERY_MS = 20;

describe('certificates', function () {
  this.timeout(20_000);
  let ours: TestAuthority;
  let theirs: TestAuthority;
  const opened: Certificates[] = [];
  before(async () => {
    [ours, theirs] = await Promise.all([createAuthority(), createAuthority('somebody-else')]);
  });
  afterEach(() => {
    for (const certificates of opened.splice(0)) certificates.close();
  });
  after(async () => {
    await Promise.all([ours.remove(), theirs.remove()]);
  });
  const load = async (files: TlsFiles, log: Log = silentLog): Promise<Certificates> => {
    const certificates = await loadCertificates(files, log, { lookEveryMs: LOOK_EVERY_MS });
    opened.push(certificates);
    return certificates;
  };
  const copy = async (from: TlsFiles, to: TlsFiles): Promise<void> => {
    await copyFile(from.key, to.key);
    await copyFile(from.cert, to.cert);
  };

  it('that are not what they must be are all named, with the file and the rule', async () => {
    const files = await ours.issue('agent:node-a');
    const other = await ours.issue('agent:node-b');
    const problemsOf = (given: TlsFiles) =>
      loadCertificates(given, silentLog).then(
        () => [],
        (error: unknown) => (error instanceof ConfigurationError ? error.problems : [error]),
      );
    expect(await problemsOf({ ...files, ca: '/nowhere/ca.crt', key: '/nowhere/tls.key' })).to.deep.include.members([
      { key: 'TLS_CA', value: '/nowhere/ca.crt', rule: "cannot be read: ENOENT: no such file or directory, open '/nowhere/ca.crt'" },
      { key: 'TLS_KEY', value: '/nowhere/tls.key', rule: "cannot be read: ENOENT: no such file or directory, open '/nowhere/tls.key'" },
    ]);
    expect(await problemsOf({ ...files, key: other.key })).to.deep.equal([
      { key: 'TLS_KEY', value: other.key, rule: 'must be the key of TLS_CERT' },
    ]);
    await writeFile(other.cert, 'nonsense');
    expect(await problemsOf({ ...files, cert: other.cert }))
      .to.have.nested.property('[0].rule')
      .that.contains('must hold a certificate in PEM');
  });

  it('are taken up anew when the files changed, and not while they are broken', async () => {
    const files = await ours.issue('agent:node-a');
    const warnings: string[] = [];
    const certificates = await load(files, { ...silentLog, warn: (message) => warnings.push(message) });
    const before = certificates.material;
    let renewals = 0;
    const stop = certificates.onRenewed(() => renewals++);
    const next = await ours.issue('agent:node-a');
    await copyFile(next.cert, files.cert);
    await until('the mismatch is told of', () => warnings.includes('new certificate is not usable, the old one stays'));
    expect(certificates.material).to.equal(before);
    expect(renewals).to.equal(0);
    await copyFile(next.key, files.key);
    await until('renewed', () => renewals === 1);
    expect(certificates.material.cert.equals(before.cert)).to.equal(false);
    expect(warnings).to.have.length(1);
    stop();
    await copy(await ours.issue('agent:node-a'), files);
    await until('renewed again', () => !certificates.material.cert.equals(before.cert));
    expect(renewals).to.equal(1);
  });

  describe('on a server', () => {
    let server: Server;
    let files: TlsFiles;
    let certificates: Certificates;
    const peers: (string | null)[] = [];
    const refusals: string[] = [];
    beforeEach(async () => {
      peers.length = 0;
      refusals.length = 0;
      files = await ours.issue('agent:node-a');
      certificates = await load(files);
      server = createServer({ ...certificates.material, minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: true });
      certificates.onRenewed(() => server.setSecureContext({ ...certificates.material, minVersion: 'TLSv1.3' }));
      server.on('secureConnection', (socket) => {
        const peer = peerName(socket);
        peers.push(peer && `${peer.role}:${peer.name}`);
        socket.on('error', () => undefined);
        socket.resume();
      });
      server.on('tlsClientError', (error, socket) => refusals.push(refusalOf(error, socket)));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    });
    afterEach(async () => {
      await once(server.close(), 'close');
    });
    const dial = (options: object): TLSSocket => {
      const { port } = server.address() as AddressInfo;
      const socket = connect({ host: '127.0.0.1', port, checkServerIdentity: () => undefined, ...options });
      socket.on('error', () => undefined);
      return socket;
    };

    it('tell who the peer is, at both ends', async () => {
      const client = await load(await ours.issue('operator:operator-0'));
      const socket = dial({ secureContext: client.context });
      await once(socket, 'secureConnect');
      expect(peerName(socket)).to.deep.equal({ role: 'agent', name: 'node-a' });
      expect(socket.getProtocol()).to.equal('TLSv1.3');
      await until('the server knows', () => peers.length === 1);
      expect(peers).to.deep.equal(['operator:operator-0']);
      socket.destroy();
    });

    it('refuse, each for its reason, who has none, one of another authority, or speaks an older protocol', async () => {
      const { ca } = certificates.material;
      const stranger = await load(await theirs.issue('agent:node-a'));
      const known = await load(await ours.issue('agent:node-b'));
      const attempts: [object, string][] = [
        [{ ca }, 'noCertificate'],
        [{ ...stranger.material, ca }, 'unknownAuthority'],
        [{ ...known.material, maxVersion: 'TLSv1.2' }, 'oldProtocol'],
      ];
      for (const [options, expected] of attempts) {
        refusals.length = 0;
        const socket = dial(options);
        await until(`refused as ${expected}`, () => refusals.length > 0);
        expect(refusals).to.deep.equal([expected]);
        socket.destroy();
      }
      expect(peers).to.deep.equal([]);
    });

    it('are shown anew to new connections after a renewal, without a restart', async () => {
      const client = await load(await ours.issue('operator:operator-0'));
      const serialOf = async (): Promise<string> => {
        const socket = dial({ secureContext: client.context });
        await once(socket, 'secureConnect');
        const { serialNumber } = socket.getPeerCertificate();
        socket.destroy();
        return serialNumber;
      };
      const old = await serialOf();
      await copy(await ours.issue('agent:node-a'), files);
      const renewed = await until('another certificate is shown', async () => {
        const serial = await serialOf();
        return serial !== old && serial;
      });
      expect(renewed).to.not.equal(old);
    });
  });

  it('are what etcd asks for: the store works with ours, not with others, and goes on after a renewal', async () => {
    const etcd = await startSingleEtcd(await ours.issue('etcd'));
    const files = await ours.issue('agent:node-a');
    const foreign = { ...(await theirs.issue('agent:node-a')), ca: files.ca };
    const certificates = await load(files);
    const open = (which: Certificates) => connectStore({ endpoints: [etcd.url], certificates: which, leaseTtlSeconds: 3 }, silentLog);
    const connection = open(certificates);
    const stranger = open(await load(foreign));
    try {
      await connection.store.commit([], [{ put: '/a', value: '1' }]);
      const refused = await stranger.store.get('/a').catch((error: unknown) => error);
      expect(refused).to.include({ code: 'Unavailable' });
      const view = connection.store.view('/', () => undefined);
      await until('current', () => view.isCurrent);
      let renewals = 0;
      certificates.onRenewed(() => renewals++);
      await copy(await ours.issue('agent:node-a'), files);
      await until('renewed', () => renewals === 1);
      await connection.store.commit([], [{ put: '/a', value: '2' }]);
      await until('the view goes on', () => view.isCurrent && view.entries.get('/a')?.value === '2');
      expect(connection.lease.isAlive).to.equal(true);
    } finally {
      await Promise.all([connection.close(), stranger.close()]);
      await etcd.remove();
    }
  });
});
