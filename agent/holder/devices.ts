/**
 * All devices of a node: one operation at a time on each, each as often as one likes. Must never give one volume two devices, nor take one away that is in use.
 */
import { assert } from '../../core/assert.ts';
import type { Log } from '../../core/log.ts';
import { Turns } from '../../core/turns.ts';
import type { Attached, Backend, Records, Wish } from './ports.ts';

/** More than the kernel has loop devices for is somebody's mistake. */
const DEVICES_MAX = 1_024;

/** Refused for a reason that the caller can mend. */
export class HolderRefusal extends Error {
  override readonly name = 'HolderRefusal';
  readonly code: 'NotFound' | 'Different' | 'InUse' | 'TooMany' | 'Invalid';
  constructor(code: HolderRefusal['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export class Devices {
  readonly #backends: readonly Backend[];
  readonly #preferred: Backend;
  readonly #records: Records;
  readonly #log: Log;
  readonly #attached = new Map<string, Attached>();
  readonly #turns = new Turns();

  /** New devices are `preferred`; those that `others` made are kept by them. */
  constructor(preferred: Backend, others: readonly Backend[], records: Records, log: Log) {
    this.#preferred = preferred;
    this.#backends = [preferred, ...others];
    this.#records = records;
    this.#log = log;
  }

  get all(): Attached[] {
    return [...this.#attached.values()];
  }

  /** What a holder before this one left: taken up where it lives, cleared where it does not. */
  async open(): Promise<void> {
    for (const attached of this.#records.load()) {
      const backend = this.#backends.find(({ way }) => way === attached.way);
      if (backend?.isAlive(attached)) {
        this.#attached.set(attached.name, attached);
        backend.takeUp(attached);
        this.#log.info('device taken up', { volume: attached.name, device: attached.device });
        continue;
      }
      this.#log.warn('device of before is dead: cleared', { volume: attached.name, device: attached.device });
      await this.#clear(this.#records.directory(attached.name));
      this.#records.remove(attached.name);
    }
  }

  get(name: string): Attached {
    const attached = this.#attached.get(name);
    if (attached === undefined) throw new HolderRefusal('NotFound', `${name} is not attached here`);
    return attached;
  }

  /** A crash in the middle leaves processes without a record of the device: the next attempt, or the next holder, clears them first. */
  attach(wish: Wish): Promise<Attached> {
    return this.#turns.take(wish.name, async () => {
      const there = this.#attached.get(wish.name);
      const isDead = there !== undefined && !there.failed && !this.#of(there).isAlive(there);
      if (there !== undefined && !isDead) return this.#same(there, wish);
      if (isDead) await this.#bury(there);
      if (this.#attached.size >= DEVICES_MAX) throw new HolderRefusal('TooMany', `there are ${DEVICES_MAX} devices here already`);
      const directory = this.#records.directory(wish.name);
      await this.#clear(directory);
      const made = await this.#preferred.attach(wish, directory);
      const attached: Attached = { ...wish, ...made, way: this.#preferred.way, failed: false };
      this.#records.save(attached);
      this.#attached.set(wish.name, attached);
      this.#log.info('device attached', { volume: wish.name, device: attached.device, way: attached.way, sizeBytes: wish.sizeBytes });
      return attached;
    });
  }

  resize(name: string, sizeBytes: number): Promise<Attached> {
    return this.#turns.take(name, async () => {
      const attached = this.get(name);
      if (sizeBytes <= attached.sizeBytes) return attached;
      const grown = { ...attached, sizeBytes };
      await this.#of(attached).resize(grown);
      return this.#changed(grown);
    });
  }

  fail(name: string): Promise<Attached> {
    return this.#turns.take(name, async () => {
      const attached = this.get(name);
      if (attached.failed) return attached;
      // In this order: what is said to have failed is never asked to again. A crash in between leaves a dead device, which the next holder clears.
      await this.#of(attached).fail(attached);
      const failed = this.#changed({ ...attached, failed: true });
      this.#log.warn('device failed: its volume is served elsewhere', { volume: name, device: attached.device });
      return failed;
    });
  }

  detach(name: string): Promise<void> {
    return this.#turns.take(name, async () => {
      const attached = this.#attached.get(name);
      if (attached === undefined) return;
      await this.#of(attached).detach(attached, this.#records.directory(name));
      this.#attached.delete(name);
      this.#records.remove(name);
      this.#log.info('device detached', { volume: name, device: attached.device });
    });
  }

  /** What carried it was killed: it answers nothing but errors. Refused while somebody has it mounted, who would find another disk under his file system. */
  async #bury(dead: Attached): Promise<void> {
    this.#log.warn('device is dead: another is made', { volume: dead.name, device: dead.device });
    await this.#of(dead).detach(dead, this.#records.directory(dead.name));
    this.#attached.delete(dead.name);
    this.#records.remove(dead.name);
  }

  #of({ name, way }: Attached): Backend {
    const backend = this.#backends.find((one) => one.way === way);
    assert(backend !== undefined, `${name} was taken up, but nobody knows the way ${way}`);
    return backend;
  }

  /** An attempt that broke off has not said whose it was. */
  async #clear(directory: string): Promise<void> {
    for (const backend of this.#backends) await backend.clear(directory);
  }

  #changed(attached: Attached): Attached {
    this.#records.save(attached);
    this.#attached.set(attached.name, attached);
    return attached;
  }

  #same(there: Attached, wish: Wish): Attached {
    if (there.failed)
      throw new HolderRefusal('Different', `${wish.name} is attached as ${there.device}, which has failed: detach it first`);
    if (there.uid !== wish.uid)
      throw new HolderRefusal('Different', `another volume of the name ${wish.name} is attached as ${there.device}: detach it first`);
    if (there.socket === wish.socket && there.readonly === wish.readonly) return there;
    throw new HolderRefusal(
      'Different',
      `${wish.name} is attached already as ${there.device}, ${there.readonly ? 'read-only' : 'for writing'}, from ${there.socket}`,
    );
  }
}
