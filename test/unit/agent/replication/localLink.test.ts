/** A session within one agent keeps what link.ts promises of every session. */
import { expect } from 'chai';
import type { PrimaryLink, ReplicaLink } from '../../../../agent/replication/link.ts';
import { connectLocal, type LocalOptions } from '../../../../agent/replication/localLink.ts';
import type { FromReplica, ToReplica } from '../../../../core/wire/messages.ts';
import { configWith, INSTANCE, member, UID } from '../../../support/configs.ts';

const SEAL = { type: 'seal' as const, volume: UID, replica: member(0).replica, epoch: 1, instance: INSTANCE, config: configWith() };
const SEALED: FromReplica = { type: 'sealed', suspect: false, sizeBytes: 1, leaseRemainingMs: 0, resync: null };
const flush = (id: number): ToReplica => ({ type: 'flush', id });
const write = (sequence: number, lengthBytes: number): ToReplica => ({
  type: 'write',
  sequence,
  settled: 0,
  version: 1,
  offsetBytes: 0,
  lengthBytes,
  chunks: [Buffer.alloc(lengthBytes)],
});

/** A session whose two ends write down what they hear; work is deferred until `turn`. */
class Scene {
  readonly log: string[] = [];
  readonly link: PrimaryLink;
  replica: ReplicaLink | null = null;
  /** What either end does when it hears something. */
  onPrimary: (heard: FromReplica) => void = () => undefined;
  onReplica: (heard: ToReplica) => void = () => undefined;
  onAccept: (link: ReplicaLink) => void = () => undefined;
  #deferred: (() => void)[] = [];

  constructor(options: LocalOptions = {}) {
    const connect = connectLocal(
      (seal, link) => {
        this.log.push(`replica: ${seal.type}`);
        this.replica = link;
        this.onAccept(link);
        return {
          message: (message) => {
            this.log.push(`replica: ${message.type}`);
            this.onReplica(message);
          },
          burstEnd: () => this.log.push('replica: end of burst'),
          closed: () => this.log.push('replica: closed'),
        };
      },
      { defer: (work) => this.#deferred.push(work), ...options },
    );
    this.link = connect(member(0), SEAL, {
      message: (message) => {
        this.log.push(`primary: ${message.type}`);
        this.onPrimary(message);
      },
      burstEnd: () => this.log.push('primary: end of burst'),
      closed: (reason) => this.log.push(`primary: closed, ${reason}`),
    });
  }

  /** Runs what was deferred until now, not what that defers. */
  turn(): string[] {
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const work of deferred) work();
    return this.log.splice(0);
  }

  /** Until nothing is deferred any more. */
  settle(): string[] {
    const log: string[] = [];
    while (this.#deferred.length > 0) log.push(...this.turn());
    return log;
  }
}

/** After the Seal has been heard and answered. */
function opened(options: LocalOptions = {}): Scene {
  const scene = new Scene(options);
  scene.onAccept = (link) => link.send(SEALED);
  scene.settle();
  return scene;
}

describe('a session within one agent', () => {
  it('begins with the Seal, and nobody hears anything from within connect', () => {
    const scene = new Scene();
    expect(scene.log).to.deep.equal([]);
    expect(scene.settle()).to.deep.equal(['replica: seal', 'replica: end of burst']);
    expect(scene.replica?.peer).to.equal('agent:node-a');
  });

  it('hands over what was sent before the Seal was heard right behind it, in one burst', () => {
    const scene = new Scene();
    scene.link.send(flush(1));
    scene.link.send(flush(2));
    expect(scene.turn()).to.deep.equal(['replica: seal', 'replica: flush', 'replica: flush', 'replica: end of burst']);
  });

  it('hands over the very objects', () => {
    const scene = opened();
    const sent = write(1, 10);
    const heard: ToReplica[] = [];
    scene.onReplica = (message) => heard.push(message);
    scene.link.send(sent);
    scene.settle();
    expect(heard).to.have.lengthOf(1);
    expect(heard[0]).to.equal(sent);
  });

  it('never hands over from within send: what is said in answer is another burst', () => {
    const scene = opened();
    scene.onReplica = (message) => {
      if (message.type === 'flush') scene.replica?.send({ type: 'done', id: message.id });
    };
    scene.onPrimary = (message) => {
      if (message.type === 'done' && message.id < 3) scene.link.send(flush(message.id + 1));
    };
    scene.link.send(flush(1));
    scene.link.send(flush(2));
    expect(scene.log).to.deep.equal([]);
    expect(scene.turn()).to.deep.equal(['replica: flush', 'replica: flush', 'replica: end of burst']);
    expect(scene.turn()).to.deep.equal(['primary: done', 'primary: done', 'primary: end of burst']);
    expect(scene.turn()).to.deep.equal(['replica: flush', 'replica: flush', 'replica: end of burst']);
  });

  it('hears its microtasks before anything else', async () => {
    const log: string[] = [];
    const connect = connectLocal(() => ({
      message: () => log.push('message'),
      burstEnd: () => log.push('burst'),
      closed: () => undefined,
    }));
    const link = connect(member(0), SEAL, { message: () => undefined, burstEnd: () => undefined, closed: () => undefined });
    setImmediate(() => log.push('immediate'));
    link.send(flush(1));
    await new Promise((resolve) => setImmediate(resolve));
    expect(log).to.deep.equal(['message', 'burst', 'immediate']);
  });

  it('counts what was sent and not heard yet', () => {
    const scene = opened();
    expect(scene.link.bufferedBytes).to.equal(0);
    scene.link.send(write(1, 1000));
    scene.link.send(write(2, 500));
    expect(scene.link.bufferedBytes).to.equal(1500 + 2 * 96);
    scene.settle();
    expect(scene.link.bufferedBytes).to.equal(0);
  });

  it('closed by the primary: the replica hears what was sent before, then the end; the primary nothing', () => {
    const scene = opened();
    scene.replica?.send({ type: 'applied', sequence: 1 });
    scene.link.send({ type: 'release' });
    scene.link.close();
    scene.link.send(flush(9));
    scene.replica?.send({ type: 'applied', sequence: 2 });
    expect(scene.settle()).to.deep.equal(['replica: release', 'replica: end of burst', 'replica: closed']);
  });

  it('closed by the replica: the primary hears what was sent before, then the end and why; the replica nothing', () => {
    const scene = opened();
    scene.link.send(flush(1));
    scene.replica?.send({ type: 'failed', message: 'disk' });
    scene.replica?.close('the disk failed');
    scene.replica?.send({ type: 'pong', id: 1 });
    scene.link.send(flush(2));
    expect(scene.settle()).to.deep.equal(['primary: failed', 'primary: end of burst', 'primary: closed, the disk failed']);
    scene.link.send(flush(3));
    scene.link.close();
    expect(scene.settle()).to.deep.equal([]);
  });

  it('refused at the Seal: the primary hears the refusal and the end, the replica nothing more', () => {
    const scene = new Scene();
    scene.onAccept = (link) => {
      link.send({ type: 'refused', code: 'fenced', message: 'no', promisedEpoch: 2, seenVersion: 1 });
      link.close('refused');
    };
    scene.link.send(flush(1));
    expect(scene.settle()).to.deep.equal(['replica: seal', 'primary: refused', 'primary: end of burst', 'primary: closed, refused']);
  });

  it('closed in the middle of a burst: the rest of it is not heard', () => {
    const scene = opened();
    scene.onReplica = () => scene.replica?.close('enough');
    scene.link.send(flush(1));
    scene.link.send(flush(2));
    expect(scene.settle()).to.deep.equal(['replica: flush', 'primary: closed, enough']);
  });

  it('closed while the other end is hearing: what is sent before the close is still heard', () => {
    const scene = opened();
    // The two ends are neighbours: what a primary hears may make the replica beside it fail at once.
    scene.onPrimary = (message) => {
      if (message.type !== 'pong') return;
      scene.replica?.send({ type: 'failed', message: 'disk' });
      scene.replica?.close('failed');
    };
    scene.replica?.send({ type: 'pong', id: 1 });
    const burst = 'primary: end of burst';
    expect(scene.settle()).to.deep.equal(['primary: pong', burst, 'primary: failed', burst, 'primary: closed, failed']);
  });

  it('closed by both: nobody hears anything', () => {
    const scene = opened();
    scene.link.send(flush(1));
    scene.replica?.close('first');
    scene.link.close();
    expect(scene.settle()).to.deep.equal([]);
  });

  it('closes twice as once', () => {
    const scene = opened();
    scene.link.close();
    scene.link.close();
    expect(scene.settle()).to.deep.equal(['replica: closed']);
  });

  it('closes at both ends when a primary sends more than may wait', () => {
    const scene = opened({ unsentBytesMax: 10_000 });
    scene.link.send(write(1, 9_000));
    scene.link.send(write(2, 9_000));
    expect(scene.link.bufferedBytes).to.equal(0);
    const reason = 'more than 10000 bytes wait to be heard';
    expect(scene.settle()).to.have.members(['replica: closed', `primary: closed, ${reason}`]);
  });

  it('closes at both ends when a replica sends more than may wait', () => {
    const scene = opened({ unsentBytesMax: 10_000 });
    const data = Buffer.alloc(9_000);
    for (const id of [1, 2]) scene.replica?.send({ type: 'data', id, chunks: [data], lengthBytes: data.length });
    expect(scene.settle()).to.have.members(['replica: closed', 'primary: closed, more than 10000 bytes wait to be heard']);
  });
});
