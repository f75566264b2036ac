/** Where the outbox puts what it copies, on a socket that says by itself when it has sent. */
import type { Socket } from 'node:net';
import { expect } from 'chai';
import { Outbox } from '../../../../agent/edge/outbox.ts';

class SlowSocket {
  readonly given: Buffer[] = [];
  writableLength = 0;

  write(chunk: Buffer): void {
    this.given.push(chunk);
    this.writableLength += chunk.length;
  }

  cork(): void {
    // All writes are looked at one by one.
  }

  uncork(): void {
    // As above.
  }

  get said(): string[] {
    return this.given.map(String);
  }
}

describe('an outbox', () => {
  let socket: SlowSocket;
  let outbox: Outbox;
  beforeEach(() => {
    socket = new SlowSocket();
    outbox = new Outbox(socket as unknown as Socket);
  });
  const send = (...texts: string[]): void => {
    for (const text of texts) outbox.add(Buffer.from(text));
    outbox.send();
  };

  it('touches nothing that the socket has not sent', () => {
    send('one');
    send('two');
    expect(socket.said).to.deep.equal(['one', 'two']);
    socket.writableLength = 3;
    send('six');
    expect(socket.said).to.deep.equal(['one', 'two', 'six']);
  });

  it('uses the memory again once all of it is sent, however late the socket says so', () => {
    send('one');
    send('two');
    socket.writableLength = 0;
    send('a', 'b');
    const [first, , third] = socket.given;
    expect([third?.buffer === first?.buffer, third?.byteOffset === first?.byteOffset]).to.deep.equal([true, true]);
    expect(String(third)).to.equal('ab');
  });

  it('does not begin anew behind what waits to be sent in this turn', () => {
    send('one');
    outbox.add(Buffer.from('two'));
    socket.writableLength = 0;
    send('six');
    expect(socket.said).to.deep.equal(['one', 'twosix']);
  });

  it('sends long chunks from where they lie, in their order', () => {
    const long = Buffer.alloc(20_000, 'x');
    outbox.add(Buffer.from('a'));
    outbox.add(long);
    outbox.add(Buffer.from('b'));
    expect(outbox.lengthBytes).to.equal(20_002);
    outbox.send();
    expect(socket.given.map((chunk) => (chunk === long ? 'long' : String(chunk)))).to.deep.equal(['a', 'long', 'b']);
  });
});
