/** One request and its answer, against a server that answers as badly as it is told to. */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { ask } from '../../../../edge/http/client.ts';

const BOUNDS = { answerMsMax: 5_000, answerBytesMax: 1_000 };

describe('asking over HTTP', () => {
  let server: Server;
  let answers: RequestListener;
  const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/path`;
  const failure = (bounds = BOUNDS) =>
    ask(url(), bounds).then(
      () => 'none',
      (error: Error) => error.message,
    );

  beforeEach(async () => {
    server = createServer((request, response) => answers(request, response)).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  it('gives status and text, whatever the status, and sends what it was given', async () => {
    answers = (request, response) => {
      request.setEncoding('utf8').on('data', (text: string) => {
        response.writeHead(409).end(`${request.method} ${request.url} ${request.headers['x-sent']} ${text}: ä`);
      });
    };
    const options = { method: 'PUT', headers: { 'x-sent': 'yes' } };
    expect(await ask(url(), { ...BOUNDS, options, body: 'wish' })).to.deep.equal({ status: 409, text: 'PUT /path yes wish: ä' });
  });

  it('takes an answer of as many bytes as it may have, and no longer one', async () => {
    answers = (_, response) => void response.end('x'.repeat(1_000));
    expect((await ask(url(), BOUNDS)).text).to.have.length(1_000);
    answers = (_, response) => void response.end('x'.repeat(1_001));
    expect(await failure()).to.equal('an answer of more than 1000 bytes');
  });

  it('rejects half an answer', async () => {
    answers = (_, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('half', () => response.destroy());
    };
    expect(await failure()).to.equal('aborted');
  });

  it('waits no longer than it may, for the first byte and for the last', async () => {
    answers = () => undefined;
    expect(await failure({ ...BOUNDS, answerMsMax: 50 })).to.include('aborted');
    answers = (_, response) => void response.write('some');
    expect(await failure({ ...BOUNDS, answerMsMax: 50 })).to.include('aborted');
  });

  it('rejects where nobody listens', async () => {
    const gone = url();
    server.close();
    await once(server, 'close');
    expect(await ask(gone, BOUNDS).catch((error: Error) => error.message)).to.include('ECONNREFUSED');
  });
});
