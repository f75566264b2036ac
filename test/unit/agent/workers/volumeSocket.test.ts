/** The NBD socket of one volume: opened, closed behind what was answered, dropped without another byte. */
import { expect } from 'chai';
import type { BlockDevice } from '../../../../agent/ports.ts';
import { VolumeSocket } from '../../../../agent/workers/volumeSocket.ts';
import { silentLog } from '../../../../core/log.ts';
import { FakeSockets } from '../../../support/fakeEngines.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { atRest } from '../../../support/scriptedStore.ts';

const DEVICE = { name: 'pgdata', sizeBytes: 4096 } as BlockDevice;

function setUp(name = 'pgdata') {
  const sockets = new FakeSockets();
  const clock = new ManualClock();
  const changes: (string | null)[] = [];
  const socket: VolumeSocket = new VolumeSocket({
    directory: '/run/holdfast',
    name,
    listen: sockets.listen,
    clock,
    log: silentLog,
    changed: () => changes.push(socket.path ?? socket.problem),
  });
  return { sockets, clock, socket, changes };
}

describe("a volume's socket", () => {
  it('is told as open only when clients can connect', async () => {
    const { sockets, socket, changes } = setUp();
    sockets.isManual = true;
    socket.open(DEVICE);
    await atRest();
    expect(socket.path).to.equal(null);
    sockets.proceed();
    await atRest();
    expect(socket.path).to.equal('/run/holdfast/pgdata.sock');
    expect(changes).to.deep.equal(['/run/holdfast/pgdata.sock']);
  });

  it('closes, and counts as closed when the last connection has gone', async () => {
    const { sockets, socket } = setUp();
    socket.open(DEVICE);
    await atRest();
    socket.close();
    expect(sockets.servers[0]?.state).to.equal('closing');
    expect(socket.isClosed).to.equal(false);
    sockets.servers[0]?.lastConnectionLeft();
    await atRest();
    expect(socket.isClosed).to.equal(true);
  });

  it('that is closed before it opened is opened and closed, not left open', async () => {
    const { sockets, socket } = setUp();
    sockets.isManual = true;
    socket.open(DEVICE);
    socket.close();
    sockets.proceed();
    await atRest();
    expect(sockets.servers.map(({ state }) => state)).to.deep.equal(['closing']);
  });

  it('that is dropped gives no answer, whether it is open, closing, or only about to open', async () => {
    for (const before of ['open', 'closing', 'opening'] as const) {
      const { sockets, socket } = setUp();
      sockets.isManual = true;
      socket.open(DEVICE);
      if (before !== 'opening') sockets.proceed();
      await atRest();
      if (before === 'closing') socket.close();
      socket.drop();
      if (before === 'opening') sockets.proceed();
      await atRest();
      expect(
        sockets.servers.map(({ state }) => state),
        before,
      ).to.deep.equal(['dropped']);
      expect(socket.isClosed, before).to.equal(true);
    }
  });

  it('opened again while the one before still closes, waits for it', async () => {
    const { sockets, socket } = setUp();
    socket.open(DEVICE);
    await atRest();
    socket.close();
    socket.open(DEVICE);
    await atRest();
    expect(sockets.servers.length).to.equal(1);
    sockets.servers[0]?.lastConnectionLeft();
    await atRest();
    expect(sockets.servers.map(({ state }) => state)).to.deep.equal(['closed', 'open']);
  });

  it('that cannot be opened says why, once, and is tried again', async () => {
    const { sockets, socket, clock, changes } = setUp();
    sockets.problem = 'the disk is full';
    socket.open(DEVICE);
    await atRest();
    socket.tick();
    expect(sockets.pending, 'not before a pause').to.equal(0);
    for (let tries = 0; tries < 3; tries++) {
      clock.advance(5_000);
      socket.tick();
      await atRest();
    }
    expect(changes).to.deep.equal(['the disk is full']);
    sockets.problem = null;
    clock.advance(5_000);
    socket.tick();
    await atRest();
    expect(socket.path).to.equal('/run/holdfast/pgdata.sock');
    expect(socket.problem).to.equal(null);
  });

  for (const name of ['../../etc/passwd', 'a/b', '.', '..', 'a\0b', '', '.hidden']) {
    it(`never leaves its directory: ${JSON.stringify(name)} is refused`, async () => {
      const { sockets, socket } = setUp(name);
      socket.open(DEVICE);
      await atRest();
      expect(sockets.servers).to.deep.equal([]);
      expect(socket.problem).to.match(/cannot be that of a socket/);
    });
  }
});
