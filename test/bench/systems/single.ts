/** The ceiling: one copy, nbdkit's file plugin, straight to the client. */
import { closeSync, ftruncateSync, openSync, rmSync } from 'node:fs';
import path from 'node:path';
import { nbdTarget } from '../fio.ts';
import { type Running, Server, type System } from './system.ts';

export type Listen = { readonly socketPath: string } | { readonly port: number };

/** Its process is the server itself; its cache is the page cache, as for everybody else. */
export const nbdkit = (listen: Listen, file: string): Server =>
  new Server([
    'nbdkit',
    '--foreground',
    '--exit-with-parent',
    ...('port' in listen ? ['--ipaddr', '127.0.0.1', '--port', String(listen.port)] : ['--unix', listen.socketPath]),
    'file',
    file,
  ]);

export function makeFile(file: string, sizeBytes: number): string {
  const descriptor = openSync(file, 'w', 0o600);
  ftruncateSync(descriptor, sizeBytes);
  closeSync(descriptor);
  return file;
}

export class SingleCopy implements System {
  readonly name = 'single';
  readonly version: string;
  readonly #file: string;
  readonly #socketPath: string;
  #server: Server | null = null;

  constructor(directory: string, sizeBytes: number, version: string) {
    this.version = version;
    this.#file = makeFile(path.join(directory, 'single'), sizeBytes);
    this.#socketPath = path.join(directory, 'single.sock');
  }

  async start(): Promise<Running> {
    this.#server = nbdkit({ socketPath: this.#socketPath }, this.#file);
    await this.#server.untilThere(this.#socketPath);
    return { target: nbdTarget(this.#socketPath), socketPath: this.#socketPath, pids: [this.#server.pid], countsClient: false };
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    rmSync(this.#socketPath, { force: true });
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.#file, { force: true });
  }
}
