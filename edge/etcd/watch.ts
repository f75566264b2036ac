/** One watch of a prefix on one connection, from its creation to its end; it never reconnects and never hides that it ended. */
import type { IDuplexStream, IWatchRequest, IWatchResponse } from 'etcd3';
import { messageOf } from '../../core/errors.ts';
import type { Connection } from './endpoints.ts';
import { endOf } from './store.ts';

export type WatchEvent = { readonly key: string; readonly value: string | null; readonly revision: string };

export type WatchHandlers = {
  onCreated(): void;
  onEvents(events: readonly WatchEvent[]): void;
  /** Everything up to this revision has been told. */
  onProgress(revision: string): void;
  /** Once, also when it could not be created; nothing follows it. */
  onEnd(reason: string): void;
};

export type Watch = { askProgress(): void; close(): void };

export function openWatch(connection: Connection, prefix: string, fromRevision: bigint, handlers: WatchHandlers): Watch {
  let stream: IDuplexStream<IWatchRequest, IWatchResponse> | null = null;
  let isEnded = false;
  const shut = () => {
    isEnded = true;
    // Ended before it is cancelled: else the library takes the cancellation for a broken member and closes all connections to it.
    stream?.end();
    stream?.cancel();
  };
  const end = (reason: string) => {
    if (isEnded) return;
    shut();
    handlers.onEnd(reason);
  };
  const request = { key: Buffer.from(prefix), range_end: endOf(prefix), start_revision: fromRevision.toString() };
  connection.client.watchClient.watch().then(
    (opened) => {
      stream = opened;
      opened.on('error', (error) => end(messageOf(error)));
      opened.on('end', () => end('the stream ended'));
      if (isEnded) return shut();
      opened.on('data', (response) => {
        if (!isEnded) handle(response, handlers, end);
      });
      opened.write({ create_request: request });
    },
    (error: unknown) => end(messageOf(error)),
  );
  return { askProgress: () => (isEnded ? undefined : stream?.write({ progress_request: {} })), close: shut };
}

function handle(response: IWatchResponse, handlers: WatchHandlers, end: (reason: string) => void): void {
  if (response.canceled) return end(response.cancel_reason || `compacted up to ${response.compact_revision}`);
  if (response.created) return handlers.onCreated();
  // Only an empty response speaks for everything before its revision: one with events may be a part of what is still to come.
  if (response.events.length === 0) return handlers.onProgress(response.header.revision);
  handlers.onEvents(response.events.map(toEvent));
}

function toEvent({ type, kv }: IWatchResponse['events'][number]): WatchEvent {
  // In capitals on the wire, whatever the library's types say.
  const isDelete = type.toUpperCase() === 'DELETE';
  return { key: kv.key.toString(), value: isDelete ? null : kv.value.toString(), revision: kv.mod_revision };
}
