/** A node for the CSI node's tests: what is served, the holder and the mounts, all in memory; every step that could harm is written down. */
import type { Call, Device, FileSystem, Holder, Mounted, Mounts, NodePorts, ServedVolume, Whereabouts } from '../../../agent/csi/ports.ts';
import { type VolumeUid, volumeUid } from '../../../core/ids.ts';
import { silentLog } from '../../../core/log.ts';
import { CsiError } from '../../../edge/csi/codes.ts';

export const UID = volumeUid('uid-1');
export const OTHER_UID = volumeUid('uid-2');
export const CALL: Call = {
  trace: { traceId: 'f'.repeat(32), parentId: '1'.repeat(16), sampled: false },
  log: silentLog,
  signal: new AbortController().signal,
};

export class FakeNode {
  readonly steps: string[] = [];
  readonly served = new Map<string, ServedVolume>();
  readonly devices = new Map<string, Device>();
  readonly mounted: Mounted[] = [];
  /** What lies on a device; none: nothing. */
  readonly content = new Map<string, string>();
  /** Whatever file system is found beside a mark. */
  wasMounted = false;
  /** Of file systems that were begun: volume and type. */
  readonly marks = new Map<string, string>();
  readonly places = new Map<string, Whereabouts | Error>();
  readonly kinds = new Map<string, 'directory' | 'file' | 'device'>();
  /** How often somebody has waited. */
  slept = 0;
  #count = 0;

  serve(name = 'pgdata', uid: VolumeUid = UID, sizeBytes = 4096): void {
    this.served.set(name, { uid, socket: `/run/${name}.sock`, sizeBytes, trouble: null });
  }

  readonly holder: Holder = {
    find: async (name) => this.devices.get(name) ?? null,
    all: async () => [...this.devices.values()],
    attach: async ({ name, uid, sizeBytes, readonly }) => {
      const there = this.devices.get(name);
      if (there !== undefined) return there;
      this.steps.push(`attach ${name}${readonly ? ' ro' : ''}`);
      const device = { name, uid, device: `/dev/loop${this.#count++}`, sizeBytes, readonly, failed: false };
      this.devices.set(name, device);
      return device;
    },
    resize: async (name, sizeBytes) => {
      this.steps.push(`resize ${name} ${sizeBytes}`);
      return this.#change(name, { sizeBytes });
    },
    fail: async (name) => {
      this.#change(name, { failed: true });
      this.steps.push(`fail ${name}`);
    },
    detach: async (name) => {
      const device = this.devices.get(name)?.device;
      if (this.mounted.some(({ source }) => source === device)) throw new CsiError('FailedPrecondition', `${device} is in use`);
      this.steps.push(`detach ${name}`);
      this.devices.delete(name);
    },
  };

  readonly mounts: Mounts = {
    at: (path) => this.mounted.findLast((one) => one.path === path) ?? null,
    of: (device) => this.mounted.filter(({ source }) => source === device),
    mount: async (device, path, type, options) => {
      this.steps.push(`mount ${device} ${path} ${type} ${options.join(',')}`);
      this.#mount(device, path, options.includes('ro'));
    },
    bind: async (source, target, readonly) => {
      this.steps.push(`bind ${source} ${target}${readonly ? ' ro' : ''}`);
      const from = this.mounted.find(({ path }) => path === source);
      this.#mount(from?.source ?? source, target, readonly || (from?.options.includes('ro') ?? false));
      if (from === undefined) this.kinds.set(target, 'device');
    },
    protect: async (path) => {
      this.steps.push(`protect ${path}`);
      const index = this.mounted.findLastIndex((one) => one.path === path);
      this.mounted.splice(index, 1, { ...this.mounted[index], options: ['ro'] } as Mounted);
    },
    unmount: async (path, lazy) => {
      this.steps.push(`unmount ${path}${lazy ? ' lazy' : ''}`);
      this.mounted.splice(
        this.mounted.findLastIndex((one) => one.path === path),
        1,
      );
    },
    probe: async (device) => this.content.get(device) ?? null,
    isMarked: async (device, uid, type) => this.marks.get(device) === `${uid} ${type}`,
    mayHaveBeenMounted: async () => this.wasMounted,
    mark: async (device, uid, type) => {
      this.steps.push(`mark ${device} ${type}`);
      this.marks.set(device, `${uid} ${type}`);
    },
    unmark: async (device, type) => {
      this.steps.push(`unmark ${device} ${type}`);
      this.marks.delete(device);
    },
    format: async (device, type, options, isAgain) => {
      this.steps.push(`format${isAgain ? ' again' : ''} ${device} ${[type, ...options].join(' ')}`);
      this.content.set(device, type);
    },
    check: async (device: string, type: FileSystem) => void this.steps.push(`check ${device} ${type}`),
    grow: async (device, path, type) => void this.steps.push(`grow ${device} ${path} ${type}`),
    typeAt: (path) => this.content.get(this.mounts.at(path)?.source ?? '') ?? null,
    usage: async () => ({ totalBytes: 10, availableBytes: 6, usedBytes: 4, totalInodes: 5, availableInodes: 3, usedInodes: 2 }),
    kind: (path) => this.kinds.get(path) ?? null,
    makeDirectory: (path) => void this.kinds.set(path, 'directory'),
    makeFile: (path) => void this.kinds.set(path, 'file'),
    remove: (path) => void this.kinds.delete(path),
  };

  readonly ports: NodePorts = {
    node: 'node-a',
    zone: '',
    served: { find: (name) => this.served.get(name) ?? null },
    whereabouts: async (uid) => {
      const place = this.places.get(uid) ?? new Error('etcd is silent');
      if (place instanceof Error) throw place;
      return place;
    },
    holder: this.holder,
    mounts: this.mounts,
    sleep: async () => void this.slept++,
  };

  #change(name: string, change: Partial<Device>): Device {
    const device = this.devices.get(name);
    if (device === undefined) throw new CsiError('NotFound', `${name} is not attached here`);
    const changed = { ...device, ...change };
    this.devices.set(name, changed);
    return changed;
  }

  #mount(source: string, path: string, readonly: boolean): void {
    this.mounted.push({ path, source, root: '/', options: [readonly ? 'ro' : 'rw'], device: '7:0' });
  }
}
