/**
 * An HTTPS listener with a bound on everything: handshakes, headers, how long a request may take to arrive, connections, closing. Takes up renewed
 * certificates. Must never know a route.
 */
import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Log } from '../../core/log.ts';
import type { HostPort } from '../../core/parameter-kinds.ts';
import type { Metrics } from '../metrics.ts';
import { refusalOf } from '../refusal.ts';
import type { Certificates } from '../tls.ts';

export type ListenOptions = {
  listen: HostPort;
  certificates: Certificates;
  metrics: Metrics;
  /** What the metric of refused handshakes begins with: `http`. Of several listeners of one program each has its own. */
  name: string;
  /** Clients are asked for a certificate; they may come without one. Where one is needed, the route asks for it. */
  asksForCertificates: boolean;
};

export type HttpServer = { readonly address: HostPort; close(): Promise<void> };

const HEADER_BYTES_MAX = 16 * 1024;
const HANDSHAKE_MS_MAX = 5_000;
const HEADERS_MS_MAX = 10_000;
const REQUEST_MS_MAX = 30_000;
const KEEP_ALIVE_MS = 60_000;
const CONNECTIONS_MAX = 256;
/** Requests under way get so long to end when the server closes. */
const CLOSE_MS_MAX = 2_000;

/** Resolves when it listens; rejects when it cannot. */
export async function listenHttps(options: ListenOptions, onRequest: RequestListener, log: Log): Promise<HttpServer> {
  const { certificates, listen } = options;
  const tls = {
    minVersion: 'TLSv1.2',
    requestCert: options.asksForCertificates,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_MS_MAX,
  } as const;
  const limits = {
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: HEADERS_MS_MAX,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
  };
  const server = createServer({ ...tls, ...limits, ...certificates.material }, onRequest);
  server.maxConnections = CONNECTIONS_MAX;
  const refused = options.metrics.counter(`${options.name}_handshakes_refused_total`, 'TLS handshakes that failed, by reason', ['reason']);
  server.on('tlsClientError', (error, socket) => {
    refused.inc({ reason: refusalOf(error, socket) });
    log.debug('handshake failed', { remoteAddress: socket.remoteAddress, error });
  });
  const stopRenewing = certificates.onRenewed(() => server.setSecureContext({ minVersion: 'TLSv1.2', ...certificates.material }));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: { host: listen.host, port },
    close() {
      stopRenewing();
      return closeServer(server);
    },
  };
}

async function closeServer(server: Server): Promise<void> {
  const bound = setTimeout(() => server.closeAllConnections(), CLOSE_MS_MAX);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearTimeout(bound);
}
