/** The HTTPS server, asked by real clients with and without certificates. */
import { copyFile, readFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { connect as connectPlain } from 'node:net';
import { connect } from 'node:tls';
import { expect } from 'chai';
import { OperatingError } from '../../../core/errors.ts';
import { silentLog } from '../../../core/log.ts';
import { HttpError, type HttpServer, startHttpServer, traceOf } from '../../../edge/http/server.ts';
import { createMetrics, type Metrics } from '../../../edge/metrics.ts';
import { type Certificates, loadCertificates, type TlsFiles } from '../../../edge/tls.ts';
import { createAuthority, type TestAuthority } from '../../support/certificates.ts';
import { until } from '../../support/until.ts';

type Answer = { status: number; headers: IncomingHttpHeaders; body: string };

describe('the HTTPS server', function () {
  this.timeout(20_000);
  let ours: TestAuthority;
  let theirs: TestAuthority;
  let certificates: Certificates;
  let files: TlsFiles;
  let metrics: Metrics;
  let server: HttpServer;
  let reason: string | null;
  before(async () => {
    [ours, theirs] = await Promise.all([createAuthority(), createAuthority('somebody-else')]);
  });
  after(async () => {
    await Promise.all([ours.remove(), theirs.remove()]);
  });
  beforeEach(async () => {
    reason = null;
    metrics = createMetrics({ processMetrics: false });
    files = await ours.issue('operator:operator-0');
    certificates = await loadCertificates(files, silentLog, { lookEveryMs: 20 });
    server = await startHttpServer(
      {
        listen: { host: '127.0.0.1', port: 0 },
        certificates,
        metrics,
        healthChecks: [],
        readyChecks: [
          { name: 'etcd', run: () => reason },
          { name: 'other', run: () => null },
        ],
        addRoutes: (router) => {
          router.get('/trace', (_request, response) => void response.json(traceOf(response)));
          router.post('/echo', (incoming, response) => void response.json(incoming.body));
          router.get('/forbidden', () => {
            throw new HttpError(403, 'Forbidden', 'you may not');
          });
          router.get('/unavailable', () => Promise.reject(new OperatingError('Unavailable', 'list volumes', 'etcd gives no answer')));
          router.get('/broken', () => {
            throw new Error('a secret of the inside');
          });
        },
      },
      silentLog,
    );
  });
  afterEach(async () => {
    await server.close();
    certificates.close();
  });

  const ask = async (
    path: string,
    options: { client?: TlsFiles; headers?: Record<string, string>; body?: string } = {},
  ): Promise<Answer> => {
    const { client, headers, body } = options;
    const identity = client === undefined ? {} : { cert: await readFile(client.cert), key: await readFile(client.key) };
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          host: '127.0.0.1',
          port: server.address.port,
          path,
          method: body === undefined ? 'GET' : 'POST',
          ca: certificates.material.ca,
          agent: false,
          headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
          ...identity,
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  };

  it('tells health and readiness to anybody, as text and as JSON', async () => {
    expect(await ask('/healthz')).to.include({ status: 200, body: 'ok\n' });
    expect(await ask('/readyz')).to.include({ status: 200, body: 'ok\n' });
    reason = 'etcd has given no answer for 7 s';
    expect(await ask('/readyz')).to.include({ status: 503, body: 'etcd: etcd has given no answer for 7 s\n' });
    const json = await ask('/readyz', { headers: { accept: 'application/json' } });
    expect(json.status).to.equal(503);
    expect(JSON.parse(json.body)).to.deep.equal({
      ok: false,
      checks: [
        { name: 'etcd', ok: false, reason },
        { name: 'other', ok: true, reason: null },
      ],
    });
  });

  it('shows metrics only to a client with a certificate of our authority, and counts the others', async () => {
    const anonymous = await ask('/metrics');
    expect(anonymous.status).to.equal(401);
    expect(JSON.parse(anonymous.body).error).to.include({ code: 'Unauthorized' });
    expect((await ask('/metrics', { client: await theirs.issue('operator:operator-0') })).status).to.equal(401);
    const known = await ask('/metrics', { client: await ours.issue('prometheus') });
    expect(known.status).to.equal(200);
    expect(known.headers['content-type']).to.contain('text/plain; version=0.0.4');
    expect(known.body).to.contain('holdfast_http_refused_total{route="/metrics"} 2');
  });

  it('answers what it does not know, cannot or will not do in JSON, with the trace', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const unknown = await ask('/nothing?x=1', { headers: { traceparent } });
    expect(unknown.status).to.equal(404);
    expect(JSON.parse(unknown.body)).to.deep.equal({
      error: { code: 'NotFound', message: 'there is no GET /nothing', traceId: '4bf92f3577b34da6a3ce929d0e0e4736' },
    });
    expect((await ask('/forbidden')).status).to.equal(403);
    const unavailable = await ask('/unavailable');
    expect(unavailable.status).to.equal(503);
    expect(unavailable.headers['retry-after']).to.equal('5');
    expect(JSON.parse(unavailable.body).error).to.include({ code: 'Unavailable', message: 'list volumes: etcd gives no answer' });
    const broken = await ask('/broken');
    expect(broken.status).to.equal(500);
    expect(broken.body).to.not.contain('secret');
    expect(JSON.parse((await ask('/trace', { headers: { traceparent } })).body)).to.include({
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    });
  });

  it('takes bodies up to a bound, and only whole ones', async () => {
    expect((await ask('/echo', { body: '{"a":1}' })).body).to.equal('{"a":1}');
    expect((await ask('/echo', { body: '{"a":' })).status).to.equal(400);
    expect((await ask('/echo', { body: JSON.stringify('x'.repeat(300_000)) })).status).to.equal(413);
    expect((await ask('/trace', { headers: { long: 'x'.repeat(20_000) } })).status).to.equal(431);
  });

  it('counts handshakes that fail', async () => {
    const socket = connectPlain(server.address.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.end('GET / HTTP/1.0\r\n\r\n');
    await until('counted', async () =>
      (await metrics.registry.metrics()).includes('http_handshakes_refused_total{reason="oldProtocol"} 1'),
    );
  });

  it('shows a renewed certificate to new connections', async () => {
    const serialOf = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port: server.address.port, ca: certificates.material.ca }, () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        });
        socket.on('error', reject);
      });
    const old = await serialOf();
    const renewed = await ours.issue('operator:operator-0');
    await copyFile(renewed.key, files.key);
    await copyFile(renewed.cert, files.cert);
    await until('another is shown', async () => (await serialOf()) !== old);
    expect((await ask('/healthz')).status).to.equal(200);
  });

  it('closes although a client holds its connection', async () => {
    const { ca } = certificates.material;
    const socket = connect({ host: '127.0.0.1', port: server.address.port, ca });
    socket.on('error', () => undefined);
    await until('connected', () => socket.authorized);
    socket.write('GET /healthz HTTP/1.1\r\n');
    const startMs = performance.now();
    await server.close();
    expect(performance.now() - startMs).to.be.below(3_000);
    socket.destroy();
  });
});
