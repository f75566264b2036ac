/**
 * A device by the kernel's nbd: the connection is made here and given to the kernel, which keeps it; when it dies, another is made. The export is the one that grows,
 * and the device's own size is the volume's. Must never touch a device of another program: each of ours says in sysfs whose it is.
 */
import { accessSync, constants, mkdirSync } from 'node:fs';
import { release } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, OperatingError } from '../../../core/errors.ts';
import type { Log } from '../../../core/log.ts';
import { outcome } from '../../edge/commands.ts';
import { growingExportOf } from '../../nbd/negotiate.ts';
import { HolderRefusal } from '../devices.ts';
import {
  type Change,
  deadIndexIn,
  encodeConnect,
  encodeDisconnect,
  encodeReconfigure,
  indexIn,
  NBD_FAMILY,
  NBD_GROUP,
} from '../kernelMessages.ts';
import { decodeCommand, type Family } from '../netlink.ts';
import type { Attached, Backend, Wish } from '../ports.ts';
import { answers } from './answering.ts';
import { dial } from './dial.ts';
import { isInUse } from './inUse.ts';
import { type Link, Links } from './links.ts';
import { backendOf, isConnected, nbdDevice, nbdIndex, nbdIndexes, SYSFS, setLookAgain, trafficOf } from './nbdDevices.ts';
import { NetlinkSocket } from './netlinkSocket.ts';

/** The first that says whose a device is; it also sends again what a dead connection has not answered. */
const KERNEL = { major: 5, minor: 14 } as const;
/** As soon as a request that was with a server which died is sent to the next: a second or two later. While a volume gives no answer, the kernel logs as often. */
const LOOK_AGAIN_MS = 1_000;
const PAUSE_MS = 1_000;
/** While a device grows: until a request without an answer is put back, and how long it then waits for a connection. */
const GROWTH = { timeoutSeconds: 30, deadConnectionSeconds: 15 } as const;
/** Partitions on a volume are its user's: the kernel looks for none. */
const MODULE = ['nbd', 'max_part=0'];

export type NbdOptions = {
  /** Where the devices' own directories are: part of the mark that ours have. */
  directory: string;
  deadConnectionSeconds: number;
};

type Kernel = { asked: NetlinkSocket; family: Family };

export class KernelNbdBackend implements Backend {
  readonly way = 'nbd';
  readonly #options: NbdOptions;
  readonly #log: Log;
  readonly #links: Links;
  /** Devices of which it is being changed when requests without an answer are looked at: one change at a time. */
  readonly #looking = new Map<number, Promise<void>>();
  #kernel: Promise<Kernel> | null = null;
  #listening: Promise<void> | null = null;
  #isClosing = false;

  constructor(options: NbdOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    const ports = {
      dial: ({ socket, uid }: Link, signal: AbortSignal) => dial(socket, growingExportOf(uid), signal),
      // With the patience that it has: a holder that died while a device grew has left it with less.
      reconfigure: (link: Link, change: Change) =>
        this.#reconfigure(link, { ...change, deadConnectionSeconds: options.deadConnectionSeconds }),
      isAlive: ({ index, name }: Link) => this.#isOurs(index, name) && isConnected(index),
      lookAgainSoon: ({ index }: Link) => this.#lookAgainSoon(index),
    };
    this.#links = new Links(ports, log);
  }

  async unfit(): Promise<string | null> {
    if (process.getuid?.() !== 0) return 'it needs root';
    const [major = 0, minor = 0] = release().split('.').map(Number);
    if (major < KERNEL.major || (major === KERNEL.major && minor < KERNEL.minor))
      return `the kernel is ${release()}, older than ${KERNEL.major}.${KERNEL.minor}`;
    try {
      accessSync(SYSFS, constants.W_OK);
      await this.#open();
      return null;
    } catch (error) {
      return messageOf(error);
    }
  }

  /**
   * A crash behind `connect` leaves a device of which there is no record; its mark says whose it is, and `clear` finds it by that.
   */
  async attach(wish: Wish, directory: string): Promise<{ device: string; pids: number[] }> {
    const { asked, family } = await this.#open();
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { sizeBytes, readonly } = wish;
    const { deadConnectionSeconds } = this.#options;
    const dialled = await dial(wish.socket, growingExportOf(wish.uid));
    const { descriptor, flags } = dialled;
    const wanted = { sizeBytes, flags, readonly, deadConnectionSeconds, backend: this.#markOf(wish.name, wish.uid), descriptor };
    try {
      const answer = await asked.request(`make a device of ${wish.name}`, (sequence) => encodeConnect(family, sequence, wanted));
      if (answer === null) throw new OperatingError('Unavailable', `make a device of ${wish.name}`, 'the kernel does not say which');
      const index = indexIn(decodeCommand(answer).attributes);
      this.#watch(index, wish);
      return { device: nbdDevice(index), pids: [] };
    } finally {
      dialled.close();
    }
  }

  /**
   * From 6.9 on the kernel holds the device up until nothing is in flight, with the lock under which it takes connections, and with that of all generic netlink. If the
   * volume's server died then, what it had not answered would wait for a connection that cannot be given, for ever, and every other device of this node with it. So a
   * volume that does not answer is not grown, and while one is, patience is short: this alone ends it, with an error. A crash behind the first change leaves it short
   * until the next holder offers a connection.
   */
  async resize({ device, name, sizeBytes }: Attached): Promise<void> {
    const index = this.#indexOf(device, name);
    await this.#looking.get(index);
    const growing = this.#grow({ index, name }, sizeBytes);
    this.#looking.set(
      index,
      // Whoever waits for its end; why it failed is told to the caller, below.
      growing.catch(() => undefined),
    );
    try {
      await growing;
    } finally {
      this.#looking.delete(index);
      this.#lookAgainSoon(index);
    }
  }

  async #grow(link: Pick<Link, 'index' | 'name'>, sizeBytes: number): Promise<void> {
    const { deadConnectionSeconds } = this.#options;
    await this.#mustAnswer(link.index);
    // What is sent from now on is looked at later; all that was sent before is answered when the volume is said to answer again.
    await this.#reconfigure(link, { timeoutSeconds: 0 });
    await this.#mustAnswer(link.index);
    // Asked together, so that nothing of this holder comes between them.
    const changes: Change[] = [GROWTH, { sizeBytes }, { timeoutSeconds: 0, deadConnectionSeconds }];
    await Promise.all(changes.map((change) => this.#reconfigure(link, change)));
  }

  async fail({ device, name }: Attached): Promise<void> {
    await this.#disconnect(this.#indexOf(device, name));
  }

  async detach({ device, name, failed }: Attached, directory: string): Promise<void> {
    const index = nbdIndex(device);
    // One that has failed and was unmounted may be another's by now.
    if (!failed && index !== null && this.#isOurs(index, name) && isInUse(device))
      throw new HolderRefusal('InUse', `${device} is in use: unmount it first`);
    await this.clear(directory);
  }

  isAlive({ device, name, uid }: Attached): boolean {
    const index = nbdIndex(device);
    return index !== null && backendOf(index) === this.#markOf(name, uid) && isConnected(index);
  }

  takeUp(attached: Attached): void {
    const index = nbdIndex(attached.device);
    if (index === null || attached.failed) return;
    void this.#open().then(
      () => this.#watch(index, attached),
      (error: unknown) => this.#log.error('device is not watched', { volume: attached.name, error }),
    );
  }

  /** Of the directory nothing is touched: another way may have begun something in it. */
  async clear(directory: string): Promise<void> {
    const name = path.basename(directory);
    for (const index of nbdIndexes()) if (this.#isOurs(index, name)) await this.#disconnect(index);
  }

  /** What is attached goes on without anybody who would connect it anew. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#links.close();
    await this.#listening;
    if (this.#kernel !== null) await (await this.#kernel).asked.close();
  }

  async #disconnect(index: number): Promise<void> {
    await this.#links.forget(index);
    if (!isConnected(index)) return;
    const { asked, family } = await this.#open();
    await asked.request(`disconnect ${nbdDevice(index)}`, (sequence) => encodeDisconnect(family, sequence, index));
  }

  /** The kernel refuses it for a device that bears another mark. */
  async #reconfigure({ index, name }: Pick<Link, 'index' | 'name'>, change: Change): Promise<void> {
    const { asked, family } = await this.#open();
    const mark = this.#markOn(index, name);
    if (mark === null) throw new OperatingError('NotFound', `change ${nbdDevice(index)}`, `it is not of ${name}`);
    await asked.request(`change ${nbdDevice(index)}`, (sequence) => encodeReconfigure(family, sequence, index, mark, change));
  }

  #watch(index: number, { name, uid, socket }: Wish): void {
    this.#links.watch({ index, name, uid, socket });
  }

  async #mustAnswer(index: number): Promise<void> {
    if (!(await this.#answers(index))) throw new OperatingError('Unavailable', `grow ${nbdDevice(index)}`, 'its volume does not answer');
  }

  #answers(index: number): Promise<boolean> {
    return answers({ isLinked: () => this.#links.isLinked(index), traffic: () => trafficOf(index) });
  }

  /** Whoever else changes when requests of this device are looked at does it when he is done. */
  #lookAgainSoon(index: number): void {
    if (this.#looking.has(index)) return;
    const looking = this.#lookAgain(index).finally(() => this.#looking.delete(index));
    this.#looking.set(index, looking);
  }

  /** Only while the volume answers: the kernel may hold the device up until it has. Left undone, what dies is looked after later, and the next connection is another chance. */
  async #lookAgain(index: number): Promise<void> {
    try {
      if (await this.#answers(index)) await setLookAgain(index, LOOK_AGAIN_MS);
    } catch (error) {
      this.#log.warn('a connection that dies will be looked after late', { device: nbdDevice(index), error });
    }
  }

  #indexOf(device: string, name: string): number {
    const index = nbdIndex(device);
    if (index !== null && this.#isOurs(index, name)) return index;
    throw new OperatingError('NotFound', `change ${device}`, `it is no device of ${name}`);
  }

  #markOf(name: string, uid: string): string {
    return `${path.join(this.#options.directory, name)}#${uid}`;
  }

  /** Null: it is not of that name, or another program's. */
  #markOn(index: number, name: string): string | null {
    const mark = backendOf(index);
    return mark.startsWith(this.#markOf(name, '')) ? mark : null;
  }

  #isOurs(index: number, name: string): boolean {
    return this.#markOn(index, name) !== null;
  }

  #open(): Promise<Kernel> {
    this.#kernel ??= this.#connectToKernel().catch((error: unknown) => {
      this.#kernel = null;
      throw error;
    });
    return this.#kernel;
  }

  async #connectToKernel(): Promise<Kernel> {
    const asked = await NetlinkSocket.open();
    try {
      const family = (await asked.family(NBD_FAMILY)) ?? (await this.#loaded(asked));
      const group = family?.groups.get(NBD_GROUP);
      if (family === null || group === undefined)
        throw new OperatingError('NotFound', 'look for nbd in the kernel', 'it has none, or this is not the network of the machine itself');
      const told = await NetlinkSocket.open();
      this.#listening = this.#listen(told, group, family);
      return { asked, family };
    } catch (error) {
      await asked.close();
      throw error;
    }
  }

  /** The module may not be installed, or not be allowed: why stands in the log, and that there is none in what `unfit` says. */
  async #loaded(asked: NetlinkSocket): Promise<Family | null> {
    const refused = await outcome('modprobe', MODULE).then(({ code, trouble }) => (code === 0 ? null : trouble.trim()), messageOf);
    if (refused !== null) this.#log.warn('the kernel module was not loaded', { module: MODULE.join(' '), error: refused });
    return asked.family(NBD_FAMILY);
  }

  /** Until this holder ends. */
  async #listen(told: NetlinkSocket, group: number, family: Family): Promise<void> {
    told.join(group);
    while (!this.#isClosing) {
      try {
        for (const message of await told.read()) {
          const index = message.type === family.id ? deadIndexIn(decodeCommand(message)) : null;
          if (index !== null) this.#links.died(index);
        }
      } catch (error) {
        this.#log.warn('what the kernel says of connections was lost', { error });
        this.#links.anyMayHaveDied();
        await sleep(PAUSE_MS);
      }
    }
    await told.close();
  }
}
