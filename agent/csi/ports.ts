/** What the CSI node needs of the agent and of the machine. `edge/` holds the real ones. */
import type { VolumeUid } from '../../core/ids.ts';
import type { CsiCall } from '../../edge/csi/server.ts';

export type Call = CsiCall;

export type ServedVolume = {
  uid: VolumeUid;
  socket: string;
  sizeBytes: number;
  /** Why I/O waits; null: it does not. */
  trouble: string | null;
};

/** What this agent serves. */
export interface ServedVolumes {
  /** Null: it is not served here (any more, or yet). */
  find(name: string): ServedVolume | null;
}

/**
 * Where the clients of a volume shall be, as etcd has it. elsewhere: on another node, on none, or it was deleted. lost: etcd has neither its config nor word of a
 * deletion (which stands for a day): it may be served here again, when it is recovered.
 */
export type Whereabouts = 'here' | 'elsewhere' | 'lost';

export type Device = { name: string; uid: VolumeUid; device: string; sizeBytes: number; readonly: boolean; failed: boolean };

/** The holder of this node. Rejects with CsiError. */
export interface Holder {
  find(name: string): Promise<Device | null>;
  all(): Promise<Device[]>;
  attach(wish: { name: string; uid: VolumeUid; socket: string; sizeBytes: number; readonly: boolean }): Promise<Device>;
  resize(name: string, sizeBytes: number): Promise<Device>;
  fail(name: string): Promise<void>;
  detach(name: string): Promise<void>;
}

export type FileSystem = 'ext4' | 'xfs';
/** What is mounted somewhere: `source` is a device, or for a bound device node the words of the file system that the node is in. */
export type Mounted = { path: string; source: string; root: string; options: readonly string[]; device: string };

export type Usage = {
  totalBytes: number;
  availableBytes: number;
  usedBytes: number;
  totalInodes: number;
  availableInodes: number;
  usedInodes: number;
};

/** The machine's mounts and file systems. Rejects with OperatingError and what the machine's own programs said. */
export interface Mounts {
  /** What lies on top at a path; null: nothing is mounted there. Of a device node that is bound there `source` tells nothing: `of` does. */
  at(path: string): Mounted | null;
  /** Everywhere that a device, or the file system on it, can be reached. */
  of(device: string): Mounted[];
  mount(device: string, path: string, type: FileSystem, options: readonly string[]): Promise<void>;
  /** A directory to a directory, or a device to a file. */
  bind(source: string, target: string, readonly: boolean): Promise<void>;
  /** What is bound there may only be read from now on. */
  protect(path: string): Promise<void>;
  /** `lazy`: also while somebody uses it. */
  unmount(path: string, lazy: boolean): Promise<void>;
  /** What is found on a device: a type, a partition table; null: nothing, and its beginning is all zeroes. */
  probe(device: string): Promise<string | null>;
  /** Whether the mark of this volume and type is there (mark.ts). */
  isMarked(device: string, uid: VolumeUid, type: FileSystem): Promise<boolean>;
  /** Of a device on which `probe` found that type. False: certainly not, by anybody. */
  mayHaveBeenMounted(device: string, type: FileSystem): Promise<boolean>;
  /** Durable when it resolves, as is `unmark`. */
  mark(device: string, uid: VolumeUid, type: FileSystem): Promise<void>;
  unmark(device: string, type: FileSystem): Promise<void>;
  /** `isAgain`: over what an attempt before it left. */
  format(device: string, type: FileSystem, options: readonly string[], isAgain?: boolean): Promise<void>;
  check(device: string, type: FileSystem): Promise<void>;
  /** To all of its device. */
  grow(device: string, path: string, type: string): Promise<void>;
  /** The type of the file system mounted there. */
  typeAt(path: string): string | null;
  usage(path: string): Promise<Usage>;
  kind(path: string): 'directory' | 'file' | 'device' | 'other' | null;
  makeDirectory(path: string): void;
  makeFile(path: string): void;
  /** Empty ones only. */
  remove(path: string): void;
}

export type NodePorts = {
  node: string;
  zone: string;
  served: ServedVolumes;
  /** Rejects when etcd does not answer. */
  whereabouts(uid: VolumeUid): Promise<Whereabouts>;
  holder: Holder;
  mounts: Mounts;
  /** Resolves after so many milliseconds, or when the signal is aborted. */
  sleep(forMs: number, signal: AbortSignal): Promise<void>;
};
