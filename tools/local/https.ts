/**
 * One HTTPS request with a client certificate to a process of the local cluster, as a probe makes it: the answer's status and body, or why there
 * was none. Never throws for what the other side does.
 */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import type { TlsFiles } from '../../edge/tls.ts';
import type { Awaited } from './wait.ts';

const TIMEOUT_MS = 2_000;
const SHOWN_CHARACTERS = 300;

/** A probe for `waitFor`: a value once the URL answers 200. */
export function answersOk(url: string, credentials: TlsFiles): Promise<Awaited<string>> {
  return new Promise((resolve) => {
    const call = request(
      url,
      {
        ca: readFileSync(credentials.ca),
        cert: readFileSync(credentials.cert),
        key: readFileSync(credentials.key),
        agent: false,
        timeout: TIMEOUT_MS,
      },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body = (body + chunk).slice(0, SHOWN_CHARACTERS);
        });
        response.on('error', (error) => resolve({ reason: `${url}: ${error.message}` }));
        response.on('end', () =>
          resolve(response.statusCode === 200 ? { value: body } : { reason: `${url} answers ${response.statusCode}: ${body.trim()}` }),
        );
      },
    );
    call.on('timeout', () => call.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    call.on('error', (error) => resolve({ reason: `${url}: ${error.message}` }));
    call.end();
  });
}
