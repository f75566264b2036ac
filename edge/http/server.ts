/**
 * The HTTPS server of a program: health, readiness, metrics, and room for more routes. Must never hold a request for ever, take a body without
 * a bound, or show what went wrong inside to one who asks from outside.
 */
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Router } from 'express';
import type { Log } from '../../core/log.ts';
import type { HostPort } from '../../core/parameter-kinds.ts';
import { systemRandom } from '../../core/random.ts';
import { type Trace, traceFrom } from '../../core/trace.ts';
import type { Metrics } from '../metrics.ts';
import { refusalOf } from '../refusal.ts';
import type { Certificates } from '../tls.ts';
import { type Check, checkRoute } from './checks.ts';
import { answerOf, HttpError } from './errors.ts';

export type { Check } from './checks.ts';
export { HttpError } from './errors.ts';

export type HttpOptions = {
  listen: HostPort;
  certificates: Certificates;
  metrics: Metrics;
  /** Alive: a failing one means that only a restart helps. */
  healthChecks: readonly Check[];
  /** Ready: a failing one means that others shall be asked instead. */
  readyChecks: readonly Check[];
  /** More routes, before the 404. A handler may throw HttpError or OperatingError. */
  addRoutes?: (router: Router) => void;
};

export type HttpServer = { readonly address: HostPort; close(): Promise<void> };

const BODY_BYTES_MAX = 256 * 1024;
const HEADER_BYTES_MAX = 16 * 1024;
const HANDSHAKE_MS_MAX = 5_000;
const HEADERS_MS_MAX = 10_000;
const REQUEST_MS_MAX = 30_000;
const KEEP_ALIVE_MS = 60_000;
const CONNECTIONS_MAX = 256;
/** Requests under way get so long to end when the server closes. */
const CLOSE_MS_MAX = 2_000;

/** Resolves when it listens; rejects when it cannot. */
export async function startHttpServer(options: HttpOptions, log: Log): Promise<HttpServer> {
  const { certificates, listen } = options;
  // A client may come without a certificate (the kubelet does); where one is needed, the route asks for it.
  const tls = { minVersion: 'TLSv1.2', requestCert: true, rejectUnauthorized: false, handshakeTimeout: HANDSHAKE_MS_MAX } as const;
  const limits = {
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: HEADERS_MS_MAX,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
  };
  const server = createServer({ ...tls, ...limits, ...certificates.material }, createApp(options, log));
  server.maxConnections = CONNECTIONS_MAX;
  const refused = options.metrics.counter('http_handshakes_refused_total', 'TLS handshakes with the HTTP server that failed, by reason', [
    'reason',
  ]);
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

function createApp(options: HttpOptions, log: Log): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.use(traceRequests);
  app.get('/healthz', checkRoute(options.healthChecks));
  app.get('/readyz', checkRoute(options.readyChecks));
  app.get('/metrics', metricsRoute(options.metrics));
  const router = express.Router();
  router.use(express.json({ limit: BODY_BYTES_MAX }));
  options.addRoutes?.(router);
  app.use(router);
  app.use((request) => {
    throw new HttpError(404, 'NotFound', `there is no ${request.method} ${request.path.slice(0, 200)}`);
  });
  app.use(errorRoute(log));
  return app;
}

/** The trace of a request, for its handlers. */
export const traceOf = (response: { locals: object }): Trace => (response.locals as { trace: Trace }).trace;

const traceRequests: RequestHandler = (request, response, next) => {
  response.locals.trace = traceFrom(request.get('traceparent'), systemRandom);
  next();
};

function metricsRoute({ registry, render, counter }: Metrics): RequestHandler {
  const refused = counter('http_refused_total', 'HTTP requests without the certificate that they need', ['route']);
  return async (request, response) => {
    if (!(request.socket as TLSSocket).authorized) {
      refused.inc({ route: '/metrics' });
      throw new HttpError(401, 'Unauthorized', 'metrics are only for clients that show a certificate of the authority of this cluster');
    }
    response.type(registry.contentType).send(await render());
  };
}

function errorRoute(log: Log): ErrorRequestHandler {
  return (error: unknown, request, response, _next) => {
    const { status, retryAfterSeconds, code, message } = answerOf(error);
    const { traceId } = traceOf(response);
    if (status === 500) log.error('request failed', { operation: `${request.method} ${request.path}`, traceId, error });
    if (response.headersSent) return request.socket.destroy();
    if (retryAfterSeconds !== null) response.set('Retry-After', `${retryAfterSeconds}`);
    return response.status(status).json({ error: code, message, traceId });
  };
}
