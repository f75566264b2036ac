/**
 * One kind kept current: listed, then watched from there; listed again when the watch ends or breaks.
 *
 *   listing --ok--> watching --server ends it--> listing (still current)
 *      ^               |
 *      +---pause-------+ broken (not current until listed again)
 *
 * Must never show an object older than one it has shown.
 */

import { messageOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Random } from '../../core/random.ts';
import { collectionPath, type KubeObject, type ObjectMeta, type Resource } from '../api.ts';
import type { KubeApi, KubeView, Timers, WatchEvent } from '../ports.ts';

const PAUSE_FIRST_MS = 200;
const PAUSE_MAX_MS = 5_000;
const DOUBLINGS_MAX = 10;

export type KubeViewPorts = { api: KubeApi; timers: Timers; random: Random; log: Log };

/** Decimal in every API server there is; what is not is taken as new. */
const isOlder = (version: string, than: string): boolean => /^\d+$/.test(version) && /^\d+$/.test(than) && BigInt(version) < BigInt(than);

/**
 * Without who wrote which of its fields: more than half of what an object of ours takes, ten thousand times over, and nobody here looks at it. The API server keeps
 * it for itself where what is written back has none.
 */
function withoutWriters<Object extends KubeObject>(object: Object): Object {
  const { managedFields: _, ...metadata } = object.metadata as ObjectMeta & { managedFields?: unknown };
  return { ...object, metadata };
}

export class ListWatchView<Object extends KubeObject> implements KubeView<Object> {
  readonly resource: Resource;
  readonly objects = new Map<string, Object>();
  changeCount = 0;
  readonly #ports: KubeViewPorts;
  readonly #onChange: () => void;
  readonly #closing = new AbortController();
  /** Of objects that were deleted since the last listing: an answer that was under way may not bring them back. */
  readonly #deletedAt = new Map<string, string>();
  #isCurrent = false;
  #isChangeDue = false;

  constructor(resource: Resource, ports: KubeViewPorts, onChange: () => void) {
    this.resource = resource;
    this.#ports = ports;
    this.#onChange = onChange;
    void this.#run();
  }

  get isCurrent(): boolean {
    return this.#isCurrent;
  }

  accept(object: Object): void {
    const { name, resourceVersion } = object.metadata;
    const known = this.objects.get(name)?.metadata.resourceVersion ?? this.#deletedAt.get(name);
    if (known !== undefined && (known === resourceVersion || isOlder(resourceVersion, known))) return;
    this.objects.set(name, withoutWriters(object));
    this.changeCount++;
    this.#changed();
  }

  close(): void {
    this.#closing.abort();
    this.#isCurrent = false;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const version = await this.#list();
        failures = 0;
        await this.#ports.api.watch(collectionPath(this.resource), version, (event) => this.#apply(event), signal);
      } catch (error) {
        this.#setCurrent(false);
        if (signal.aborted) return;
        const pauseMs =
          Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** Math.min(DOUBLINGS_MAX, failures++)) * (0.5 + this.#ports.random.unit() / 2);
        this.#ports.log.debug('the view lists again', { resource: this.resource, reason: messageOf(error), pauseMs: Math.round(pauseMs) });
        await this.#ports.timers.sleep(pauseMs, signal);
      }
    }
  }

  async #list(): Promise<string> {
    const { items, resourceVersion } = await this.#ports.api.list<Object>(collectionPath(this.resource));
    const listed = new Set(items.map(({ metadata }) => metadata.name));
    for (const [name, { metadata }] of this.objects) {
      // One that we made after the listing was taken is not missing.
      if (!listed.has(name) && !isOlder(resourceVersion, metadata.resourceVersion)) this.objects.delete(name);
    }
    this.changeCount++;
    this.#deletedAt.clear();
    for (const object of items) this.accept(object);
    this.#isCurrent = true;
    this.#changed();
    return resourceVersion;
  }

  #apply({ type, object }: WatchEvent): void {
    if (type === 'BOOKMARK') return;
    const { name, resourceVersion } = object.metadata;
    if (type !== 'DELETED') return this.accept(object as Object);
    const known = this.objects.get(name);
    // Of two objects of one name, the deletion of the first may not take the second.
    if (known && isOlder(resourceVersion, known.metadata.resourceVersion)) return;
    this.objects.delete(name);
    this.changeCount++;
    this.#deletedAt.set(name, resourceVersion);
    this.#changed();
  }

  #setCurrent(isCurrent: boolean): void {
    if (this.#isCurrent === isCurrent) return;
    this.#isCurrent = isCurrent;
    this.#changed();
  }

  /** At most one call a macrotask, however many events came. */
  #changed(): void {
    if (this.#isChangeDue || this.#closing.signal.aborted) return;
    this.#isChangeDue = true;
    setImmediate(() => {
      this.#isChangeDue = false;
      if (!this.#closing.signal.aborted) this.#onChange();
    });
  }
}
