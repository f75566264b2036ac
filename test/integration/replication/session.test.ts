/** Sessions over real sockets on loopback, with mutual TLS: what is sent arrives, in order and whole, or the connection ends. */

import { createHash } from 'node:crypto';
import { expect } from 'chai';
import type { FromReplica, ToReplica } from '../../../core/wire/messages.ts';
import type { Certificates } from '../../../edge/tls.ts';
import { until } from '../../support/until.ts';
import { CertificateShelf, CuttingProxy, PrimaryEnd, ReplicaEnd, SEAL, SEALED } from './support.ts';

/** Long enough for 24 MiB over TLS on a machine that runs other tests too. */
const CLOSE_MS = 3_000;
const MIB = 1024 * 1024;

const digest = (chunks: readonly Buffer[]): string => {
  const hash = createHash('sha256');
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
};

function noise(lengthBytes: number, seed: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  let state = seed;
  for (let at = 0; at < lengthBytes; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
}

const write = (sequence: number, chunks: Buffer[]): ToReplica => ({
  type: 'write',
  sequence,
  settled: sequence - 1,
  version: 3,
  offsetBytes: sequence * 4096,
  lengthBytes: chunks.reduce((bytes, chunk) => bytes + chunk.length, 0),
  chunks,
});

const MODES: { name: string; isSecure: boolean }[] = [
  { name: 'mutual TLS', isSecure: true },
  { name: 'plain TCP', isSecure: false },
];

for (const { name, isSecure } of MODES) {
  describe(`a session over ${name}`, () => {
    let shelf: CertificateShelf;
    let nodeA: Certificates | null = null;
    let nodeB: Certificates | null = null;
    let replica: ReplicaEnd;
    const proxies: CuttingProxy[] = [];
    const primaries: PrimaryEnd[] = [];

    before(async () => {
      shelf = await CertificateShelf.open();
      if (!isSecure) return;
      nodeA = await shelf.of('agent:node-a');
      nodeB = await shelf.of('agent:node-b');
    });
    after(() => shelf.remove());
    beforeEach(async () => {
      replica = await ReplicaEnd.listen({ certificates: nodeB, limits: { closeTimeoutMs: CLOSE_MS } });
    });
    afterEach(async () => {
      for (const primary of primaries.splice(0)) primary.link.close();
      for (const proxy of proxies.splice(0)) proxy.close();
      await replica.server?.close();
    });

    function open(port = replica.port): PrimaryEnd {
      const primary = new PrimaryEnd({ port, certificates: nodeA, limits: { closeTimeoutMs: CLOSE_MS } });
      primaries.push(primary);
      return primary;
    }

    const sealed = async (primary: PrimaryEnd): Promise<void> => {
      await until('the Seal is answered', () => primary.types[0] === 'sealed');
    };

    it('begins with the Seal, as it was sent, from the node that the certificate names', async () => {
      const primary = open();
      await sealed(primary);
      expect(replica.seals).to.deep.equal([SEAL]);
      expect(primary.heard).to.deep.equal([SEALED]);
      expect(replica.links[0]?.peer).to.equal(isSecure ? 'agent:node-a' : '127.0.0.1');
    });

    it('keeps what is sent before it stands, counts it, and sends it behind the Seal', async () => {
      const primary = open();
      const before = primary.link.bufferedBytes;
      expect(before).to.be.greaterThan(96);
      primary.send(write(1, [Buffer.alloc(10_000)]));
      expect(primary.link.bufferedBytes).to.equal(before + 10_096);
      primary.send({ type: 'flush', id: 1 });
      await until('both are heard', () => replica.heard.length === 2);
      expect(replica.heard.map((message) => message.type)).to.deep.equal(['write', 'flush']);
      await until('the network took all', () => primary.link.bufferedBytes === 0);
    });

    it('keeps the order of everything in both directions, in bursts', async () => {
      const count = 3_000;
      replica.onMessage = (message, link) => {
        if (message.type === 'read')
          link.send({ type: 'data', id: message.id, chunks: [noise(message.lengthBytes, message.id)], lengthBytes: message.lengthBytes });
        if (message.type === 'flush') link.send({ type: 'done', id: message.id });
      };
      const primary = open();
      const wanted: string[] = [];
      for (let id = 1; id <= count; id++) {
        const isRead = id % 3 === 0;
        primary.send(isRead ? { type: 'read', id, offsetBytes: 0, lengthBytes: 1 + (id % 9000) } : { type: 'flush', id });
        wanted.push(`${isRead ? 'data' : 'done'} ${id}`);
      }
      await until('all are answered', () => primary.heard.length === count + 1);
      expect(primary.heard.slice(1).map((message) => ('id' in message ? `${message.type} ${message.id}` : ''))).to.deep.equal(wanted);
      expect(primary.bursts).to.be.within(1, count / 2);
      expect(replica.bursts).to.be.within(1, count / 2);
      expect(primary.wasReentered).to.equal(false);
    });

    it('acts on a burst before anything else arrives: one acknowledgement for what came together', async () => {
      let last = 0;
      replica.onMessage = (message) => {
        if (message.type === 'write') last = message.sequence;
      };
      replica.onBurstEnd = (link) => link.send({ type: 'applied', sequence: last });
      const primary = open();
      await sealed(primary);
      for (let sequence = 1; sequence <= 200; sequence++) primary.send(write(sequence, [Buffer.alloc(512, sequence)]));
      const isLast = (message: FromReplica | undefined): boolean => message?.type === 'applied' && message.sequence === 200;
      await until('the last is applied', () => isLast(primary.heard.at(-1)));
      expect(primary.types.filter((type) => type === 'applied').length).to.be.at.most(100);
    });

    it('carries the largest frames whole, both ways', async () => {
      const sent = [noise(32 * MIB - 777, 1), noise(777, 2)];
      const back = noise(32 * MIB, 3);
      replica.onMessage = (message, link) => {
        if (message.type === 'read') link.send({ type: 'data', id: 1, chunks: [back], lengthBytes: back.length });
      };
      const primary = open();
      primary.send(write(1, sent));
      primary.send({ type: 'read', id: 1, offsetBytes: 0, lengthBytes: back.length });
      const data = await until('the data is back', () => primary.heard[1]);
      const heard = replica.heard[0];
      expect(heard?.type === 'write' && digest(heard.chunks)).to.equal(digest(sent));
      expect(data.type === 'data' && digest(data.chunks)).to.equal(digest([back]));
    }).timeout(30_000);

    it('does not mind how the network cuts the stream', async () => {
      const proxy = await CuttingProxy.open(replica.port);
      proxies.push(proxy);
      proxy.pieceBytes = 37;
      const primary = open(proxy.port);
      const payloads = Array.from({ length: 30 }, (_, index) => noise(1 + index * 211, index));
      for (const [index, payload] of payloads.entries()) primary.send(write(index + 1, [payload]));
      await until('all are heard', () => replica.heard.length === payloads.length);
      const digests = replica.heard.map((message) => (message.type === 'write' ? digest(message.chunks) : ''));
      expect(digests).to.deep.equal(payloads.map((payload) => digest([payload])));
    });

    it('cut in the middle of a frame, ends at both ends, and the frame is never heard', async () => {
      const proxy = await CuttingProxy.open(replica.port);
      proxies.push(proxy);
      proxy.cutAfterBytes = 3 * MIB;
      const primary = open(proxy.port);
      primary.send(write(1, [noise(MIB, 1)]));
      primary.send(write(2, [noise(4 * MIB, 2)]));
      await until('the primary hears the end', () => primary.closedWith);
      await until('the replica hears the end', () => replica.sessionsClosed === 1);
      expect(replica.heard.map((message) => message.type === 'write' && message.sequence)).to.deep.equal([1]);
      expect(replica.refusals).to.deep.equal([]);
      expect(replica.closedWith).to.have.lengthOf(1);
    });

    it('tells the primary when the replica’s end goes, and drops what is sent afterwards', async () => {
      const primary = open();
      await sealed(primary);
      await replica.server?.close();
      await until('the primary hears the end', () => primary.closedWith);
      primary.send({ type: 'flush', id: 1 });
      expect(primary.link.bufferedBytes).to.equal(0);
      primary.link.close();
      expect(primary.types).to.deep.equal(['sealed']);
    });

    it('closed by the primary: its last message arrives, it hears nothing more, not even the end', async () => {
      replica.onMessage = (_, link) => link.send({ type: 'pong', id: 1 });
      const primary = open();
      await sealed(primary);
      primary.send({ type: 'release' });
      primary.link.close();
      primary.send({ type: 'flush', id: 1 });
      await until('the replica hears the end', () => replica.sessionsClosed === 1);
      expect(replica.heard).to.deep.equal([{ type: 'release' }]);
      // What came with the end is acted on before the end.
      expect(replica.order.slice(-3)).to.deep.equal(['release', 'end of burst', 'closed']);
      await until('the connection is gone', () => replica.server?.connectionCount === 0);
      expect(primary.types).to.deep.equal(['sealed']);
      expect(primary.closedWith).to.equal(null);
    });

    it('closed by the primary in the middle of a burst: the rest of it is not heard', async () => {
      const primary = open();
      await sealed(primary);
      primary.onMessage = () => primary.link.close();
      for (let id = 1; id <= 5; id++) replica.links[0]?.send({ type: 'pong', id });
      await until('the replica hears the end', () => replica.sessionsClosed === 1);
      expect(primary.types).to.deep.equal(['sealed', 'pong']);
    });

    it('closed by the replica with much on its way: all of it arrives', async () => {
      const primary = open();
      await sealed(primary);
      const data = noise(8 * MIB, 1);
      for (let id = 1; id <= 3; id++) replica.links[0]?.send({ type: 'data', id, chunks: [data], lengthBytes: data.length });
      replica.links[0]?.send({ type: 'failed', message: 'the disk is gone' });
      replica.links[0]?.close('failed');
      await until('the primary hears the end', () => primary.closedWith);
      expect(primary.types).to.deep.equal(['sealed', 'data', 'data', 'data', 'failed']);
    });

    it('closed by the replica: its last message arrives, though the primary goes on sending all the time', async () => {
      replica.onMessage = (message, link) => {
        if (message.type !== 'flush') return;
        link.send({ type: 'failed', message: 'the disk is gone' });
        link.close('failed');
        link.send({ type: 'done', id: 1 });
      };
      const primary = open();
      await sealed(primary);
      primary.send({ type: 'flush', id: 1 });
      for (let sequence = 1; sequence <= 20; sequence++) primary.send(write(sequence, [Buffer.alloc(MIB)]));
      await until('the primary hears the end', () => primary.closedWith);
      expect(primary.heard.at(-1)).to.deep.equal({ type: 'failed', message: 'the disk is gone' });
      expect(replica.heard.map((message) => message.type)).to.deep.equal(['flush']);
      expect(replica.sessionsClosed).to.equal(0);
      await until('the connection is gone', () => replica.server?.connectionCount === 0);
    });

    it('refused at the Seal: the primary hears the refusal, then the end', async () => {
      const refused: FromReplica = { type: 'refused', code: 'fenced', message: 'epoch 2 is promised', promisedEpoch: 2, seenVersion: 4 };
      replica.onSeal = (link) => {
        link.send(refused);
        link.close('fenced');
      };
      const primary = open();
      primary.send({ type: 'flush', id: 1 });
      await until('the primary hears the end', () => primary.closedWith);
      expect(primary.heard).to.deep.equal([refused]);
      expect(replica.heard).to.deep.equal([]);
    });

    it('of one volume ends without touching another’s on the same port', async () => {
      const first = open();
      const second = open();
      await sealed(first);
      await sealed(second);
      first.link.close();
      await until('the first is gone', () => replica.server?.connectionCount === 1);
      second.send({ type: 'flush', id: 1 });
      await until('the second is heard', () => replica.heard.length === 1);
      expect(second.closedWith).to.equal(null);
    });

    it('holds no connection of a peer that neither reads nor leaves', async () => {
      const proxy = await CuttingProxy.open(replica.port);
      proxies.push(proxy);
      const primary = open(proxy.port);
      await sealed(primary);
      const data = noise(8 * MIB, 1);
      proxy.stall();
      replica.links[0]?.send({ type: 'data', id: 1, chunks: [data], lengthBytes: data.length });
      replica.links[0]?.close('enough');
      await until('the connection is gone', () => replica.server?.connectionCount === 0);
    });
  });
}
