/**
 * The NBD socket of one volume as it should be, and as it is.
 *
 *   closed --open--> opening --listening--> open --close--> closing --no connection left--> closed
 *   opening, open, closing --drop--> closed, at once: not a byte more to anybody
 *
 * It must never let an answer out after `drop`, also not from a server that was only about to listen.
 */
import type { Clock } from '../../core/clock.ts';
import { messageOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { retryDelayMs } from '../control/calls.ts';
import type { ListenOnSocket, SocketServer } from '../control/engines.ts';
import type { BlockDevice } from '../ports.ts';

/** A volume's name becomes a file's: whatever it is, it stays in its directory. */
const FILE_NAME = /^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,251}[a-zA-Z0-9])?$/;

export type VolumeSocketOptions = {
  directory: string;
  name: string;
  listen: ListenOnSocket;
  clock: Clock;
  log: Log;
  /** `path` or `problem` may be another now. */
  changed: () => void;
};

type State = 'closed' | 'opening' | 'open' | 'closing';

export class VolumeSocket {
  readonly #options: VolumeSocketOptions;
  readonly #path: string;
  #state: State = 'closed';
  #wanted: BlockDevice | null = null;
  #server: SocketServer | null = null;
  /** Rises with each drop: a server that began to listen before it must not answer. */
  #drops = 0;
  #failures = 0;
  #notBeforeMs = 0;
  #problem: string | null = null;

  constructor(options: VolumeSocketOptions) {
    this.#options = options;
    this.#path = `${options.directory}/${options.name}.sock`;
  }

  /** Where clients connect, while they can. */
  get path(): string | null {
    return this.#state === 'open' ? this.#path : null;
  }

  /** Why it is not open though it should be. */
  get problem(): string | null {
    return this.#problem;
  }

  get isClosed(): boolean {
    return this.#state === 'closed' && this.#wanted === null;
  }

  open(device: BlockDevice): void {
    this.#wanted = device;
    this.#step();
  }

  close(): void {
    this.#wanted = null;
    this.#problem = null;
    this.#step();
  }

  drop(): void {
    this.#wanted = null;
    this.#problem = null;
    this.#drops++;
    this.#server?.stopAnswering();
    this.#server = null;
    // One that is about to listen is dropped when it does.
    if (this.#state !== 'opening') this.#become('closed');
  }

  tick(): void {
    this.#step();
  }

  #step(): void {
    if (this.#state === 'closed' && this.#wanted) this.#listen(this.#wanted);
    else if (this.#state === 'open' && !this.#wanted && this.#server) this.#close(this.#server);
  }

  #listen(device: BlockDevice): void {
    const { name, listen, clock } = this.#options;
    if (clock.monotonicMs() < this.#notBeforeMs) return;
    if (!FILE_NAME.test(name)) {
      this.#failed(`the volume's name cannot be that of a socket: ${JSON.stringify(name)}`);
      return;
    }
    const drops = this.#drops;
    this.#become('opening');
    listen(device, this.#path).then(
      (server) => this.#listening(server, drops),
      (error: unknown) => {
        this.#become('closed');
        if (this.#wanted) this.#failed(messageOf(error));
      },
    );
  }

  #listening(server: SocketServer, drops: number): void {
    if (drops !== this.#drops) {
      server.stopAnswering();
      this.#become('closed');
    } else {
      this.#server = server;
      this.#failures = 0;
      this.#problem = null;
      this.#become('open');
    }
    this.#step();
  }

  /** The state of the server is its own till its last connection has gone; a socket opened again meanwhile would be another server's. */
  #close(server: SocketServer): void {
    const drops = this.#drops;
    this.#become('closing');
    const ended = () => {
      if (drops !== this.#drops) return;
      this.#server = null;
      this.#become('closed');
      this.#step();
    };
    server.close().then(ended, (error: unknown) => {
      this.#options.log.error('socket did not close cleanly', { error });
      ended();
    });
  }

  #failed(problem: string): void {
    this.#failures++;
    this.#notBeforeMs = this.#options.clock.monotonicMs() + retryDelayMs(this.#failures);
    if (this.#problem === problem) return;
    this.#problem = problem;
    this.#options.log.error('socket cannot be opened, trying again', { socket: this.#path, problem });
    this.#options.changed();
  }

  #become(state: State): void {
    const was = this.#state;
    this.#state = state;
    if (was === state || (was !== 'open' && state !== 'open')) return;
    this.#options.log.info(state === 'open' ? 'socket opened' : 'socket closed', { socket: this.#path });
    this.#options.changed();
  }
}
