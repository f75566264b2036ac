/** A volume served on a real socket in a directory of its own, and the real clients (libnbd's tools, qemu's, fio) run against it. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { NbdServer } from '../../agent/edge/nbdServer.ts';
import type { NbdLimits } from '../../agent/nbd/limits.ts';
import type { BlockDevice } from '../../agent/ports.ts';
import { CollectedEvents } from './nbdSession.ts';
import { until } from './until.ts';

const CLIENT_TIMEOUT_MS = 60_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export type Served = {
  readonly server: NbdServer;
  readonly events: CollectedEvents;
  readonly directory: string;
  readonly socketPath: string;
  /** `nbd+unix:///<name>?socket=…` */
  readonly uri: (name?: string) => string;
  /** Closes and removes everything. */
  readonly remove: () => Promise<void>;
};

export async function serve(device: BlockDevice, limits: Partial<NbdLimits> = {}): Promise<Served> {
  const directory = await mkdtemp(path.join(tmpdir(), 'holdfast-nbd-'));
  const socketPath = path.join(directory, `${device.name}.sock`);
  const events = new CollectedEvents();
  const server = await NbdServer.listen({ device, socketPath, events, limits });
  const remove = async () => {
    await server.close();
    await rm(directory, { recursive: true });
  };
  return { server, events, directory, socketPath, uri: (name = device.name) => `nbd+unix:///${name}?socket=${socketPath}`, remove };
}

export type Ran = { code: number; stdout: string; stderr: string };

/** Runs a client to its end; one that is not installed is an error, one that fails is a result. */
export function run(program: string, ...args: string[]): Promise<Ran> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: CLIENT_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX }, (error, stdout, stderr) => {
      if (error === null) resolve({ code: 0, stdout, stderr });
      else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
      else reject(new Error(`${program} ${args.join(' ')} did not run to its end: ${stderr}`, { cause: error }));
    });
  });
}

/** As `run`, for what must succeed; its standard output. */
export async function runWell(program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(program, ...args);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${stdout}${stderr}`);
  return stdout;
}

/** A client that does what no sane one does. */
export class RawClient {
  readonly socket: Socket;
  closed = false;
  receivedBytes = 0;
  #chunks: Buffer[] = [];

  constructor(socketPath: string) {
    this.socket = connect({ path: socketPath, allowHalfOpen: true });
    this.socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.receivedBytes += chunk.length;
    });
    // A reset shows as `closed`, as an orderly end does.
    this.socket.on('error', () => this.socket.destroy());
    this.socket.on('close', () => {
      this.closed = true;
    });
    this.socket.on('end', () => {
      this.closed = true;
    });
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Sends, and resolves when `lengthBytes` more have come. */
  async exchange(bytes: Buffer, lengthBytes: number): Promise<Buffer> {
    const before = this.receivedBytes;
    this.socket.write(bytes);
    await until(`${lengthBytes} bytes of answer`, () => this.receivedBytes >= before + lengthBytes);
    return this.received.subarray(before);
  }
}
