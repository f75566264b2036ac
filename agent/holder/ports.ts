/** What the holder needs of the machine. `edge/` holds the real ones. */

/** What is wanted of one device. */
export type Wish = {
  /** The volume's name; also that of a directory. */
  name: string;
  /** Of the very volume: names come again. */
  uid: string;
  /** Where the volume is served on this node. */
  socket: string;
  sizeBytes: number;
  readonly: boolean;
};

export type Way = 'fuse' | 'nbd';

/** A device that is there. */
export type Attached = Wish & {
  way: Way;
  /** /dev/loop7 */
  device: string;
  /** It answers everything with an error: the volume is served elsewhere. */
  failed: boolean;
  /** Of the processes that carry it; none where the kernel does. */
  pids: number[];
};

/** One way to make a device of a socket. Every method may be called again after a crash in the middle of it. */
export interface Backend {
  readonly way: Way;
  /** Why it cannot work on this machine; null: it can. */
  unfit(): Promise<string | null>;
  /** `directory` is the device's own, empty or what an attempt before left. */
  attach(wish: Wish, directory: string): Promise<{ device: string; pids: number[] }>;
  resize(attached: Attached): Promise<void>;
  /** From here on every I/O is an error, at once. */
  fail(attached: Attached): Promise<void>;
  /** Rejects while somebody uses the device. */
  detach(attached: Attached, directory: string): Promise<void>;
  /** It is as it was left by the holder before. */
  isAlive(attached: Attached): boolean;
  /** It is alive, and this holder sees to it from now on. */
  takeUp(attached: Attached): void;
  /** Takes away whatever an attempt or a dead device of this way left; the directory itself may stay. */
  clear(directory: string): Promise<void>;
  /** The holder ends; what is attached goes on. */
  close(): Promise<void>;
}

/** What is attached, kept over a restart of the holder. */
export interface Records {
  load(): Attached[];
  /** Durable enough for a process that dies; a machine that restarts has no devices. */
  save(attached: Attached): void;
  remove(name: string): void;
  directory(name: string): string;
}
