/** What the clients' side of a primary (frontend.ts) keeps of a request. A type alone: it must never do anything. */
import type { IoError } from '../ports.ts';
import type { Client } from './client.ts';
import type { Replication } from './replication.ts';

/** A client's request, or its part in one shard, from its beginning to its reply. `finish` is called once; null afterwards. */
export type Pending = {
  client: Client;
  /** Its shard; null: all of them. */
  replication: Replication | null;
  /** In the shard. */
  offsetBytes: number;
  lengthBytes: number;
  /** Whether it takes a place in the order of writes, which is bounded. */
  isOperation: boolean;
  run: () => void;
  finish: ((error: IoError | null, value?: unknown) => void) | null;
  /** Takes it off the operation that it waits for. */
  leave: (() => void) | null;
  startedAtMs: number;
};
