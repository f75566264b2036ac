/** The lease against a real etcd that is killed and stopped, and processes that are. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect } from 'chai';
import { Etcd3 } from 'etcd3';
import { isOperatingError, messageOf } from '../../../core/errors.ts';
import { silentLog } from '../../../core/log.ts';
import { connectStore, type StoreConnection } from '../../../edge/etcd/connect.ts';
import { type EtcdProcess, startSingleEtcd } from '../../support/etcd.ts';
import { until } from '../../support/until.ts';

const TTL_SECONDS = 3;
const HOLDER = path.join(import.meta.dirname, 'leaseHolder.ts');

describe('the lease', function () {
  this.timeout(40_000);
  let etcd: EtcdProcess;
  let connection: StoreConnection;
  let observer: StoreConnection;
  let grants: number;
  const children = new Set<ChildProcess>();
  const connect = () => connectStore({ endpoints: [etcd.url], certificates: null, leaseTtlSeconds: TTL_SECONDS }, silentLog);
  beforeEach(async () => {
    etcd = await startSingleEtcd();
    observer = connect();
    connection = connect();
    grants = 0;
    connection.lease.onGranted(() => grants++);
    await until('the lease is announced', () => grants === 1);
  });
  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    children.clear();
    etcd.continue();
    await Promise.all([connection.close(), observer.close()]);
    await etcd.remove();
  });
  const putLeased = (key: string) => connection.store.commit([], [{ put: key, value: 'here', leased: true }]);
  const isThere = async (key: string) => (await observer.store.get(key)) !== null;
  const startHolder = async (key: string): Promise<ChildProcess> => {
    const child = spawn(process.execPath, [HOLDER, etcd.url, key], { stdio: ['ignore', 'pipe', 'inherit'] });
    children.add(child);
    await once(child.stdout, 'data');
    return child;
  };

  it('lives for longer than its life, and tells one who listens late', async () => {
    await putLeased('/held');
    const startMs = performance.now();
    await until('two lives passed', () => performance.now() - startMs > 2 * TTL_SECONDS * 1000, 10_000);
    expect(connection.lease.isAlive).to.equal(true);
    expect(await isThere('/held')).to.equal(true);
    let told = 0;
    connection.lease.onGranted(() => told++);
    await until('told', () => told === 1);
    expect(grants).to.equal(1);
  });

  it('what was put under it vanishes when the process is killed', async () => {
    const child = await startHolder('/child');
    expect(await isThere('/child')).to.equal(true);
    child.kill('SIGKILL');
    const startMs = performance.now();
    await until('the key is gone', async () => !(await isThere('/child')));
    expect(performance.now() - startMs).to.be.below(TTL_SECONDS * 1000 + 2_000);
  });

  it('a process that stood still for longer than its lease gets a new one and puts again', async () => {
    const child = await startHolder('/slept');
    child.kill('SIGSTOP');
    await until('the key is gone', async () => !(await isThere('/slept')));
    child.kill('SIGCONT');
    await until('the key is back', () => isThere('/slept'));
  });

  it('and its keys survive that etcd is killed and started again', async () => {
    await putLeased('/survives');
    await etcd.kill();
    await until('it is unsure', () => !connection.lease.isAlive);
    const refused = await putLeased('/survives').catch((error: unknown) => error);
    expect(isOperatingError(refused, 'Unavailable')).to.equal(true);
    expect(messageOf(refused)).to.equal('commit /survives: this process holds no lease now; nothing was changed');
    await etcd.restart();
    await until('it is alive', () => connection.lease.isAlive);
    expect(await isThere('/survives')).to.equal(true);
    expect(grants).to.equal(1);
  });

  it('is unsure while etcd stands still, and alive again after', async () => {
    await putLeased('/still');
    etcd.stop();
    await until('it is unsure', () => !connection.lease.isAlive, TTL_SECONDS * 1000 + 500);
    etcd.continue();
    await until('it is alive', () => connection.lease.isAlive);
    await until('what stands under it is put', async () => (await isThere('/still')) || ((await putLeased('/still')) && true));
  });

  it('is granted again and announced after it was revoked from outside', async () => {
    await putLeased('/revoked');
    const client = new Etcd3({ hosts: etcd.url });
    const { leases } = await client.leaseClient.leaseLeases();
    for (const { ID } of leases) await client.leaseClient.leaseRevoke({ ID });
    client.close();
    expect(await isThere('/revoked')).to.equal(false);
    await until('announced again', () => grants === 2, 3_000);
    expect(connection.lease.isAlive).to.equal(true);
    await putLeased('/revoked');
    expect(await isThere('/revoked')).to.equal(true);
  });

  it('a commit that finds it gone fails and has a new one asked for at once', async () => {
    const client = new Etcd3({ hosts: etcd.url });
    const { leases } = await client.leaseClient.leaseLeases();
    for (const { ID } of leases) await client.leaseClient.leaseRevoke({ ID });
    client.close();
    const error = await putLeased('/lost').then(
      () => null,
      (reason: unknown) => reason,
    );
    // Either the commit noticed, or the loop did just before.
    if (error !== null) expect(messageOf(error)).to.match(/lease.*nothing was changed$/);
    await until('announced again', () => grants === 2, 3_000);
  });

  it('goes at once, with its keys, when it is given up, and is never asked for again', async () => {
    await putLeased('/given-up');
    await connection.lease.revoke();
    expect(connection.lease.isAlive).to.equal(false);
    expect(await isThere('/given-up')).to.equal(false);
    const error = await putLeased('/given-up').catch((reason: unknown) => reason);
    expect(messageOf(error)).to.contain('holds no lease now');
    expect(grants).to.equal(1);
  });
});
