/** The socket itself: its file, its connections, and how it ends. */

import { lstat, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { NbdServer } from '../../../agent/edge/nbdServer.ts';
import { MemoryDevice } from '../../support/memoryDevice.ts';
import { RawClient, run, runWell, type Served, serve } from '../../support/nbdServed.ts';
import { CollectedEvents, HeldDevice } from '../../support/nbdSession.ts';
import * as nbd from '../../support/nbdWire.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
const HANDSHAKE = Buffer.concat([nbd.clientFlags(), nbd.structuredReplyOption(), nbd.goOption('')]);
const HANDSHAKE_ANSWER_BYTES = 20 + (20 + 12) + 20;

const memory = () => new MemoryDevice('pgdata', 1024 * MIB);

async function transmitting(served: Served): Promise<RawClient> {
  const client = new RawClient(served.socketPath);
  await client.exchange(HANDSHAKE, nbd.GREETING.length + HANDSHAKE_ANSWER_BYTES);
  return client;
}

const repliesOf = (client: RawClient) => nbd.parseStructured(client.received.subarray(nbd.GREETING.length + HANDSHAKE_ANSWER_BYTES));

describe('nbd socket', function () {
  this.timeout(30_000);
  let served: Served;
  afterEach(() => served.remove());

  describe('the file', () => {
    it('can be used by its owner only, and nothing else lies beside it', async () => {
      served = await serve(memory());
      const { mode } = await lstat(served.socketPath);
      expect((mode & 0o777).toString(8)).to.equal('600');
      expect(await readdir(served.directory)).to.deep.equal(['pgdata.sock']);
    });

    it('that a dead server left is replaced', async () => {
      served = await serve(memory());
      const stale = path.join(served.directory, 'stale.sock');
      // Killed: nothing cleans up behind it.
      const leaves = `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`;
      await run('sh', '-c', `${process.execPath} -e '${leaves.replaceAll("'", `'\\''`)}'; exit 0`);
      expect((await lstat(stale)).isSocket()).to.equal(true);
      const server = await NbdServer.listen({ device: memory(), socketPath: stale, events: new CollectedEvents() });
      expect(await runWell('nbdinfo', '--size', `nbd+unix:///?socket=${stale}`)).to.equal(`${1024 * MIB}\n`);
      await server.close();
    });

    it('is gone when the server is, and whoever was there next keeps theirs', async () => {
      served = await serve(memory());
      const next = await NbdServer.listen({
        device: new MemoryDevice('next', MIB),
        socketPath: served.socketPath,
        events: new CollectedEvents(),
      });
      await served.server.close();
      expect(await runWell('nbdinfo', '--size', served.uri('next'))).to.equal(`${MIB}\n`);
      await next.close();
      expect(await readdir(served.directory)).to.deep.equal([]);
    });

    it('is not put in the place of something that is no socket', async () => {
      served = await serve(memory());
      const file = path.join(served.directory, 'precious');
      await writeFile(file, 'data');
      const refused = await NbdServer.listen({ device: memory(), socketPath: file, events: new CollectedEvents() }).catch((error) => error);
      expect(String(refused.message)).to.include('precious is there and is not a socket');
      expect(await readFile(file, 'utf8')).to.equal('data');
    });

    it('with a path too long for the kernel is refused in words', async () => {
      served = await serve(memory());
      const deep = path.join(served.directory, 'd'.repeat(100));
      await mkdir(deep);
      const socketPath = path.join(deep, 's');
      const refused = await NbdServer.listen({ device: memory(), socketPath, events: new CollectedEvents() }).catch((error) => error);
      expect(String(refused.message)).to.match(/must be at most 107 bytes; .* needs 1\d\d/);
      expect(await readdir(deep)).to.deep.equal([]);
    });
  });

  it('takes no more connections than connectionsMax, and takes one again when one has left', async () => {
    served = await serve(memory(), { connectionsMax: 2 });
    const first = await transmitting(served);
    await transmitting(served);
    const third = new RawClient(served.socketPath);
    await until('the third is turned away', () => third.closed);
    expect(third.received.length).to.equal(0);
    expect(served.events.refusedConnections).to.deep.equal(['connectionsMax']);
    first.socket.destroy();
    await until('the first has left', () => served.server.connectionCount === 1);
    await transmitting(served);
  });

  it('closes a connection that does not finish its handshake, and no other', async () => {
    served = await serve(memory(), { handshakeTimeoutMs: 100 });
    const working = await transmitting(served);
    const idle = new RawClient(served.socketPath);
    await until('the idle one is closed', () => idle.closed);
    expect(served.events.refusedConnections).to.deep.equal(['handshakeTimeout']);
    await working.exchange(nbd.request({ type: nbd.FLUSH, cookie: 1 }), 16);
  });

  it('does not answer ahead of a client that does not read, and serves the others', async () => {
    served = await serve(memory());
    const lazy = await transmitting(served);
    lazy.socket.pause();
    const wanted = Array.from({ length: 100 }, (_, index) => nbd.request({ type: nbd.READ, cookie: index, length: MIB }));
    lazy.socket.write(Buffer.concat(wanted));
    await until('replies pile up', () => served.events.completed.length >= 8);
    const diligent = await transmitting(served);
    for (let index = 0; index < 50; index++) await diligent.exchange(nbd.request({ type: nbd.FLUSH, cookie: index }), 16);
    const toTheLazy = served.events.completed.filter(({ kind }) => kind === 'read').length;
    expect(toTheLazy).to.be.lessThan(12);
    lazy.socket.resume();
    await until('it has got everything', () => lazy.receivedBytes === nbd.GREETING.length + HANDSHAKE_ANSWER_BYTES + 100 * (28 + MIB));
  });

  describe('close', () => {
    it('ends the connections without an answer to what waits, and removes the file', async () => {
      const device = new HeldDevice(memory());
      served = await serve(device);
      const client = await transmitting(served);
      client.socket.write(
        Buffer.concat([nbd.request({ type: nbd.READ, cookie: 1, length: 512 }), nbd.request({ type: nbd.FLUSH, cookie: 2 })]),
      );
      await until('both wait in the device', () => device.calls.length === 2);
      const closing = served.server.close();
      await until('the client sees the end', () => client.closed);
      expect(repliesOf(client)).to.deep.equal([]);
      client.socket.destroy();
      await closing;
      expect(await stat(served.socketPath).catch((error) => error.code)).to.equal('ENOENT');
      expect(device.closedClients).to.equal(1);
      expect(served.server.connectionCount).to.equal(0);
    });

    it('is not held up by a client that neither reads nor leaves', async () => {
      served = await serve(memory(), { closeTimeoutMs: 50 });
      const lazy = await transmitting(served);
      lazy.socket.pause();
      lazy.socket.write(
        Buffer.concat(Array.from({ length: 10 }, (_, index) => nbd.request({ type: nbd.READ, cookie: index, length: 4 * MIB }))),
      );
      await until('replies pile up', () => served.events.completed.length >= 2);
      await served.server.close();
      expect(served.server.connectionCount).to.equal(0);
    });

    it('is a pause to qemu, where it may connect again: it asks whoever serves next', async () => {
      const device = new HeldDevice(memory());
      served = await serve(device);
      const { socketPath, events } = served;
      const image = `driver=nbd,server.type=unix,server.path=${socketPath},reconnect-delay=20`;
      const writing = run('qemu-io', '--image-opts', '-c', 'write -P 7 0 512', '-c', 'read -P 7 0 512', image);
      await until('the write waits in the device', () => device.calls.some(({ kind }) => kind === 'write'));
      await served.server.close();
      const next = await NbdServer.listen({ device: memory(), socketPath, events });
      const { code, stdout, stderr } = await writing;
      await next.close();
      expect([code, /failed|error/i.test(stdout + stderr)], stdout + stderr).to.deep.equal([0, false]);
    });

    it('twice is the same as once', async () => {
      served = await serve(memory());
      await Promise.all([served.server.close(), served.server.close()]);
      await served.server.close();
    });
  });

  it('stopAnswering ends everything without another byte', async () => {
    const device = new HeldDevice(memory());
    served = await serve(device);
    const client = await transmitting(served);
    const receivedBefore = client.received.length;
    client.socket.write(nbd.request({ type: nbd.FLUSH, cookie: 1 }));
    await until('the flush waits in the device', () => device.calls.length === 1);
    served.server.stopAnswering();
    for (const call of device.calls) call.go();
    await until('the client sees the end', () => client.closed);
    expect(client.received.length).to.equal(receivedBefore);
    expect(await stat(served.socketPath).catch((error) => error.code)).to.equal('ENOENT');
  });

  it('a request that breaks the stream ends its connection only', async () => {
    served = await serve(memory());
    const other = await transmitting(served);
    const broken = await transmitting(served);
    broken.socket.write(Buffer.alloc(28, 0xee));
    await until('it is closed', () => broken.closed);
    expect(served.events.refusedConnections).to.deep.equal(['requestMagic']);
    await other.exchange(nbd.request({ type: nbd.FLUSH, cookie: 1 }), 16);
  });

  it('a client that ends its side behind a DISC still gets its replies', async () => {
    const device = new HeldDevice(memory());
    served = await serve(device);
    const client = await transmitting(served);
    client.socket.end(Buffer.concat([nbd.request({ type: nbd.FLUSH, cookie: 1 }), nbd.request({ type: nbd.DISC, cookie: 2 })]));
    await until('the flush waits in the device', () => device.calls.length === 1);
    device.next().go();
    await until('the connection has ended', () => client.closed && served.server.connectionCount === 0);
    expect(repliesOf(client).map(({ cookie, error }) => [Number(cookie), error])).to.deep.equal([[1, 0]]);
  });
});
