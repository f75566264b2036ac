/**
 * What lies between the processes, so that it can be cut: agents reach each other, and etcd, through relays in this process, which can stop either
 * direction of what runs between two of them. Bytes that are stopped are not lost, as in a network that resends: they arrive late, when the cut is
 * mended. Changes no byte, and never lets one through that a cut holds back.
 *
 * Each agent says that it is reached at an address of loopback of its own, and listens on another; whoever dialled is found by its port.
 */
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';

export const LISTEN_HOST = '127.0.0.1';

/** A node, or etcd. */
type Party = string;
export type Endpoint = { host: string; port: number };

export class Relays {
  readonly #pidOf: (node: string) => number | undefined;
  readonly #nodes: readonly string[];
  readonly #servers = new Map<string, Server>();
  readonly #pipes = new Set<Pipe>();
  /** That were made between two agents: without any, cuts have cut nothing. */
  connections = 0;
  /** `from>to`, and how many cuts there are of it. */
  readonly #cuts = new Map<string, number>();

  constructor(nodes: readonly string[], pidOf: (node: string) => number | undefined) {
    this.#nodes = nodes;
    this.#pidOf = pidOf;
  }

  /** Takes connections there, of one party or (null) of whichever node dials. A second relay at the same place is the first one. */
  async listen(at: Endpoint, dialler: Party | null, dialled: Party, target: () => Endpoint | null): Promise<void> {
    const name = `${at.host}:${at.port}`;
    if (this.#servers.has(name)) return;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      socket.on('error', () => undefined); // its close is what counts
      const from = dialler ?? this.#whoDialled(socket, at);
      const to = target();
      if (from === null || to === null) socket.destroy();
      else this.#join(socket, connect({ ...to, allowHalfOpen: true }), from, dialled);
    });
    this.#servers.set(name, server);
    server.listen(at.port, at.host);
    await once(server, 'listening');
  }

  /** Nothing goes from the one to the other until the function that it gives is called. */
  cut(from: Party, to: Party): () => void {
    const flow = `${from}>${to}`;
    this.#count(flow, 1);
    let isCut = true;
    return () => {
      if (isCut) this.#count(flow, -1);
      isCut = false;
    };
  }

  close(): void {
    for (const server of this.#servers.values()) server.close();
    for (const pipe of this.#pipes) pipe.destroy();
  }

  #count(flow: string, change: number): void {
    this.#cuts.set(flow, (this.#cuts.get(flow) ?? 0) + change);
    for (const pipe of this.#pipes) pipe.update();
  }

  #join(dialling: Socket, dialled: Socket, from: Party, to: Party): void {
    dialled.on('error', () => undefined);
    dialled.pause();
    if (to !== 'etcd') this.connections++;
    for (const socket of [dialling, dialled]) socket.setNoDelay(true);
    this.#pipe(dialling, dialled, `${from}>${to}`);
    this.#pipe(dialled, dialling, `${to}>${from}`);
  }

  #pipe(source: Socket, sink: Socket, flow: string): void {
    const isCut = () => (this.#cuts.get(flow) ?? 0) > 0;
    const pipe: Pipe = new Pipe(source, sink, isCut, () => this.#pipes.delete(pipe));
    this.#pipes.add(pipe);
    pipe.update();
  }

  #whoDialled(socket: Socket, at: Endpoint): Party | null {
    const inode = inodeOfDialler(socket, at);
    if (inode === null) return null;
    return this.#nodes.find((node) => holdsSocket(this.#pidOf(node), inode)) ?? null;
  }
}

/** One direction of a connection. */
class Pipe {
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #isCut: () => boolean;
  readonly #ended: () => void;
  #hasEnded = false;

  constructor(source: Socket, sink: Socket, isCut: () => boolean, ended: () => void) {
    this.#source = source;
    this.#sink = sink;
    this.#isCut = isCut;
    this.#ended = ended;
    source.on('data', (chunk: Buffer) => {
      if (!sink.write(chunk)) source.pause();
    });
    source.once('end', () => sink.end());
    source.once('close', () => this.#sourceClosed());
    sink.on('drain', () => this.update());
  }

  update(): void {
    if (this.#hasEnded) this.#sourceClosed();
    else if (this.#isCut() || this.#sink.writableNeedDrain) this.#source.pause();
    else this.#source.resume();
  }

  destroy(): void {
    this.#source.destroy();
    this.#sink.destroy();
  }

  /** Whoever is behind a cut does not hear of the end either. */
  #sourceClosed(): void {
    this.#hasEnded = true;
    if (this.#isCut()) return;
    this.#ended();
    if (this.#source.readableEnded) this.#sink.end();
    else this.#sink.destroy();
  }
}

const INODE_COLUMN = 9;

/** The kernel's list of connections knows both ends; the one that dialled has our port as its remote. */
function inodeOfDialler({ remotePort }: Socket, { port }: Endpoint): string | null {
  const hex = (number = 0): string => number.toString(16).toUpperCase().padStart(4, '0');
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
    const columns = line.trim().split(/\s+/);
    if (columns[1]?.endsWith(`:${hex(remotePort)}`) && columns[2]?.endsWith(`:${hex(port)}`)) return columns[INODE_COLUMN] ?? null;
  }
  return null; // it has gone already
}

function holdsSocket(pid: number | undefined, inode: string): boolean {
  if (pid === undefined) return false;
  try {
    return readdirSync(`/proc/${pid}/fd`).some((descriptor) => linkOf(pid, descriptor) === `socket:[${inode}]`);
  } catch {
    return false; // the process has ended
  }
}

function linkOf(pid: number, descriptor: string): string | null {
  try {
    return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
  } catch {
    return null; // closed meanwhile
  }
}
