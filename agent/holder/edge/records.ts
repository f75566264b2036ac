/** What is attached, as a small file in each device's directory. A file cut short is no record: what it was of is cleared. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Log } from '../../../core/log.ts';
import type { Attached, Records } from '../ports.ts';

const RECORD = 'device.json';
/** As volumes are named: what is no name may not become a path. */
const NAME = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;
export const isName = (name: string): boolean => name.length <= 63 && NAME.test(name);

/** As far as anybody decides by it. */
const isRecord = (record: unknown): record is Attached => {
  const { uid, socket, device, pids } = (record ?? {}) as { [Field in keyof Attached]?: unknown };
  const isText = [uid, socket, device].every((text) => typeof text === 'string');
  return isText && Array.isArray(pids) && pids.every((pid) => Number.isSafeInteger(pid));
};

export class FileRecords implements Records {
  readonly #root: string;
  readonly #log: Log;

  constructor(root: string, log: Log) {
    this.#root = root;
    this.#log = log;
    mkdirSync(root, { recursive: true, mode: 0o700 });
  }

  directory(name: string): string {
    return path.join(this.#root, name);
  }

  load(): Attached[] {
    return readdirSync(this.#root)
      .filter(isName)
      .map((name) => this.#read(name));
  }

  save(attached: Attached): void {
    const file = path.join(this.directory(attached.name), RECORD);
    writeFileSync(`${file}.new`, JSON.stringify(attached));
    renameSync(`${file}.new`, file);
  }

  remove(name: string): void {
    rmSync(this.directory(name), { recursive: true, force: true });
  }

  #read(name: string): Attached {
    const file = path.join(this.directory(name), RECORD);
    try {
      const record: unknown = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null;
      if (isRecord(record)) return { ...record, name };
    } catch (error) {
      this.#log.warn('record of a device cannot be read', { volume: name, error });
    }
    // Cut off while it was attached: nothing of it lives for anybody.
    return { name, uid: '', socket: '', sizeBytes: 0, readonly: false, way: 'fuse', device: '', failed: false, pids: [0] };
  }
}
