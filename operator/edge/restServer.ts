/**
 * The REST API over HTTPS: Express made from the table of routes. Each request has a bound in time, ends when its client goes, is counted and, when it changes
 * something, logged with who asked and under which trace. Must never log a token or a body.
 */
import type { ServerResponse } from 'node:http';
import express, { type Express, type RequestHandler } from 'express';
import { systemClock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { HostPort } from '../../core/parameter-kinds.ts';
import { formatTraceparent } from '../../core/trace.ts';
import { answerOf, HttpError } from '../../edge/http/errors.ts';
import { type HttpServer, listenHttps } from '../../edge/http/listen.ts';
import { BODY_BYTES_MAX, bareApp, errorRoute, notFoundRoute, traceOf } from '../../edge/http/server.ts';
import type { Metrics } from '../../edge/metrics.ts';
import type { Certificates } from '../../edge/tls.ts';
import type { ApiAnswer } from '../api/ports.ts';
import { type OperationName, ROUTES, type Route, TIMEOUT_SECONDS_MAX } from '../api/routes.ts';
import type { Server } from '../api/serve.ts';

export type RestOptions = { listen: HostPort; certificates: Certificates; metrics: Metrics };

/** Longer than each call to etcd and to the API server that a request may need one after the other; a long poll has its own on top. */
const REQUEST_MS_MAX = 25_000;
const BODY_TYPES = ['application/json', 'application/merge-patch+json'];
const SECONDS_BUCKETS = [0.005, 0.02, 0.1, 0.5, 2, 10, 60];

type RestMetrics = ReturnType<typeof restMetrics>;

function restMetrics(metrics: Metrics, server: Server) {
  const polls = metrics.gauge('api_long_polls_count', 'Requests of the REST API that wait for something to happen');
  const requests = metrics.counter('api_requests_total', 'Requests of the REST API by operation and status', ['operation', 'status']);
  const seconds = metrics.histogram('api_request_duration_seconds', 'Requests of the REST API but for long polls', SECONDS_BUCKETS, [
    'operation',
  ]);
  const refused = metrics.counter(
    'api_refused_total',
    'Requests of the REST API without a valid token, without the right, or beyond what is taken',
    ['reason'],
  );
  return {
    began: () => polls.set(server.underWay.longPolls),
    ended(operation: string, status: number, durationMs: number, isLong: boolean): void {
      polls.set(server.underWay.longPolls);
      requests.inc({ operation, status: String(status) });
      if (!isLong) seconds.observe({ operation }, durationMs / 1_000);
      const reason = REFUSALS[status];
      if (reason !== undefined) refused.inc({ reason });
    },
  };
}

const REFUSALS: Readonly<Record<number, string>> = { 401: 'unauthorized', 403: 'forbidden', 429: 'busy' };

export function startRestServer(options: RestOptions, server: Server, log: Log): Promise<HttpServer> {
  const app = createRestApp(server, options.metrics, log);
  return listenHttps({ ...options, name: 'api', asksForCertificates: false }, app, log);
}

/** For the listener, and for the test that holds the document against its routes. */
export function createRestApp(server: Server, metrics: Metrics, log: Log): Express {
  const app = bareApp();
  const numbers = restMetrics(metrics, server);
  app.use(express.json({ limit: BODY_BYTES_MAX, type: BODY_TYPES, strict: true }));
  for (const [name, route] of Object.entries<Route>(ROUTES)) {
    app[route.method](expressPath(route.path), handlerOf(name as OperationName, route, server, numbers, log));
  }
  for (const path of new Set(Object.values<Route>(ROUTES).map((route) => route.path))) app.all(expressPath(path), methodNotAllowed(path));
  app.use(notFoundRoute);
  app.use(errorRoute(log));
  return app;
}

export const expressPath = (path: string): string => path.replace(/\{(\w+)\}/g, ':$1');

const methodNotAllowed = (path: string): RequestHandler => {
  const methods = Object.values<Route>(ROUTES).flatMap((route) => (route.path === path ? [route.method.toUpperCase()] : []));
  return (request, response) => {
    response.set('Allow', methods.join(', '));
    throw new HttpError(405, 'MethodNotAllowed', `${path} takes ${methods.join(', ')}, not ${request.method}`);
  };
};

function handlerOf(name: OperationName, route: Route, server: Server, numbers: RestMetrics, log: Log): RequestHandler {
  return async (request, response) => {
    const startedMs = systemClock.monotonicMs();
    const trace = traceOf(response);
    const isLong = route.isLong === 'always' || request.query.watch === 'true';
    let user = '';
    let status = 500;
    response.set('traceparent', formatTraceparent(trace)).set('Cache-Control', 'no-store');
    try {
      const arrived = {
        authorization: request.get('authorization'),
        ifMatch: request.get('if-match'),
        path: request.params,
        query: request.query,
        body: request.body as unknown,
        trace,
        signal: signalOf(response, REQUEST_MS_MAX + (isLong ? TIMEOUT_SECONDS_MAX * 1_000 : 0)),
      };
      const answer = await server.serve(name, route, arrived, (known) => {
        user = known;
        numbers.began();
      });
      status = answer.status;
      send(response, answer);
    } catch (error) {
      status = answerOf(error).status;
      throw error;
    } finally {
      const durationMs = Math.round(systemClock.monotonicMs() - startedMs);
      numbers.ended(name, status, durationMs, isLong);
      const fields = { operation: name, object: request.params.name, user, status, traceId: trace.traceId, durationMs };
      if (route.method === 'get') log.debug('request served', fields);
      else log.info('request served', fields);
    }
  };
}

function send(response: Parameters<RequestHandler>[1], { status, body, version }: ApiAnswer): void {
  if (version !== undefined) response.set('ETag', `"${version}"`);
  response.status(status);
  if (body === undefined) response.end();
  else response.json(body);
}

/** Nobody waits any more, or for too long. Asked of the response: a connection serves many requests, and would gather a listener of each. */
function signalOf(response: ServerResponse, boundMs: number): AbortSignal {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  return AbortSignal.any([gone.signal, AbortSignal.timeout(boundMs)]);
}
