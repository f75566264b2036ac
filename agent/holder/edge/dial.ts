/** A connection to a volume's NBD server for the kernel to have: shaken hands over here, spoken over there. Must never read a byte behind the handshake. */
import { connect, type Socket } from 'node:net';
import { messageOf, OperatingError } from '../../../core/errors.ts';
import { answerOf, encodeHello } from '../handshake.ts';

const ANSWER_MS_MAX = 10_000;

type Handle = { fd: number; readStop(): void };
export type Dialled = {
  descriptor: number;
  /** The export's. */
  flags: number;
  /** Ours is closed: the connection lives where the kernel has it, and ends where it has not. */
  close(): void;
};

export function dial(path: string, exported: string, signal?: AbortSignal): Promise<Dialled> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let received = Buffer.alloc(0);
    const refuse = (reason: string): void => {
      signal?.removeEventListener('abort', stop);
      socket.destroy();
      reject(new OperatingError('Unavailable', `connect to the export ${exported} at ${path}`, reason));
    };
    const stop = (): void => refuse('given up');
    if (signal?.aborted) return stop();
    signal?.addEventListener('abort', stop);
    socket.setTimeout(ANSWER_MS_MAX, () => refuse(`no answer within ${ANSWER_MS_MAX / 1_000} s`));
    socket.on('error', (error) => refuse(messageOf(error)));
    socket.on('close', () => refuse('it ends the connection'));
    socket.on('connect', () => socket.write(encodeHello(exported)));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const answer = answerOf(received);
      if (answer.is === 'trouble') refuse(answer.reason);
      if (answer.is !== 'ready') return;
      signal?.removeEventListener('abort', stop);
      resolve(handedOver(socket, answer.flags));
    });
  });
}

/** From here on not one byte of it is read by Node: what comes is for the kernel. */
function handedOver(socket: Socket, flags: number): Dialled {
  const { _handle: handle } = socket as unknown as { _handle: Handle };
  handle.readStop();
  socket.removeAllListeners('data').removeAllListeners('close').removeAllListeners('error');
  socket.setTimeout(0);
  socket.on('error', () => undefined);
  return { descriptor: handle.fd, flags, close: () => void socket.destroy() };
}
