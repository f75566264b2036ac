/** What the operator needs of the world outside, as narrow interfaces. `edge/` holds the real ones. */
import type { KubeObject, Resource } from './api.ts';

/** Waiting as a port. */
export interface Timers {
  /** Resolves after `forMs`, or at once when `signal` is aborted; never rejects. */
  sleep(forMs: number, signal?: AbortSignal): Promise<void>;
}

/** The API server refused for a reason that trying again does not mend (forbidden, invalid). */
export class KubeRefusal extends Error {
  override readonly name = 'KubeRefusal';
  readonly statusCode: number;
  /** What was attempted, in words. */
  readonly attempted: string;
  constructor(statusCode: number, attempted: string, message: string) {
    super(`${attempted}: ${statusCode} ${message}`);
    this.statusCode = statusCode;
    this.attempted = attempted;
  }
}

export type Page<Object extends KubeObject> = { items: Object[]; next: string };
export type WatchEvent = { type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; object: KubeObject };

/**
 * The API server. Methods reject with OperatingError: Unavailable (no answer in time, or it says that it is overloaded: the outcome is unknown), Conflict
 * (the object changed since it was read, or exists already); or with KubeRefusal. Absence is a result, not an error.
 */
export interface KubeApi {
  get<Object extends KubeObject>(path: string, deadlineMs?: number): Promise<Object | null>;
  list<Object extends KubeObject>(path: string): Promise<{ items: Object[]; resourceVersion: string }>;
  create<Object extends KubeObject>(path: string, body: Object, deadlineMs?: number): Promise<Object>;
  /** Compares the body's resourceVersion. Null: it is not there (any more). */
  replace<Object extends KubeObject>(path: string, body: Object, deadlineMs?: number): Promise<Object | null>;
  /**
   * Asks for the deletion of the object of this very uid; absence is no error. `graceSeconds` is for pods, left out their own; 0: it is gone at once, whatever
   * still runs.
   */
  remove(path: string, uid: string, graceSeconds?: number): Promise<void>;
  /** At most `limit` of them (0: as many as the API server likes); `next` empty at the end. A token it does not know (any more) rejects with KubeRefusal 400 or Gone. */
  page<Object extends KubeObject>(path: string, limit: number, token: string, selector?: string): Promise<Page<Object>>;
  /** Resolves when the server ends it; rejects with Gone when `resourceVersion` is too old to go on from. */
  watch(path: string, resourceVersion: string, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void>;
}

/** The API server no longer knows the version to go on from: list again. */
export class Gone extends Error {
  override readonly name = 'Gone';
}

/** All objects of one kind, kept current by list and watch. Level-based like core's View: `onChange` only says that something may be different. */
export interface KubeView<Object extends KubeObject> {
  readonly resource: Resource;
  readonly objects: ReadonlyMap<string, Object>;
  /** False until the first listing, and while it may be behind. */
  readonly isCurrent: boolean;
  /** Rises with every change of `objects`; left out: nobody counts. */
  readonly changeCount?: number;
  /** What a write of ours returned: seen at once, without waiting for the watch. Older than what is here, it changes nothing. */
  accept(object: Object): void;
  close(): void;
}
