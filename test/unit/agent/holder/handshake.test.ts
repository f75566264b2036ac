/** A client's side of the handshake: against the project's own server on a real socket, and against what no server should say. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { dial } from '../../../../agent/holder/edge/dial.ts';
import { answerOf, encodeHello } from '../../../../agent/holder/handshake.ts';
import { TRANSMISSION_FLAG } from '../../../../agent/nbd/layout.ts';
import { OperatingError } from '../../../../core/errors.ts';
import { MemoryDevice } from '../../../support/memoryDevice.ts';
import { type Served, serve } from '../../../support/nbdServed.ts';
import { until } from '../../../support/until.ts';

const GREETING = '4e42444d41474943 49484156454f5054 0003';
const reply = (type: string, data: string, length = (data.replaceAll(' ', '').length / 2).toString(16).padStart(8, '0')): string =>
  `0003e889045565a9 00000007 ${type} ${length} ${data}`;
const EXPORT = reply('00000003', '0000 0000000010000000 042d');
const ACK = reply('00000001', '');
const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');

describe('agent/holder: the handshake', () => {
  it('asks for the export at once', () => {
    expect(encodeHello('db').toString('hex')).to.equal(
      bytes('00000003 49484156454f5054 00000007 00000008 00000002 6462 0000').toString('hex'),
    );
  });

  it('is ready when all has come, wherever it was cut', () => {
    const whole = bytes(GREETING + reply('00000003', '0003 00000001 00001000 02000000') + EXPORT + ACK);
    for (let length = 0; length < whole.length; length++)
      expect(answerOf(whole.subarray(0, length)).is, `${length} bytes`).to.equal('more');
    expect(answerOf(whole)).to.deep.equal({ is: 'ready', flags: 0x042d });
  });

  for (const [what, said, reason] of [
    ['another protocol', '4854 5450 2f31 2e31 2032 3030 204f 4b0d 0a0d', /no NBD server/],
    ['an old server', GREETING.replace(/0003$/, '0000'), /no NBD server/],
    ['a refusal', GREETING + reply('80000006', Buffer.from('only pgdata').toString('hex')), /^only pgdata$/],
    ['an acknowledgement of nothing', GREETING + ACK, /does not say what the export is/],
    ['a length beyond all measure', GREETING + reply('00000003', '', 'ffffffff'), /no answer/],
    ['an answer to another question', GREETING + ACK.replace('00000007', '00000006'), /no answer/],
    ['more behind the answer', `${GREETING}${EXPORT}${ACK}00`, /nobody asked/],
    ['no end of answers', GREETING + EXPORT.repeat(17), /more than 16/],
  ] as const)
    it(`takes ${what} for what it is`, () => {
      const answer = answerOf(bytes(said));
      expect(answer.is === 'trouble' && answer.reason).to.match(reason);
    });

  describe('over a socket', () => {
    let served: Served;
    beforeEach(async () => {
      served = await serve(new MemoryDevice('pgdata', 1024 * 1024));
    });
    afterEach(() => served.remove());

    it('gets the flags of the export, and leaves the server when it is closed', async () => {
      const dialled = await dial(served.socketPath, 'pgdata@growing');
      expect(dialled.descriptor).to.be.greaterThan(2);
      expect(dialled.flags & TRANSMISSION_FLAG.sendFlush).not.to.equal(0);
      expect(served.server.connectionCount).to.equal(1);
      dialled.close();
      await until('the server has lost it', () => served.server.connectionCount === 0);
    });

    it('says the words of a server that refuses, and that nobody listens', async () => {
      const refusalOf = (wanted: Promise<unknown>) => wanted.catch((error: unknown) => error);
      expect(String(await refusalOf(dial(served.socketPath, 'other')))).to.match(/serves only pgdata/);
      const nobody = await refusalOf(dial(`${served.socketPath}.not`, 'pgdata'));
      expect(nobody).to.be.instanceOf(OperatingError);
      await until('the server has lost the first', () => served.server.connectionCount === 0);
    });
  });

  describe('with a server that says nothing', () => {
    let directory: string;
    let server: Server;
    let accepted: Socket[];
    beforeEach(async () => {
      directory = mkdtempSync(path.join(tmpdir(), 'hf-dial-'));
      accepted = [];
      server = createServer((socket) => accepted.push(socket.on('error', () => undefined))).listen(path.join(directory, 's'));
      await once(server, 'listening');
    });
    afterEach(async () => {
      for (const socket of accepted) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true });
    });

    it('can be given up, and notices that it is given up', async () => {
      const gone = new AbortController();
      const wanted = dial(path.join(directory, 's'), 'pgdata', gone.signal).catch((error: unknown) => String(error));
      await until('it is connected', () => accepted.length === 1);
      gone.abort();
      expect(await wanted).to.match(/given up/);
      const second = dial(path.join(directory, 's'), 'pgdata').catch((error: unknown) => String(error));
      await until('it is connected', () => accepted.length === 2);
      accepted[1]?.destroy();
      expect(await second).to.match(/ends the connection/);
    });
  });
});
