/** That a unix socket takes more than Linux gives it by itself, and that widening does no harm to one that is closed. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { widenSendBuffer } from '../../../../agent/edge/sendBuffer.ts';

/** Linux takes 208 KiB, twice that from whoever may not have more than `net.core.wmem_max`. */
const BYTES = 300 * 1024;

describe('Send buffer of a unix socket', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-send-'));
  let server: Server;
  const sockets: Socket[] = [];

  const accepted = async (): Promise<Socket> => {
    const at = path.join(directory, 'one.sock');
    server = createServer().listen(at);
    await once(server, 'listening');
    const client = connect(at).pause();
    sockets.push(client);
    const [socket] = (await once(server, 'connection')) as [Socket];
    sockets.push(socket);
    return socket;
  };

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  after(() => rmSync(directory, { recursive: true }));

  it('takes what without it stays in the program, though nobody reads', async () => {
    const socket = await accepted();
    await widenSendBuffer(socket);
    socket.write(Buffer.alloc(BYTES));
    expect(socket.writableLength).to.equal(0);
  });

  it('would not take it by itself', async () => {
    const socket = await accepted();
    socket.write(Buffer.alloc(BYTES));
    expect(socket.writableLength).to.be.greaterThan(0);
  });

  it('leaves one alone that was closed meanwhile', async () => {
    const socket = await accepted();
    const widened = widenSendBuffer(socket);
    socket.destroy();
    await widened;
    expect(socket.destroyed).to.equal(true);
  });
});
