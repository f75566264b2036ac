/** The holder's HTTP, asked by the agent's own client and by somebody who says anything. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { HolderClient } from '../../../../agent/csi/edge/holderClient.ts';
import { Devices, HolderRefusal } from '../../../../agent/holder/devices.ts';
import { type HolderServer, startHolderServer } from '../../../../agent/holder/edge/server.ts';
import type { Backend, Records } from '../../../../agent/holder/ports.ts';
import { OperatingError } from '../../../../core/errors.ts';
import { volumeUid } from '../../../../core/ids.ts';
import { silentLog } from '../../../../core/log.ts';
import { CsiError } from '../../../../edge/csi/codes.ts';

const WISH = { name: 'pgdata', uid: volumeUid('uid-1'), socket: '/run/pgdata.sock', sizeBytes: 4096, readonly: false };
const { name: _, ...BODY } = WISH;

describe('agent/holder: its HTTP', () => {
  let directory: string;
  let socket: string;
  let server: HolderServer;
  let client: HolderClient;
  let attached: number;
  let trouble: Error | null;

  beforeEach(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'hf-holder-'));
    socket = path.join(directory, 'holder.sock');
    attached = 0;
    trouble = null;
    const done = async () => {
      if (trouble) throw trouble;
    };
    const backend: Backend = {
      way: 'fuse',
      unfit: async () => null,
      attach: async () => {
        await done();
        return { device: `/dev/loop${attached++}`, pids: [1] };
      },
      resize: done,
      fail: done,
      detach: done,
      isAlive: () => true,
      takeUp: () => undefined,
      close: done,
      clear: async () => undefined,
    };
    const records: Records = { load: () => [], save: () => undefined, remove: () => undefined, directory: (name) => name };
    // What a dead holder left.
    writeFileSync(socket, '');
    server = await startHolderServer(socket, new Devices(backend, [], records, silentLog), silentLog);
    client = new HolderClient(socket);
  });
  afterEach(async () => {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const send = (method: string, where: string, body = '', type = 'application/json'): Promise<{ status: number; error: string }> =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body) };
      const call = request({ socketPath: socket, method, path: where, headers }, (response) => {
        let text = '';
        response.on('data', (part: Buffer) => {
          text += part;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, error: text === '' ? '' : (JSON.parse(text) as { error: string }).error }),
        );
      });
      call.on('error', reject);
      call.end(body);
    });
  const refusal = async (work: Promise<unknown>): Promise<string> => {
    const error = await work.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    return error instanceof CsiError ? error.code : String(error);
  };

  it('may be asked by root alone', () => expect(statSync(socket).mode & 0o777).to.equal(0o600));

  it('does all that the agent asks', async () => {
    expect(await client.find('pgdata')).to.equal(null);
    const made = await client.attach(WISH);
    expect(made).to.include({ ...WISH, device: '/dev/loop0', failed: false });
    expect(await client.find('pgdata')).to.deep.equal(made);
    expect(await client.all()).to.deep.equal([made]);
    expect(await client.resize('pgdata', 8192)).to.include({ sizeBytes: 8192 });
    await client.fail('pgdata');
    expect(await client.find('pgdata')).to.include({ failed: true });
    await client.detach('pgdata');
    await client.detach('pgdata');
    expect(await client.all()).to.deep.equal([]);
  });

  it('tells the agent why not, as a code of CSI', async () => {
    expect(await refusal(client.resize('absent', 1))).to.equal('NotFound');
    await client.attach(WISH);
    expect(await refusal(client.attach({ ...WISH, readonly: true }))).to.equal('FailedPrecondition');
    expect(await refusal(client.attach({ ...WISH, name: 'Not A Name' }))).to.equal('InvalidArgument');
    trouble = new HolderRefusal('InUse', 'mounted');
    expect(await refusal(client.detach('pgdata'))).to.equal('FailedPrecondition');
    trouble = new OperatingError('Timeout', 'nbdkit', 'it does not listen');
    expect(await refusal(client.resize('pgdata', 8192))).to.equal('Unavailable');
  });

  it('is never taken for one that has no devices when it does not answer', async () => {
    const nobody = new HolderClient(path.join(directory, 'nobody.sock'));
    expect(await refusal(nobody.find('pgdata'))).to.equal('Unavailable');
    expect(await refusal(nobody.all())).to.equal('Unavailable');
  });

  const wrong: [what: string, body: string][] = [
    ['no JSON', '{'],
    ['nothing', ''],
    ['null', 'null'],
    ['a list', '[]'],
    ['no uid', JSON.stringify({ ...BODY, uid: undefined })],
    ['a uid that is a path', JSON.stringify({ ...BODY, uid: '../x' })],
    ['a relative socket', JSON.stringify({ ...BODY, socket: 'x.sock' })],
    ['a socket that is a number', JSON.stringify({ ...BODY, socket: 7 })],
    ['no size', JSON.stringify({ ...BODY, sizeBytes: undefined })],
    ['a size of 0', JSON.stringify({ ...BODY, sizeBytes: 0 })],
    ['half a byte', JSON.stringify({ ...BODY, sizeBytes: 0.5 })],
    ['a size in words', JSON.stringify({ ...BODY, sizeBytes: '4096' })],
    ['a size beyond all numbers', `{"uid":"uid-1","socket":"/s","readonly":false,"sizeBytes":1e999}`],
    ['readonly in words', JSON.stringify({ ...BODY, readonly: 'no' })],
  ];
  for (const [what, body] of wrong)
    it(`refuses ${what} as what cannot be asked, and attaches nothing`, async () => {
      expect(await send('PUT', '/devices/pgdata', body)).to.deep.equal({ status: 400, error: 'Invalid' });
      expect(attached).to.equal(0);
    });

  for (const name of ['..%2f..%2fetc', '%2e%2e%2fx', 'UPPER', 'x'.repeat(64), '%00', 'a%2fb'])
    it(`makes no path of ${name.slice(0, 20)}`, async () => {
      expect((await send('PUT', `/devices/${name}`, JSON.stringify(BODY))).status).to.equal(400);
      expect(attached).to.equal(0);
    });

  it('refuses what is too long, and what is no path', async () => {
    expect((await send('PUT', '/devices/pgdata', JSON.stringify({ ...BODY, more: 'x'.repeat(20_000) }))).status).to.equal(413);
    expect((await send('GET', '/devices/%')).status).to.equal(400);
  });

  it('refuses a size that is none when it shall grow', async () => {
    await client.attach(WISH);
    for (const body of ['{}', '{"sizeBytes":-1}', 'null']) expect((await send('POST', '/devices/pgdata/size', body)).status).to.equal(400);
    expect(await client.find('pgdata')).to.include({ sizeBytes: 4096 });
  });
});
