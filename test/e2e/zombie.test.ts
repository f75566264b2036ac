/**
 * A primary that stood still while another took its place: when it moves again, with requests of before, during and after in its hands, it must
 * neither acknowledge a write nor show an old value, and what its successor wrote must stand.
 */
import { existsSync } from 'node:fs';
import { expect } from 'chai';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { HandNbdClient, type NbdAnswer } from '../support/nbdClient.ts';
import { FAILOVER_BOUND_MS, qemuIo, RETURN_BOUND_MS, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';

const KIB = 1024;
const BLOCK_BYTES = 4 * KIB;
/** Written with OLD before, and with NEW by the successor. */
const CONTESTED_BYTES = 0;
/** Where nothing is ever written but by a request that was sent while the primary stood still, or later. */
const LATE_BYTES = 1024 * KIB;
/** Written by a request that was under way when the primary was stopped. */
const EARLY_BYTES = 2048 * KIB;
const OLD = 0x71;
const NEW = 0x72;
const LATE = 0x99;
const CLIENTS = 8;

const block = (byte: number): Buffer => Buffer.alloc(BLOCK_BYTES, byte);
const isAcknowledged = (answer: NbdAnswer): boolean => answer.outcome === 'replied' && answer.error === 0;

describe('end to end: a primary that stood still', function () {
  this.timeout(120_000);
  let world: World;
  let volume: DemoVolume;
  let socket: string;

  before(async function () {
    this.timeout(START_BOUND_MS);
    world = await World.open(3);
    ({ volume, socket } = await world.volume('64Mi', 3, 'node-a'));
  });
  after(() => world?.close());
  showLogsOfFailures(() => world);

  const agent = () => world.cluster.process('agent/node-a');
  const open = () => Promise.all(Array.from({ length: CLIENTS }, () => HandNbdClient.open(socket, volume.name)));
  /** A read, a write and a flush on each connection: the write is what no successor may ever see. */
  const askAll = (clients: HandNbdClient[]): Promise<NbdAnswer>[] =>
    clients.flatMap((client) => [client.read(CONTESTED_BYTES, BLOCK_BYTES), client.write(LATE_BYTES, block(LATE)), client.flush()]);

  it('answers nothing that was asked while it stood still or after, and what was answered before is there', async () => {
    await qemuIo(socket, `write -P ${OLD} ${CONTESTED_BYTES} 64k`, 'flush');
    const [asked, idle, early] = [await open(), await open(), await open()];
    const earlyAnswers = early.map((client, index) => client.write(EARLY_BYTES + index * BLOCK_BYTES, block(index + 1)));
    await agent().kill('SIGSTOP');
    const before = asked.reduce((sum, client) => sum + client.receivedBytes, 0);
    const duringAnswers = askAll(asked);

    await volume.attachTo('node-b');
    const other = await volume.untilServedBy('node-b', FAILOVER_BOUND_MS);
    await qemuIo(other, `write -P ${NEW} ${CONTESTED_BYTES} 64k`, 'flush');

    await agent().kill('SIGCONT');
    const afterAnswers = askAll(idle);
    const late = await Promise.all([...duringAnswers, ...afterAnswers]);
    expect(late.filter(isAcknowledged), 'nothing is acknowledged any more').to.deep.equal([]);
    await Promise.all([...asked, ...idle, ...early].map((client) => client.ended));
    expect(asked.reduce((sum, client) => sum + client.receivedBytes, 0) - before, 'bytes of answer').to.equal(0);

    await waitFor('the old socket to go', FAILOVER_BOUND_MS, async () =>
      existsSync(socket) ? { reason: 'it is there' } : { value: true },
    );
    await qemuIo(other, `read -P ${NEW} ${CONTESTED_BYTES} 64k`, `read -P 0 ${LATE_BYTES} 4k`);
    const answered = await Promise.all(earlyAnswers);
    for (const [index, answer] of answered.entries()) {
      if (isAcknowledged(answer)) await qemuIo(other, `read -P ${index + 1} ${EARLY_BYTES + index * BLOCK_BYTES} 4k`);
    }
    await volume.untilHealthy(3, RETURN_BOUND_MS);
    await qemuIo(other, `read -P ${NEW} ${CONTESTED_BYTES} 64k`, `read -P 0 ${LATE_BYTES} 4k`);
  });
});
