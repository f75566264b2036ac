/** How a stream socket becomes turns and bursts, on a stream whose timing the test decides. */

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { expect } from 'chai';
import { Receiver } from '../../../../agent/edge/directSocket.ts';
import { FrameSocket } from '../../../../agent/edge/replicationSocket.ts';
import { until } from '../../../support/until.ts';

/** The network's side: hands over what the test says, and writes down what reaches the system, call by call. */
class FakeSocket extends Duplex {
  readonly calls: string[] = [];

  override _read(): void {
    // What arrives is pushed by the test.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.calls.push(chunk.toString());
    done();
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.calls.push(chunks.map(({ chunk }) => chunk.toString()).join('+'));
    done();
  }

  setNoDelay(): void {
    this.calls.push('noDelay');
  }

  setKeepAlive(): void {
    this.calls.push('keepAlive');
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a socket of frames', () => {
  let socket: FakeSocket;
  let frames: FrameSocket;
  let heard: string[];
  let onReceived: () => void;

  beforeEach(() => {
    socket = new FakeSocket();
    heard = [];
    onReceived = () => undefined;
    frames = new FrameSocket(
      socket as unknown as Socket,
      { keepAliveMs: 1, closeTimeoutMs: 20 },
      {
        received: (chunk) => {
          heard.push(`received ${chunk}`);
          onReceived();
        },
        kept: () => 'earlier',
        room: () => null,
        filled: () => undefined,
        burstEnd: () => heard.push('end of burst'),
        lost: (reason) => heard.push(`lost: ${reason}`),
      },
    );
  });
  afterEach(() => socket.destroy());

  const frame = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text));

  it('waits for nobody’s next packet, and asks whether a silent peer lives', () => {
    expect(socket.calls).to.deep.equal(['noDelay', 'keepAlive']);
  });

  it('gives all that is written in one turn to the system at once', async () => {
    frames.write(frame('a', 'b'));
    frames.write(frame('c'));
    expect(socket.calls.slice(2)).to.deep.equal([]);
    expect(frames.bufferedBytes).to.equal(3);
    await turn();
    expect(socket.calls.slice(2)).to.deep.equal(['abc']);
    expect(frames.bufferedBytes).to.equal(0);
  });

  it('makes one burst of all that arrives in one turn', async () => {
    socket.push('1');
    socket.push('2');
    await until('it is heard', () => heard.includes('end of burst'));
    socket.push('3');
    await until('that is, too', () => heard.length === 5);
    expect(heard).to.deep.equal(['received 1', 'received 2', 'end of burst', 'received 3', 'end of burst']);
  });

  it('ends a burst before it tells that the peer has gone', async () => {
    socket.push('1');
    socket.push(null);
    await until('it is told', () => heard.length >= 3);
    expect(heard).to.deep.equal(['received 1', 'end of burst', 'lost: the peer closed the connection']);
  });

  it('tells once, whatever else the socket says', async () => {
    socket.destroy(new Error('connection reset'));
    await until('the socket is closed', () => socket.closed);
    await turn();
    expect(heard).to.deep.equal(['lost: connection reset']);
    frames.write(frame('late'));
    expect(frames.bufferedBytes).to.equal(0);
  });

  it('closed here, lets out what was written and says nothing more', async () => {
    frames.write(frame('last'));
    frames.close();
    frames.write(frame('later'));
    socket.push('unheard');
    await until('the socket is closed', () => socket.destroyed);
    expect(socket.calls.slice(2)).to.deep.equal(['last']);
    expect(heard).to.deep.equal([]);
  });

  it('closed here, leaves alone what is in use of all that came before, whatever still comes', () => {
    const receiver = new Receiver();
    const owner = { received: () => undefined, kept: () => 'chunk' as const, room: () => null, filled: () => undefined };
    const direct = new FrameSocket(
      socket as unknown as Socket,
      { keepAliveMs: 1, closeTimeoutMs: 20 },
      { ...owner, burstEnd: () => undefined, lost: () => undefined },
      receiver,
    );
    const read = (text: string): Buffer => {
      const { buffer, callback } = receiver.onread;
      const room = typeof buffer === 'function' ? buffer() : buffer;
      const target = Buffer.from(room.buffer, room.byteOffset, text.length);
      target.write(text);
      callback(text.length, target);
      return target;
    };
    read('what fills the first slab');
    const answer = read('the answer to a read');
    direct.close();
    read('what nobody hears');
    read('nor this');
    expect(answer.toString()).to.equal('the answer to a read');
  });

  it('closed in the middle of a burst, says nothing more of it', async () => {
    onReceived = () => frames.close();
    socket.push('1');
    socket.push('2');
    await until('the socket is closed', () => socket.destroyed);
    expect(heard).to.deep.equal(['received 1']);
  });
});
