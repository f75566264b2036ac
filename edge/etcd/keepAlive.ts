/**
 * The stream on which a lease is kept alive: one for as long as each question is answered, for opening another costs ten times what a question does. Must never
 * use a stream again on which an answer did not come in time: the one that comes late would be taken for that of the next question.
 */
import type { IDuplexStream, ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from 'etcd3';
import type { Connection } from './endpoints.ts';

type Stream = IDuplexStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>;
type Asked = { resolve: (ttlSeconds: number) => void; reject: (error: Error) => void };
type Open = { readonly connection: Connection; stream: Stream | null; asked: Asked | null };

export class KeepAliveStream {
  #open: Open | null = null;

  /** Seconds that the lease has now, 0 when it is gone. One question at a time. */
  ask(connection: Connection, id: string, timeoutMs: number): Promise<number> {
    if (this.#open?.connection !== connection) this.close();
    const open = this.#open ?? this.#begin(connection);
    return new Promise<number>((resolve, reject) => {
      const patience = setTimeout(() => this.#end(open, new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      const answered = (): void => {
        clearTimeout(patience);
        open.asked = null;
      };
      open.asked = {
        resolve: (ttlSeconds) => {
          answered();
          resolve(ttlSeconds);
        },
        reject: (error) => {
          answered();
          reject(error);
        },
      };
      void this.#write(open, id);
    });
  }

  close(): void {
    if (this.#open !== null) this.#end(this.#open, new Error('the stream was closed'));
  }

  #begin(connection: Connection): Open {
    const open: Open = { connection, stream: null, asked: null };
    this.#open = open;
    return open;
  }

  async #write(open: Open, id: string): Promise<void> {
    try {
      open.stream ??= this.#listen(open, await open.connection.client.leaseClient.leaseKeepAlive());
      if (this.#open === open) open.stream.write({ ID: id });
      else shut(open.stream);
    } catch (error) {
      this.#end(open, error as Error);
    }
  }

  #listen(open: Open, stream: Stream): Stream {
    stream.on('data', (answer) => open.asked?.resolve(Number(answer.TTL)));
    stream.on('error', (error) => this.#end(open, error));
    stream.on('end', () => this.#end(open, new Error('the stream ended without an answer')));
    return stream;
  }

  #end(open: Open, reason: Error): void {
    if (this.#open === open) this.#open = null;
    if (open.stream !== null) shut(open.stream);
    open.asked?.reject(reason);
  }
}

/** Ended before it is cancelled: else the library takes the cancellation for a broken member and closes all connections to it. */
function shut(stream: Stream): void {
  stream.end();
  stream.cancel();
}
