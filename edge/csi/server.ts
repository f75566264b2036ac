/**
 * The gRPC server of a CSI driver on a unix socket: what is asked comes to a handler as typed values, what fails leaves as a code. Must never decide anything,
 * answer a call twice, or let one run for ever.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { systemClock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import { systemRandom } from '../../core/random.ts';
import { type Trace, traceFrom } from '../../core/trace.ts';
import type { Metrics } from '../metrics.ts';
import { answerOf, CODES, type CsiCode, CsiError } from './codes.ts';
import type { ControllerService, IdentityService, NodeService } from './generated/csi.ts';
import { csiServices, SERVICES, type ServiceName } from './proto.ts';

/** What a handler knows of its call beyond the request. */
export type CsiCall = {
  readonly trace: Trace;
  readonly log: Log;
  /** Aborted when nobody waits for the answer any more: the caller went, its time is over, or the server closes. */
  readonly signal: AbortSignal;
};

/** What is left out is answered with Unimplemented. */
export type CsiHandlers = {
  Identity: Partial<IdentityService<CsiCall>>;
  Controller?: Partial<ControllerService<CsiCall>>;
  Node?: Partial<NodeService<CsiCall>>;
};

export type CsiServerOptions = { socket: string; handlers: CsiHandlers; metrics: Metrics; log: Log };
export type CsiServer = { close(): Promise<void> };

/** Sidecars wait 10 to 60 s and ask again: what has not ended by then is answered for. */
const CALL_MS_MAX = 60_000;
const CLOSE_MS_MAX = 2_000;
/** The longest path of a unix socket, without the closing zero. */
const SOCKET_PATH_BYTES_MAX = 107;
const REQUEST_BYTES_MAX = 4 * 1024 * 1024;
const DURATION_BUCKETS_SECONDS = [0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60];

type AnyHandler = (request: unknown, call: CsiCall) => Promise<unknown>;
type Ended = (method: string, code: CsiCode | 'OK', durationMs: number) => void;

/** Resolves when it listens; rejects when it cannot. A socket that a dead process left is taken over. */
export async function startCsiServer({ socket, handlers, metrics, log }: CsiServerOptions): Promise<CsiServer> {
  if (Buffer.byteLength(socket) > SOCKET_PATH_BYTES_MAX)
    throw new Error(`the path of the CSI socket may have at most ${SOCKET_PATH_BYTES_MAX} bytes: ${socket}`);
  const calls = metrics.histogram('csi_call_seconds', 'CSI calls, by method and gRPC code', DURATION_BUCKETS_SECONDS, ['method', 'code']);
  const closing = new AbortController();
  const server = new Server({ 'grpc.max_receive_message_length': REQUEST_BYTES_MAX });
  const definitions = csiServices();
  const onEnded: Ended = (method, code, durationMs) => calls.observe({ method, code }, durationMs / 1_000);
  for (const name of SERVICES) {
    const given = handlers[name];
    if (given !== undefined)
      server.addService(definitions[name], implementation(name, definitions[name], given, { log, closing, onEnded }));
  }
  mkdirSync(dirname(socket), { recursive: true });
  rmSync(socket, { force: true });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve())),
  );
  // Who may connect may have any volume: only the sidecars and the kubelet, which are root.
  chmodSync(socket, 0o600);
  return { close: () => close(server, closing, socket) };
}

type Surroundings = { log: Log; closing: AbortController; onEnded: Ended };

function implementation(
  name: ServiceName,
  definition: ServiceDefinition,
  handlers: object,
  around: Surroundings,
): UntypedServiceImplementation {
  const methods = Object.entries(definition).map(([method, { originalName }]) => {
    const handler = (handlers as Record<string, AnyHandler | undefined>)[originalName ?? method];
    const answered = handler ?? (() => Promise.reject(new CsiError('Unimplemented', `this driver does not do ${method}`)));
    return [method, unary(`${name}/${method}`, answered, around)];
  });
  return Object.fromEntries(methods) as UntypedServiceImplementation;
}

function unary(method: string, handler: AnyHandler, { log, closing, onEnded }: Surroundings) {
  return (call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>): void => {
    const begunMs = systemClock.monotonicMs();
    const trace = traceFrom(call.metadata.get('traceparent')[0]?.toString(), systemRandom);
    const own = log.child({ operation: method, traceId: trace.traceId });
    const gone = new AbortController();
    call.on('cancelled', () => gone.abort(new CsiError('Cancelled', 'the caller went away')));
    const late = AbortSignal.any([gone.signal, AbortSignal.timeout(CALL_MS_MAX)]);
    const signal = AbortSignal.any([late, closing.signal]);
    const ended = (code: CsiCode | 'OK') => {
      const durationMs = systemClock.monotonicMs() - begunMs;
      onEnded(method, code, durationMs);
      return durationMs;
    };
    // A handler that does not look at its signal is answered for; what it is at goes on to its own end.
    Promise.race([handler(call.request, { trace, log: own, signal }), aborted(late)]).then(
      (response) => {
        own.debug('CSI call answered', { durationMs: ended('OK') });
        answer(null, response);
      },
      (error: unknown) => {
        const { code, message } = answerOf(signal.aborted && error === signal.reason ? overdue(error) : error);
        const fields = { code, reason: message, durationMs: ended(code) };
        if (code === 'Internal') own.error('CSI call failed', { ...fields, error });
        else own.info('CSI call refused', fields);
        answer({ code: CODES[code], details: `${message}${code === 'Internal' ? ` (trace ${trace.traceId})` : ''}` });
      },
    );
  };
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));

/** What AbortSignal.timeout is aborted with says nothing to people. */
const overdue = (error: unknown): unknown =>
  error instanceof CsiError ? error : new CsiError('DeadlineExceeded', `not done within ${CALL_MS_MAX / 1_000} s; ask again`);

async function close(server: Server, closing: AbortController, socket: string): Promise<void> {
  closing.abort(new CsiError('Unavailable', 'the driver is stopping; ask again'));
  let bound: NodeJS.Timeout | undefined;
  await Promise.race([
    new Promise<void>((resolve) => server.tryShutdown(() => resolve())),
    new Promise<void>((resolve) => {
      bound = setTimeout(resolve, CLOSE_MS_MAX);
    }),
  ]);
  clearTimeout(bound);
  server.forceShutdown();
  rmSync(socket, { force: true });
}
