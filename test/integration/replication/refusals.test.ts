/** Who breaks a rule loses its own connection, with the rule named, and nothing of it is done; who proves to be somebody else is told nothing and sends nothing. */

import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { expect } from 'chai';
import { decoderFromReplica } from '../../../core/wire/decode.ts';
import { Encoder } from '../../../core/wire/encode.ts';
import type { FromReplica, ToReplica } from '../../../core/wire/messages.ts';
import { INSTANCE } from '../../support/configs.ts';
import { until } from '../../support/until.ts';
import { buildFrame } from '../../unit/core/wire/builder.ts';
import { listening } from './listening.ts';
import { HOST, PrimaryEnd, type RawClient, ReplicaEnd, SEAL } from './support.ts';

const LIMITS = { sealTimeoutMs: 300, connectTimeoutMs: 400, closeTimeoutMs: 300, unsentBytesMax: 4 * 1024 * 1024, connectionsMax: 3 };
const encoder = new Encoder(SEAL);
const frame = (message: ToReplica): Buffer => Buffer.concat(encoder.encode(message));
/** Of the session that SEAL opens. */
const ofSession = { epoch: 1n, instance: BigInt(`0x${INSTANCE}`) };

describe('the replication port', () => {
  const ends = listening(LIMITS);

  /** What the replica's end said to a client that keeps no rule. */
  function answers(client: RawClient): FromReplica[] {
    const heard: FromReplica[] = [];
    const decoder = decoderFromReplica(SEAL, (message) => heard.push(message));
    for (const chunk of client.received) expect(decoder.push(chunk)).to.equal(null);
    return heard;
  }

  describe('at the handshake', () => {
    it('refuses a client without a certificate', async () => {
      const client = ends.raw(null);
      client.socket.write(frame(SEAL));
      expect(await ends.refusal()).to.include({ rule: 'handshake', peer: HOST });
      await until('the connection is gone', () => client.isClosed && ends.replica.server?.connectionCount === 0);
      ends.nothingWasHeard();
    });

    it('refuses a client whose certificate another authority made', async () => {
      const client = ends.raw(await ends.shelf.of('agent:node-a', 'theirs'));
      client.socket.write(frame(SEAL));
      expect((await ends.refusal()).rule).to.equal('handshake');
      await until('the connection is gone', () => client.isClosed);
      ends.nothingWasHeard();
    });

    it('refuses a client that speaks no TLS', async () => {
      const client = ends.plain();
      client.socket.write(frame(SEAL));
      expect((await ends.refusal()).rule).to.equal('handshake');
      await until('the connection is gone', () => client.isClosed);
      ends.nothingWasHeard();
    });

    it('refuses a client that says nothing at all', async () => {
      const client = ends.plain();
      expect((await ends.refusal()).rule).to.equal('handshake');
      await until('the connection is gone', () => client.isClosed && ends.replica.server?.connectionCount === 0);
    });

    it('takes no more connections than its maximum, and takes one again when one has gone', async () => {
      const first = Array.from({ length: LIMITS.connectionsMax }, () => ends.open());
      await until('all are open', () => ends.replica.seals.length === first.length);
      const tooMany = ends.open();
      await until('the next is dropped', () => tooMany.closedWith);
      expect(await ends.refusal()).to.include({ rule: 'connectionsMax', message: 'more than 3 connections' });
      first[0]?.link.close();
      await until('one has gone', () => ends.replica.server?.connectionCount === 2);
      const late = ends.open();
      await until('it is open', () => late.types[0] === 'sealed');
    });
  });

  describe('at the Seal', () => {
    it('refuses a peer that sends none in time', async () => {
      const client = ends.raw();
      expect(await ends.refusal()).to.deep.equal({ peer: 'agent:node-a', rule: 'sealTimeout', message: 'no Seal within 300 ms' });
      await until('the connection is gone', () => client.isClosed && ends.replica.server?.connectionCount === 0);
    });

    it('does not count that time any more once the Seal has come', async () => {
      const primary = ends.open();
      await until('it is open', () => primary.types[0] === 'sealed');
      ends.raw();
      // That one connected later; so when its time is over, the other's is, too.
      expect((await ends.refusal()).rule).to.equal('sealTimeout');
      await until('the silent one is gone', () => ends.replica.server?.connectionCount === 1);
      expect(primary.closedWith).to.equal(null);
    });

    it('refuses half a Seal just so', async () => {
      const client = ends.raw();
      client.socket.write(frame(SEAL).subarray(0, 200));
      expect((await ends.refusal()).rule).to.equal('sealTimeout');
      await until('the connection is gone', () => client.isClosed);
      ends.nothingWasHeard();
    });

    for (const [who, name] of [
      ['another agent', 'agent:node-c'],
      ['an operator of the primary’s name', 'operator:node-a'],
    ] as const) {
      it(`refuses that of a primary that the peer is not: ${who}`, async () => {
        const primary = ends.open(await ends.shelf.of(name));
        const message = `a Seal of primary node-a from ${name}`;
        expect(await ends.refusal()).to.deep.equal({ peer: name, rule: 'peer', message });
        await until('the primary hears the end', () => primary.closedWith);
        expect(primary.heard).to.deep.equal([{ type: 'refused', code: 'protocol', message, promisedEpoch: 0, seenVersion: 0 }]);
        ends.nothingWasHeard();
      });
    }

    it('refuses that of a peer whose certificate names nobody of ours', async () => {
      const primary = ends.open(await ends.shelf.of('node-a'));
      expect(await ends.refusal()).to.include({ rule: 'peer', message: 'a Seal of primary node-a from nobody' });
      await until('the primary hears the end', () => primary.closedWith);
      ends.nothingWasHeard();
    });

    const strangers = { 'operator:operator': 'operator:operator', 'metrics:prometheus': 'nobody', etcd: 'nobody' };
    for (const [commonName, said] of Object.entries(strangers))
      it(`refuses that of ${commonName}`, async () => {
        const primary = ends.open(await ends.shelf.of(commonName));
        expect(await ends.refusal()).to.include({ rule: 'peer', message: `a Seal of primary node-a from ${said}` });
        await until('the primary hears the end', () => primary.closedWith);
        ends.nothingWasHeard();
      });

    it('refuses anything else first', async () => {
      const client = ends.raw();
      client.socket.write(Buffer.concat([frame({ type: 'flush', id: 1 }), frame(SEAL)]));
      expect(await ends.refusal()).to.deep.equal({ peer: 'agent:node-a', rule: 'order', message: 'flush before the Seal' });
      await until('the connection is gone', () => client.isClosed);
      ends.nothingWasHeard();
    });

    it('refuses another version, and says which one it speaks', async () => {
      const client = ends.raw();
      client.socket.write(buildFrame({ ...ofSession, type: 1, protocolVersion: 2, body: Buffer.from('{"a":1}') }));
      expect((await ends.refusal()).rule).to.equal('protocolVersion');
      await until('the connection is gone', () => client.isClosed);
      expect(answers(client)).to.deep.equal([
        { type: 'refused', code: 'protocol', message: 'protocol version 2, this side speaks 1', promisedEpoch: 0, seenVersion: 0 },
      ]);
      ends.nothingWasHeard();
    });

    it('refuses garbage', async () => {
      const client = ends.raw();
      client.socket.write(Buffer.alloc(4096, 'GET / HTTP/1.1\r\n'));
      expect((await ends.refusal()).rule).to.equal('magic');
      await until('the connection is gone', () => client.isClosed);
      ends.nothingWasHeard();
    });
  });

  describe('in a session', () => {
    const broken: [string, Buffer, string, string][] = [
      [
        'a frame of another epoch',
        buildFrame({ ...ofSession, type: 6, epoch: 3n, number: 1n }),
        'epoch',
        'epoch 3 in a session of epoch 1',
      ],
      [
        'a frame of another instance',
        buildFrame({ ...ofSession, type: 6, instance: 1n }),
        'instance',
        'a frame of another instance than the session',
      ],
      [
        'a body that is too long',
        buildFrame({ ...ofSession, type: 2, length: 1n, bodyBytes: 40_000_000 }),
        'bodyLength',
        'body of 40000000 bytes is longer than 33619968',
      ],
      [
        'a body that was changed on its way',
        buildFrame({ ...ofSession, type: 2, number: 1n, length: 3n, bodyChecksum: 1, body: Buffer.from('abc') }),
        'bodyChecksum',
        'body checksum does not match',
      ],
      [
        'a header that was changed on its way',
        buildFrame({ ...ofSession, type: 6, headerChecksum: 1 }),
        'headerChecksum',
        'header checksum does not match',
      ],
      ['a second Seal', frame(SEAL), 'order', 'a second Seal in one session'],
    ];
    for (const [what, bytes, rule, message] of broken) {
      it(`ends the session for ${what}, and no other`, async () => {
        const other = ends.open();
        await until('the other is open', () => other.types[0] === 'sealed');
        const client = ends.raw();
        client.socket.write(Buffer.concat([frame(SEAL), bytes, frame({ type: 'flush', id: 9 })]));
        expect(await ends.refusal()).to.deep.equal({ peer: 'agent:node-a', rule, message });
        await until('the connection is gone', () => client.isClosed);
        await until('its session hears the end', () => ends.replica.sessionsClosed === 1);
        expect(ends.replica.heard).to.deep.equal([]);
        expect(answers(client).at(-1)).to.deep.equal({ type: 'refused', code: 'protocol', message, promisedEpoch: 0, seenVersion: 0 });
        other.send({ type: 'flush', id: 1 });
        await until('the other is heard', () => ends.replica.heard.length === 1);
        expect(other.closedWith).to.equal(null);
      });
    }

    it('ends the session of a peer that does not read what it asked for', async () => {
      const client = ends.raw();
      client.socket.pause();
      client.socket.write(frame(SEAL));
      const link = await until('the Seal is heard', () => ends.replica.links[0]);
      const data = Buffer.alloc(1024 * 1024);
      for (let id = 1; id <= 20; id++) link.send({ type: 'data', id, chunks: [data], lengthBytes: data.length });
      expect(ends.replica.sessionsClosed).to.equal(0);
      expect(await ends.refusal()).to.deep.equal({
        peer: 'agent:node-a',
        rule: 'unsentBytesMax',
        message: 'more than 4194304 bytes wait to be sent',
      });
      expect(ends.replica.sessionsClosed).to.equal(1);
      await until('the connection is gone', () => ends.replica.server?.connectionCount === 0);
    });
  });

  describe('seen from the primary', () => {
    it('is told nothing, if it is another node than it should be', async () => {
      const other = await ReplicaEnd.listen({ certificates: await ends.shelf.of('agent:node-c'), limits: LIMITS });
      const primary = ends.open(ends.nodeA, other.port);
      const reason = await until('the primary hears the end', () => primary.closedWith);
      expect(reason).to.equal(`the peer at ${HOST} proved to be agent:node-c, not agent:node-b`);
      expect(primary.refusals).to.deep.equal([{ peer: 'agent:node-b', rule: 'peer', message: reason }]);
      await until('the connection is gone', () => other.server?.connectionCount === 0);
      expect(other.seals).to.deep.equal([]);
      await other.server?.close();
    });

    it('is told nothing, if another authority vouches for it', async () => {
      const other = await ReplicaEnd.listen({ certificates: await ends.shelf.of('agent:node-b', 'theirs'), limits: LIMITS });
      const primary = ends.open(ends.nodeA, other.port);
      const reason = await until('the primary hears the end', () => primary.closedWith);
      expect(reason).to.match(/^no connection to node-b at 127\.0\.0\.1:\d+: /);
      expect(primary.refusals.map((refused) => refused.rule)).to.deep.equal(['handshake']);
      expect(other.seals).to.deep.equal([]);
      await other.server?.close();
    });

    it('ends the session when it breaks a rule', async () => {
      const plain = createServer((socket) => socket.write(buildFrame({ ...ofSession, epoch: 2n, type: 67, number: 1n })));
      await listen(plain);
      const primary = new PrimaryEnd({ port: portOf(plain), certificates: null, limits: LIMITS });
      const reason = await until('the primary hears the end', () => primary.closedWith);
      expect(reason).to.equal('applied before the Seal was answered');
      expect(primary.refusals).to.deep.equal([{ peer: 'agent:node-b', rule: 'order', message: reason }]);
      expect(primary.heard).to.deep.equal([]);
      plain.close();
    });

    it('is given up, if it does not prove itself in time', async () => {
      const sockets: Socket[] = [];
      const mute = createServer((socket) => {
        socket.resume();
        sockets.push(socket);
      });
      await listen(mute);
      const primary = ends.open(ends.nodeA, portOf(mute));
      const reason = await until('the primary hears the end', () => primary.closedWith);
      expect(reason).to.equal(`no connection to node-b at ${HOST}:${portOf(mute)} within 400 ms`);
      await until('the connection is gone', () => sockets.every((socket) => socket.destroyed));
      mute.close();
    });

    it('is given up at once, if nobody answers there', async () => {
      const gone = createServer();
      await listen(gone);
      const port = portOf(gone);
      await new Promise<void>((resolve) => gone.close(() => resolve()));
      const primary = ends.open(ends.nodeA, port);
      expect(await until('the primary hears the end', () => primary.closedWith)).to.match(/^no connection to node-b at .*ECONNREFUSED/);
    });

    it('is not dialled, if its address is not known', async () => {
      const primary = ends.open(ends.nodeA, null);
      expect(primary.closedWith).to.equal(null);
      expect(await until('the primary hears the end', () => primary.closedWith)).to.equal('no address of node-b is known');
      expect(primary.wasReentered).to.equal(false);
    });

    it('hears nothing of a primary that closes before it stands', async () => {
      const primary = ends.open();
      primary.link.close();
      const next = ends.open();
      await until('the next is open', () => next.types[0] === 'sealed');
      await until('only that is left', () => ends.replica.server?.connectionCount === 1);
      expect(ends.replica.seals).to.have.lengthOf(1);
      expect(primary.closedWith).to.equal(null);
      // It went by itself, and was not thrown out for its silence.
      expect(ends.replica.rules).to.not.include('sealTimeout');
    });

    it('ends the session, if more is sent than may wait', async () => {
      const sockets: Socket[] = [];
      const mute = createServer((socket) => sockets.push(socket.pause()));
      await listen(mute);
      const primary = new PrimaryEnd({ port: portOf(mute), certificates: null, limits: LIMITS });
      const chunk = Buffer.alloc(1024 * 1024);
      for (let sequence = 1; sequence <= 20; sequence++) {
        primary.send({ type: 'write', sequence, settled: 0, version: 1, offsetBytes: 0, lengthBytes: chunk.length, chunks: [chunk] });
      }
      expect(primary.closedWith).to.equal(null);
      await until('the primary hears the end', () => primary.closedWith);
      expect(primary.refusals.map((refused) => refused.rule)).to.deep.equal(['unsentBytesMax']);
      expect(primary.link.bufferedBytes).to.equal(0);
      expect(primary.wasReentered).to.equal(false);
      for (const socket of sockets) socket.destroy();
      mute.close();
    });
  });

  it('proves itself by its renewed certificate, without a session being lost', async () => {
    const renewed = new Set<() => void>();
    let material = (await ends.shelf.of('agent:node-c')).material;
    const certificates = {
      get material() {
        return material;
      },
      onRenewed: (listener: () => void) => {
        renewed.add(listener);
        return () => renewed.delete(listener);
      },
    };
    const end = await ReplicaEnd.listen({ certificates, limits: LIMITS });
    const wrong = ends.open(ends.nodeA, end.port);
    await until('node-c is not node-b', () => wrong.closedWith);
    material = (await ends.shelf.of('agent:node-b')).material;
    for (const listener of renewed) listener();
    const right = ends.open(ends.nodeA, end.port);
    await until('node-b is', () => right.types[0] === 'sealed');
    material = (await ends.shelf.of('agent:node-c')).material;
    for (const listener of renewed) listener();
    right.send({ type: 'flush', id: 1 });
    await until('the session goes on', () => end.heard.length === 1);
    await end.server?.close();
    expect(renewed.size).to.equal(0);
  });

  it('closes only when no connection is left', async () => {
    const primary = ends.open();
    await until('it is open', () => primary.types[0] === 'sealed');
    await ends.replica.server?.close();
    expect(ends.replica.server?.connectionCount).to.equal(0);
    await until('the session hears the end', () => ends.replica.sessionsClosed === 1);
    await until('the primary hears the end', () => primary.closedWith);
  });
});

const listen = (server: Server): Promise<void> => new Promise((resolve) => server.listen(0, HOST, resolve));
const portOf = (server: Server): number => (server.address() as AddressInfo).port;
