/**
 * A generic netlink socket. Node has none: three calls of the C library make it, and Node reads and writes it as any descriptor, in its own threads. Must never
 * hold up the event loop: what the kernel is asked may wait for a disk's lock.
 */
import { close, read, write } from 'node:fs';
import { promisify } from 'node:util';
import { OperatingError } from '../../../core/errors.ts';
import { decodeErrorNumber, decodeFamily, decodeMessages, encodeGetFamily, type Family, MESSAGE_TYPE, type Message } from '../netlink.ts';

const FAMILY_NETLINK = 16;
const RAW_CLOSED_ON_EXEC = 3 | 0o2000000;
const PROTOCOL_GENERIC = 16;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SOL_NETLINK = 270;
const ADD_MEMBERSHIP = 1;
const ADDRESS_BYTES = 12;
const ENOENT = 2;
/** More than any message that is asked for here. */
const READ_BYTES = 32 * 1024;
/** One read waits so long, in a thread of its own: who ends meanwhile waits for it. */
const READ_SECONDS = 1;
/** The kernel answers within the write; it is much slower than ever when it has not after so many reads. */
const READS_MAX = 30;

const readOf = promisify(read);
const writeTo = promisify(write);
const closeOf = promisify(close);

export class NetlinkSocket {
  readonly #descriptor: number;
  readonly #memory = Buffer.alloc(READ_BYTES);
  readonly #join: (group: number) => boolean;
  #sequence = 0;
  #last: Promise<unknown> = Promise.resolve();

  static async open(): Promise<NetlinkSocket> {
    const { default: koffi } = await import('koffi');
    const library = koffi.load(null);
    const socket = library.func('int socket(int domain, int type, int protocol)');
    const bind = library.func('int bind(int fd, uintptr_t address, unsigned int length)');
    const setsockopt = library.func('int setsockopt(int fd, int level, int name, uintptr_t value, unsigned int length)');
    const attempted = 'open a netlink socket';
    const descriptor = socket(FAMILY_NETLINK, RAW_CLOSED_ON_EXEC, PROTOCOL_GENERIC);
    if (descriptor < 0) throw new OperatingError('Unavailable', attempted, `errno ${koffi.errno()}`);
    const set = (level: number, name: number, value: Buffer): boolean =>
      setsockopt(descriptor, level, name, koffi.address(value), value.length) === 0;
    const address = Buffer.alloc(ADDRESS_BYTES);
    address.writeUInt16LE(FAMILY_NETLINK);
    const patience = Buffer.alloc(16);
    patience.writeBigInt64LE(BigInt(READ_SECONDS));
    if (bind(descriptor, koffi.address(address), address.length) !== 0 || !set(SOL_SOCKET, SO_RCVTIMEO, patience)) {
      const code = koffi.errno();
      await closeOf(descriptor);
      throw new OperatingError('Unavailable', attempted, `errno ${code}`);
    }
    const member = Buffer.alloc(4);
    return new NetlinkSocket(descriptor, (group) => {
      member.writeUInt32LE(group);
      return set(SOL_NETLINK, ADD_MEMBERSHIP, member);
    });
  }

  private constructor(descriptor: number, join: (group: number) => boolean) {
    this.#descriptor = descriptor;
    this.#join = join;
  }

  /** Null: there is no such family, or not in this network. */
  async family(name: string): Promise<Family | null> {
    const answer = await this.request(`look for netlink's family ${name}`, (sequence) => encodeGetFamily(sequence, name), [ENOENT]);
    return answer === null ? null : decodeFamily(answer);
  }

  join(group: number): void {
    if (!this.#join(group)) throw new OperatingError('Unavailable', 'listen to a group of netlink', 'the kernel refuses');
  }

  /** What the kernel says to it, one after the other; null: it only says that it is done, or an errno of `expected`. */
  request(attempted: string, encode: (sequence: number) => Buffer, expected: readonly number[] = []): Promise<Message | null> {
    const turn = this.#last.then(() => this.#ask(attempted, encode, expected));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #ask(attempted: string, encode: (sequence: number) => Buffer, expected: readonly number[]): Promise<Message | null> {
    const sequence = ++this.#sequence;
    const request = encode(sequence);
    await writeTo(this.#descriptor, request, 0, request.length, null);
    let answer: Message | null = null;
    for (let reads = 0; reads < READS_MAX; reads++) {
      // Answers to what was asked before and given up are not meant.
      for (const message of (await this.read()).filter((one) => one.sequence === sequence)) {
        if (message.type !== MESSAGE_TYPE.error) answer = message;
        else {
          const code = decodeErrorNumber(message);
          if (code === 0) return answer;
          if (expected.includes(code)) return null;
          throw new OperatingError('Unavailable', attempted, `errno ${code}; the kernel's log may say more`);
        }
      }
    }
    throw new OperatingError('Timeout', attempted, 'the kernel does not answer');
  }

  /** What has come; nothing within a second: none. Rejects with ENOBUFS when some was lost. */
  async read(): Promise<Message[]> {
    try {
      const { bytesRead } = await readOf(this.#descriptor, this.#memory, 0, READ_BYTES, null);
      return decodeMessages(Buffer.from(this.#memory.subarray(0, bytesRead)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return [];
      throw error;
    }
  }

  /** When nobody reads it any more. */
  async close(): Promise<void> {
    await closeOf(this.#descriptor);
  }
}
