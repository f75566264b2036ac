/** The store's reads and commits against a real etcd. */
import { createServer, type Server, type Socket } from 'node:net';
import { expect } from 'chai';
import { isOperatingError, messageOf } from '../../../core/errors.ts';
import { silentLog } from '../../../core/log.ts';
import { connectStore, type StoreConnection } from '../../../edge/etcd/connect.ts';
import { type EtcdProcess, startEtcd, startSingleEtcd } from '../../support/etcd.ts';
import { until } from '../../support/until.ts';

/** Zero: the first endpoint is the first to be asked. */
const firstEndpoint = { unit: () => 0, hex: () => '' };
const connect = (...endpoints: string[]): StoreConnection =>
  connectStore({ endpoints, certificates: null, leaseTtlSeconds: 3 }, silentLog, firstEndpoint);

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`resolved with ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
}

describe('the store', function () {
  this.timeout(30_000);
  let etcd: EtcdProcess;
  let connection: StoreConnection;
  before(async () => {
    etcd = await startSingleEtcd();
  });
  beforeEach(() => {
    connection = connect(etcd.url);
  });
  afterEach(async () => {
    etcd.continue();
    await connection.close();
  });
  after(() => etcd.remove());

  it('reads what was committed, and null where nothing is', async () => {
    const { store } = connection;
    const outcome = await store.commit([], [{ put: '/a/1', value: 'one' }]);
    expect(outcome.committed).to.equal(true);
    expect(await store.get('/a/1')).to.deep.equal({ key: '/a/1', value: 'one', revision: outcome.revision });
    expect(await store.get('/a/none')).to.equal(null);
  });

  it('commits only while every condition holds, and then changes all or nothing', async () => {
    const { store } = connection;
    const first = await store.commit([{ key: '/c/1', is: 'absent' }], [{ put: '/c/1', value: 'one' }]);
    expect(first.committed).to.equal(true);
    const late = await store.commit([{ key: '/c/1', is: 'absent' }], [{ put: '/c/1', value: 'two' }]);
    expect(late.committed).to.equal(false);
    const wrongValue = await store.commit([{ key: '/c/1', is: 'value', value: 'two' }], [{ put: '/c/2', value: 'x' }, { delete: '/c/1' }]);
    expect(wrongValue.committed).to.equal(false);
    expect((await store.list('/c/')).entries.map(({ key, value }) => [key, value])).to.deep.equal([['/c/1', 'one']]);
    const right = await store.commit(
      [
        { key: '/c/1', is: 'revision', revision: first.revision },
        { key: '/c/1', is: 'value', value: 'one' },
      ],
      [{ put: '/c/2', value: 'x' }, { delete: '/c/1' }],
    );
    expect(right.committed).to.equal(true);
    expect((await store.list('/c/')).entries.map(({ key }) => key)).to.deep.equal(['/c/2']);
    const oldRevision = await store.commit([{ key: '/c/2', is: 'revision', revision: first.revision }], [{ delete: '/c/2' }]);
    expect(oldRevision.committed).to.equal(false);
  });

  it('lets one of many that change the same value win', async () => {
    const { store } = connection;
    const { revision } = await store.commit([], [{ put: '/race', value: '0' }]);
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        store.commit([{ key: '/race', is: 'revision', revision }], [{ put: '/race', value: `${index}` }]),
      ),
    );
    expect(outcomes.filter(({ committed }) => committed)).to.have.length(1);
  });

  it('lists more than a page, all of one revision', async () => {
    const { store } = connection;
    for (let from = 0; from < 1200; from += 100) {
      await store.commit(
        [],
        Array.from({ length: 100 }, (_, index) => ({ put: `/many/${from + index}`, value: 'v' })),
      );
    }
    const { entries, revision } = await store.list('/many/');
    expect(new Set(entries.map(({ key }) => key)).size).to.equal(1200);
    expect(Number(revision)).to.be.at.least(Number(entries.at(-1)?.revision));
    expect((await store.list('/manyother/')).entries).to.deep.equal([]);
  });

  it('lets a key go that was put to expire', async () => {
    const { store } = connection;
    await store.commit([], [{ put: '/expires', value: 'v', expiresAfterSeconds: 1 }]);
    expect(await store.get('/expires')).to.not.equal(null);
    await until('the key expired', async () => (await store.get('/expires')) === null);
  });

  it('says which request etcd refused, and that nothing was changed', async () => {
    const error = await failureOf(connection.store.commit([], [{ put: '/big', value: 'x'.repeat(2_000_000) }]));
    expect(isOperatingError(error, 'Unavailable')).to.equal(true);
    expect(messageOf(error)).to.match(/^commit \/big: etcd refused: etcdserver: request is too large; nothing was changed$/);
  });

  it('fails Unavailable within its deadline while etcd is stopped, and a commit says that its outcome is unknown', async () => {
    const { store } = connection;
    await store.commit([], [{ put: '/stopped', value: 'before' }]);
    etcd.stop();
    const startMs = performance.now();
    const [read, listed, committed] = await Promise.all([
      failureOf(store.get('/stopped')),
      failureOf(store.list('/stopped/')),
      failureOf(store.commit([], [{ put: '/stopped', value: 'during' }])),
    ]);
    expect(performance.now() - startMs).to.be.below(4_000);
    for (const error of [read, listed, committed]) expect(isOperatingError(error, 'Unavailable'), messageOf(error)).to.equal(true);
    expect(messageOf(committed)).to.contain('the outcome is unknown, it may have been done or may still be done');
    expect(messageOf(read)).to.contain('nothing was changed');
    etcd.continue();
    await until('etcd answers again', () => store.get('/stopped').catch(() => null));
  });

  it('says so for readiness while etcd is stopped', async () => {
    await connection.store.get('/x');
    expect(connection.check()).to.equal(null);
    etcd.stop();
    const sentence = await until('the check fails', () => connection.check());
    expect(sentence).to.match(/^etcd has given no answer for \d+ s \(now asked: http:/);
    etcd.continue();
    await until('the check is well again', () => connection.check() === null);
  });

  it('says at once that nothing was sent when nobody listens, and works again after a restart on the same port', async () => {
    const { store } = connection;
    await store.get('/x');
    await etcd.kill();
    await until('refused at once', async () => {
      const error = await failureOf(store.commit([], [{ put: '/refused', value: 'v' }]));
      expect(isOperatingError(error, 'Unavailable')).to.equal(true);
      return messageOf(error).endsWith('nothing was changed');
    });
    await etcd.restart();
    await until('commits again', () => store.commit([], [{ put: '/refused', value: 'v' }]).catch(() => null), 3_000);
    expect((await store.get('/refused'))?.value).to.equal('v');
  });

  it('refuses, as a programmer error, what no etcd could take', async () => {
    const { store } = connection;
    const changes = Array.from({ length: 129 }, (_, index) => ({ put: `/too/${index}`, value: 'v' }));
    expect(messageOf(await failureOf(store.commit([], changes)))).to.equal('129 changes in one commit');
    const twice = [{ put: '/twice', value: 'v' }, { delete: '/twice' }];
    expect(messageOf(await failureOf(store.commit([], twice)))).to.equal('one commit changes a key twice');
  });
});

describe('the store with several members of etcd', function () {
  this.timeout(40_000);
  let members: EtcdProcess[];
  let connection: StoreConnection;
  beforeEach(async () => {
    members = await startEtcd({ members: 3 });
    connection = connect(...members.map(({ url }) => url));
  });
  afterEach(async () => {
    await connection.close();
    await Promise.all(members.map((member) => member.remove()));
  });

  it('goes on at once when the member it talks to is killed', async () => {
    const { store } = connection;
    await store.commit([], [{ put: '/m', value: '1' }]);
    await members[0]?.kill();
    const startMs = performance.now();
    await until('a commit succeeds', () => store.commit([], [{ put: '/m', value: '2' }]).catch(() => null));
    expect(performance.now() - startMs).to.be.below(5_000);
    expect((await store.get('/m'))?.value).to.equal('2');
  });

  it('goes on when the member it talks to stands still; reads do not even fail', async () => {
    const { store } = connection;
    await store.commit([], [{ put: '/m', value: '1' }]);
    members[0]?.stop();
    await until('a commit succeeds', () => store.commit([], [{ put: '/m', value: '2' }]).catch(() => null), 8_000);
    expect((await store.get('/m'))?.value).to.equal('2');
  });

  it('without a quorum fails Unavailable and changes nothing by itself', async () => {
    const { store } = connection;
    await store.commit([], [{ put: '/m', value: '1' }]);
    await members[1]?.kill();
    await members[2]?.kill();
    const startMs = performance.now();
    const error = await failureOf(store.get('/m'));
    expect(isOperatingError(error, 'Unavailable')).to.equal(true);
    expect(performance.now() - startMs).to.be.below(4_000);
    await members[1]?.start();
    await until('reads again', () => store.get('/m').catch(() => null), 15_000);
  });
});

describe('the store when an endpoint takes connections and says nothing', function () {
  this.timeout(20_000);
  let silent: Server;
  const sockets = new Set<Socket>();
  let etcd: EtcdProcess;
  before(async () => {
    etcd = await startSingleEtcd();
    silent = createServer((socket) => sockets.add(socket)).listen(0, '127.0.0.1');
    await until('listening', () => silent.listening);
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    silent.close();
    await etcd.remove();
  });

  it('a call fails within its deadline, and the next member is asked from then on', async () => {
    const { port } = silent.address() as { port: number };
    const connection = connect(`http://127.0.0.1:${port}`, etcd.url);
    const startMs = performance.now();
    expect(await connection.store.get('/x')).to.equal(null);
    expect(performance.now() - startMs).to.be.within(0, 2_500);
    await connection.close();
  });
});
