/** A cut holds back one direction, also the end of it, and what was held back arrives when it is mended. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { expect } from 'chai';
import { findFreePort } from '../../../tools/local/ports.ts';
import { LISTEN_HOST, Relays } from '../../history/relays.ts';
import { until } from '../../support/until.ts';

describe('relays between agents', () => {
  let relays: Relays;
  let dialling: Socket;
  let dialled: Socket;
  let server: ReturnType<typeof createServer>;
  const heard = { dialling: '', dialled: '' };

  beforeEach(async () => {
    heard.dialling = '';
    heard.dialled = '';
    relays = new Relays(['a', 'b'], (node) => (node === 'a' ? process.pid : undefined));
    server = createServer({ allowHalfOpen: true });
    server.listen(0, LISTEN_HOST);
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const at = { host: '127.0.1.1', port: await findFreePort(new Set()) };
    await relays.listen(at, null, 'b', () => ({ host: LISTEN_HOST, port }));
    dialling = connect({ ...at, allowHalfOpen: true });
    [dialled] = (await once(server, 'connection')) as [Socket];
    dialling.on('data', (bytes: Buffer) => {
      heard.dialling += bytes.toString();
    });
    dialled.on('data', (bytes: Buffer) => {
      heard.dialled += bytes.toString();
    });
  });

  afterEach(() => {
    for (const socket of [dialling, dialled]) socket.destroy();
    relays.close();
    server.close();
  });

  it('know who dialled, and carry both directions', async () => {
    dialling.write('there');
    dialled.write('back');
    await until('both arrive', () => heard.dialled === 'there' && heard.dialling === 'back');
    expect(relays.connections).to.equal(1);
  });

  it('hold back one direction while the other goes on, and let it through when mended', async () => {
    const mend = relays.cut('a', 'b');
    dialling.write('held');
    dialled.write('one');
    await until('the other direction', () => heard.dialling === 'one');
    dialled.write('two');
    await until('the other direction, again', () => heard.dialling === 'onetwo');
    expect(heard.dialled).to.equal('');
    mend();
    await until('what was held back', () => heard.dialled === 'held');
  });

  it('hold back the end, too; a cut that was made twice has to be mended twice', async () => {
    let hasEnded = false;
    dialled.once('end', () => {
      hasEnded = true;
    });
    const [first, second] = [relays.cut('a', 'b'), relays.cut('a', 'b')];
    dialling.end('last');
    dialled.write('one');
    await until('the other direction', () => heard.dialling === 'one');
    first();
    first();
    dialled.write('two');
    await until('the other direction, again', () => heard.dialling === 'onetwo');
    expect([heard.dialled, hasEnded]).to.deep.equal(['', false]);
    second();
    await until('the end', () => hasEnded && heard.dialled === 'last');
  });
});
