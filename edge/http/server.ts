/**
 * The HTTPS server of a program: health, readiness, metrics, and room for more routes. Must never hold a request for ever, take a body without
 * a bound, or show what went wrong inside to one who asks from outside.
 */
import type { TLSSocket } from 'node:tls';
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Router } from 'express';
import type { Log } from '../../core/log.ts';
import type { HostPort } from '../../core/parameter-kinds.ts';
import { systemRandom } from '../../core/random.ts';
import { type Trace, traceFrom } from '../../core/trace.ts';
import type { Metrics } from '../metrics.ts';
import { tellOfItself } from '../ownMetrics.ts';
import { type Certificates, formatPeerName, peerName } from '../tls.ts';
import { type Check, checkRoute } from './checks.ts';
import { answerOf, bodyOf, HttpError } from './errors.ts';
import { type HttpServer, listenHttps } from './listen.ts';

export type { Check } from './checks.ts';
export { HttpError } from './errors.ts';
export type { HttpServer } from './listen.ts';

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

export const BODY_BYTES_MAX = 256 * 1024;

/** Resolves when it listens; rejects when it cannot. */
export function startHttpServer(options: HttpOptions, log: Log): Promise<HttpServer> {
  const { listen, certificates, metrics } = options;
  tellOfItself(metrics, certificates);
  // The kubelet comes without a certificate.
  return listenHttps({ listen, certificates, metrics, name: 'http', asksForCertificates: true }, createApp(options, log), log);
}

function createApp(options: HttpOptions, log: Log): Express {
  const app = bareApp();
  app.get('/healthz', checkRoute(options.healthChecks));
  app.get('/readyz', checkRoute(options.readyChecks));
  app.get('/metrics', metricsRoute(options.metrics));
  const router = express.Router();
  router.use(express.json({ limit: BODY_BYTES_MAX }));
  options.addRoutes?.(router);
  app.use(router);
  app.use(notFoundRoute);
  app.use(errorRoute(log));
  return app;
}

/** An app that tells nothing of itself, and gives every request its trace. */
export function bareApp(): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.use(traceRequests);
  return app;
}

/** The trace of a request, for its handlers. */
export const traceOf = (response: { locals: object }): Trace => (response.locals as { trace: Trace }).trace;

const traceRequests: RequestHandler = (request, response, next) => {
  response.locals.trace = traceFrom(request.get('traceparent'), systemRandom);
  next();
};

export const notFoundRoute: RequestHandler = (request) => {
  throw new HttpError(404, 'NotFound', `there is no ${request.method} ${request.path.slice(0, 200)}`);
};

/** For what only clients with a certificate of the cluster's authority may see. */
function demandCertificate(request: { socket: unknown }, what: string): void {
  if ((request.socket as TLSSocket).authorized) return;
  throw new HttpError(401, 'Unauthorized', `${what} only for clients that show a certificate of the authority of this cluster`);
}

/** For what only operators may see: an agent, or whoever scrapes, is known by its certificate and refused. */
export function demandOperator(request: { socket: unknown }, what: string): void {
  demandCertificate(request, what);
  const peer = peerName(request.socket as TLSSocket);
  if (peer?.role === 'operator') return;
  const found = peer === null ? 'nobody of ours' : formatPeerName(peer);
  throw new HttpError(403, 'Forbidden', `${what} only for operators, and the certificate is that of ${found}`);
}

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

export function errorRoute(log: Log): ErrorRequestHandler {
  return (error: unknown, request, response, _next) => {
    const answer = answerOf(error);
    const { traceId } = traceOf(response);
    if (answer.status === 500) log.error('request failed', { operation: `${request.method} ${request.path}`, traceId, error });
    if (response.headersSent) return request.socket.destroy();
    if (answer.retryAfterSeconds !== null) response.set('Retry-After', `${answer.retryAfterSeconds}`);
    return response.status(answer.status).json(bodyOf(answer, traceId));
  };
}
