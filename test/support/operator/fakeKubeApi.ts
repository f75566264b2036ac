/**
 * An API server in memory, for tests of the control loop: resourceVersions and their compare, the status subresource, finalizers, watches. It knows no
 * schema and no rules; those are tested against the real one.
 */
import { OperatingError } from '../../../core/errors.ts';
import type { KubeObject } from '../../../operator/api.ts';
import { Gone, type KubeApi, type Page, type WatchEvent } from '../../../operator/ports.ts';

type Watcher = { collection: string; onEvent: (event: WatchEvent) => void; end: (error?: Error) => void };
type Stored = KubeObject & { status?: unknown };

const nextMacrotask = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const collectionOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));
const clone = <Value>(value: Value): Value => structuredClone(value);

export class FakeKubeApi implements KubeApi {
  /** While set, nothing is answered. */
  isDown = false;
  /** How often each path was written. */
  readonly written = new Map<string, number>();
  /** How many writes were refused since the object had changed. */
  conflicts = 0;
  /** What was asked to go, in order. */
  readonly removed: { path: string; graceSeconds: number | undefined }[] = [];
  readonly #objects = new Map<string, Stored>();
  readonly #watchers = new Set<Watcher>();
  #version = 10;
  #uids = 0;

  async get<Object extends KubeObject>(path: string): Promise<Object | null> {
    await this.#arrive(`GET ${path}`);
    return clone((this.#objects.get(path) as Object | undefined) ?? null);
  }

  async list<Object extends KubeObject>(path: string): Promise<{ items: Object[]; resourceVersion: string }> {
    await this.#arrive(`GET ${path}`);
    return { items: clone(this.objectsOf<Object>(path)), resourceVersion: String(this.#version) };
  }

  async create<Object extends KubeObject>(path: string, body: Object): Promise<Object> {
    await this.#arrive(`POST ${path}`);
    const key = `${path}/${body.metadata.name}`;
    if (this.#objects.has(key)) throw new OperatingError('Conflict', `POST ${path}`, 'already exists');
    const object = clone(body) as Stored;
    delete object.status;
    object.metadata = { ...object.metadata, uid: `00000000-0000-0000-0000-${String(++this.#uids).padStart(12, '0')}`, generation: 1 };
    return clone(this.#store(key, object, 'ADDED')) as Object;
  }

  async replace<Object extends KubeObject>(path: string, body: Object): Promise<Object | null> {
    await this.#arrive(`PUT ${path}`);
    this.written.set(path, (this.written.get(path) ?? 0) + 1);
    const isStatus = path.endsWith('/status');
    const key = isStatus ? collectionOf(path) : path;
    const before = this.#objects.get(key);
    if (!before) return null;
    if (before.metadata.resourceVersion !== body.metadata.resourceVersion) {
      this.conflicts++;
      throw new OperatingError('Conflict', `PUT ${path}`, 'it has changed');
    }
    const after = clone(
      isStatus ? { ...before, status: (body as Stored).status } : { ...body, ...(before.status ? { status: before.status } : {}) },
    ) as Stored;
    if (after.metadata.deletionTimestamp && (after.metadata.finalizers ?? []).length === 0) {
      this.#remove(key);
      return after as Object;
    }
    return clone(this.#store(key, after, 'MODIFIED')) as Object;
  }

  /** Of a pod: at once if it is given no grace, else it is only told to go. Removes it from its namespace's collection. */
  async remove(path: string, uid: string, graceSeconds?: number): Promise<void> {
    await this.#arrive(`DELETE ${path}`);
    if (this.#objects.get(path)?.metadata.uid !== uid) return;
    this.removed.push({ path, graceSeconds });
    this.delete(path);
  }

  /** All of one page, of all namespaces where the path names none; of selectors only that of a node is known. */
  async page<Object extends KubeObject>(path: string, _limit: number, _token: string, selector = ''): Promise<Page<Object>> {
    await this.#arrive(`GET ${path}`);
    const node = /spec\.nodeName=(.*)$/.exec(decodeURIComponent(selector))?.[1];
    const kind = path.slice(path.lastIndexOf('/') + 1);
    const all = [...this.#objects].filter(([key]) => collectionOf(key) === path || collectionOf(key).endsWith(`/${kind}`));
    const items = all.map(([, object]) => object as Stored & { spec?: { nodeName?: string } });
    return { items: clone(items.filter(({ spec }) => node === undefined || spec?.nodeName === node)) as unknown as Object[], next: '' };
  }

  async watch(path: string, resourceVersion: string, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void> {
    await this.#arrive(`watch ${path}`);
    if (Number(resourceVersion) < this.#version) throw new Gone('too old: this fake keeps no history');
    await new Promise<void>((resolve, reject) => {
      const watcher: Watcher = { collection: path, onEvent, end: (error) => (error ? reject(error) : resolve()) };
      this.#watchers.add(watcher);
      signal.addEventListener('abort', () => {
        this.#watchers.delete(watcher);
        resolve();
      });
    });
  }

  // What a test does, as people would.

  object<Object extends KubeObject>(path: string): Object | null {
    return (this.#objects.get(path) as Object | undefined) ?? null;
  }

  objectsOf<Object extends KubeObject>(collection: string): Object[] {
    return [...this.#objects].filter(([key]) => collectionOf(key) === collection).map(([, object]) => object as unknown as Object);
  }

  change<Object extends KubeObject>(path: string, change: (object: Object) => void): void {
    const object = clone(this.#objects.get(path));
    if (!object) throw new Error(`${path} is not there`);
    change(object as unknown as Object);
    object.metadata.generation = (object.metadata.generation ?? 0) + 1;
    this.#store(path, object, 'MODIFIED');
  }

  delete(path: string): void {
    const object = this.#objects.get(path);
    if (!object) return;
    if ((object.metadata.finalizers ?? []).length === 0) this.#remove(path);
    else this.change(path, ({ metadata }) => Object.assign(metadata, { deletionTimestamp: '2026-01-01T00:00:00Z' }));
  }

  /** As somebody does who removes the finalizers by hand. */
  deleteByForce(path: string): void {
    this.#remove(path);
  }

  /** All watches break. */
  breakWatches(): void {
    for (const watcher of this.#watchers) watcher.end(new OperatingError('Unavailable', 'watch', 'broken'));
    this.#watchers.clear();
  }

  async #arrive(attempted: string): Promise<void> {
    await nextMacrotask();
    if (this.isDown) throw new OperatingError('Unavailable', attempted, 'the API server gave no answer');
  }

  #store(key: string, object: Stored, type: 'ADDED' | 'MODIFIED'): Stored {
    this.#version++;
    object.metadata = { ...object.metadata, resourceVersion: String(this.#version) };
    this.#objects.set(key, object);
    this.#tell(key, type, object);
    return object;
  }

  #remove(key: string): void {
    const object = this.#objects.get(key);
    if (!object) return;
    this.#version++;
    this.#objects.delete(key);
    this.#tell(key, 'DELETED', { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } });
  }

  #tell(key: string, type: WatchEvent['type'], object: Stored): void {
    const watchers = [...this.#watchers].filter(({ collection }) => collection === collectionOf(key));
    const event = { type, object: clone(object) };
    for (const { onEvent } of watchers) setImmediate(() => onEvent(event));
  }
}
