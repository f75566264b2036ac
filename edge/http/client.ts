/**
 * One HTTP request, and its answer as text, with a bound on how long it may take and how long it may be. Of Node alone: who asks seldom pays for no library's models.
 * Must never judge a status, nor ask twice.
 */
import { type RequestOptions, request as requestPlain } from 'node:http';
import { request as requestTls, type RequestOptions as TlsRequestOptions } from 'node:https';

export type Asked = {
  /** The TLS material, headers, a socket's path: what else Node's own call takes. */
  readonly options?: RequestOptions | TlsRequestOptions;
  readonly body?: string;
  readonly answerMsMax: number;
  readonly answerBytesMax: number;
};
export type Answer = { readonly status: number; readonly text: string };

/** Rejects where there was no whole answer within the bounds. A connection of its own, unless `options.agent` says otherwise. */
export function ask(url: string | URL, { options = {}, body = '', answerMsMax, answerBytesMax }: Asked): Promise<Answer> {
  const request = new URL(url).protocol === 'https:' ? requestTls : requestPlain;
  return new Promise((resolve, reject) => {
    const call = request(url, { agent: false, ...options, signal: AbortSignal.timeout(answerMsMax) }, (response) => {
      const chunks: Buffer[] = [];
      let lengthBytes = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        lengthBytes += chunk.length;
        // Of the response and not of the call: else the error is only that the connection was cut.
        if (lengthBytes > answerBytesMax) response.destroy(new Error(`an answer of more than ${answerBytesMax} bytes`));
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    });
    call.on('error', reject);
    call.end(body);
  });
}
