/** The HTTPS server of a program: health, readiness, metrics, and room for more routes. */
import type { Router } from 'express';
import type { Registry } from 'prom-client';
import type { Log } from '../../core/log.ts';
import type { HostPort } from '../../core/parameter-kinds.ts';
import type { Certificates } from '../tls.ts';

export type Check = {
  name: string;
  /** Null when all is well, else a sentence that says what is not. */
  run(): string | null | Promise<string | null>;
};

export type HttpOptions = {
  listen: HostPort;
  certificates: Certificates;
  registry: Registry;
  /** Alive: a failing one means that only a restart helps. */
  healthChecks: readonly Check[];
  /** Ready: a failing one means that others shall be asked instead. */
  readyChecks: readonly Check[];
  /** More routes, before the 404. */
  addRoutes?: (router: Router) => void;
};

export type HttpServer = { readonly address: HostPort; close(): Promise<void> };

export async function startHttpServer(_options: HttpOptions, _log: Log): Promise<HttpServer> {
  throw new Error('not written yet');
}
