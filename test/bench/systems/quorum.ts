/**
 * qemu's quorum driver in qemu-nbd over three nbdkit servers: writes and flushes go to all three and are answered when all have answered. As with Holdfast one
 * copy is on a unix socket and two are on TCP over loopback. Reads ask one copy (`fifo`), as Holdfast does; its default asks all and compares.
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { findFreePort } from '../../../tools/local/ports.ts';
import { until } from '../../support/until.ts';
import { nbdTarget } from '../fio.ts';
import { connects } from './connects.ts';
import { type Listen, makeFile, nbdkit } from './single.ts';
import { type Running, Server, type System } from './system.ts';

const COPIES = 3;

export class Quorum implements System {
  readonly name = 'quorum';
  readonly version: string;
  readonly #exportName: string;
  readonly #directory: string;
  readonly #files: readonly string[];
  #servers: Server[] = [];

  /** `exportName`: the one that it serves; left out: the one without a name. */
  constructor(directory: string, sizeBytes: number, version: string, exportName = '') {
    this.version = version;
    this.#exportName = exportName;
    this.#directory = directory;
    this.#files = Array.from({ length: COPIES }, (_, index) => makeFile(path.join(directory, `quorum-${index}`), sizeBytes));
  }

  async start(): Promise<Running> {
    const ports: number[] = [];
    while (ports.length < COPIES - 1) ports.push(await findFreePort(new Set(ports)));
    const listens: Listen[] = [{ socketPath: this.#socketPath('child') }, ...ports.map((port) => ({ port }))];
    this.#servers = listens.map((listen, index) => nbdkit(listen, this.#files[index] ?? ''));
    for (const port of ports) await until(`nbdkit listens on ${port}`, () => connects(port));
    await this.#servers[0]?.untilThere(this.#socketPath('child'));
    const front = new Server([
      'qemu-nbd',
      '--persistent',
      '--shared=4',
      ...(this.#exportName === '' ? [] : [`--export-name=${this.#exportName}`]),
      '--socket',
      this.#socketPath('quorum'),
      '--image-opts',
      image(listens),
    ]);
    this.#servers.push(front);
    await front.untilThere(this.#socketPath('quorum'));
    const socketPath = this.#socketPath('quorum');
    return { target: nbdTarget(socketPath), socketPath, pids: this.#servers.map(({ pid }) => pid), countsClient: false };
  }

  async stop(): Promise<void> {
    for (const server of this.#servers.reverse()) await server.stop();
    this.#servers = [];
    for (const name of ['child', 'quorum']) rmSync(this.#socketPath(name), { force: true });
  }

  async remove(): Promise<void> {
    await this.stop();
    for (const file of this.#files) rmSync(file, { force: true });
  }

  #socketPath(name: string): string {
    return path.join(this.#directory, `${name}.sock`);
  }
}

function image(children: readonly Listen[]): string {
  const words = children.flatMap((listen, index) => {
    const child = `children.${index}`;
    const server = `${child}.server`;
    return [
      `${child}.driver=nbd`,
      ...('port' in listen
        ? [`${server}.type=inet`, `${server}.host=127.0.0.1`, `${server}.port=${listen.port}`]
        : [`${server}.type=unix`, `${server}.path=${listen.socketPath}`]),
    ];
  });
  return ['driver=quorum', `vote-threshold=${COPIES}`, 'read-pattern=fifo', ...words].join(',');
}
