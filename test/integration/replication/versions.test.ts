/** Agents of different versions on one connection: they speak the highest that both know, and where there is none nothing is done and both sides say why. */

import { expect } from 'chai';
import { formatRange, type VersionRange } from '../../../core/versions.ts';
import type { Certificates } from '../../../edge/tls.ts';
import { until } from '../../support/until.ts';
import { CertificateShelf, PrimaryEnd, ReplicaEnd } from './support.ts';

const LIMITS = { sealTimeoutMs: 2_000, connectTimeoutMs: 2_000, closeTimeoutMs: 300 };
const range = (lowest: number, highest: number): VersionRange => ({ lowest, highest });

describe('agents of different versions', () => {
  let shelf: CertificateShelf;
  let nodeA: Certificates;
  let replica: ReplicaEnd;
  let primary: PrimaryEnd | null = null;

  before(async () => {
    shelf = await CertificateShelf.open();
    nodeA = await shelf.of('agent:node-a');
  });
  after(() => shelf.remove());
  afterEach(async () => {
    primary?.link.close();
    await replica.server?.close();
  });

  async function open(ours: VersionRange, theirs: VersionRange, told: VersionRange | undefined): Promise<PrimaryEnd> {
    replica = await ReplicaEnd.listen({ certificates: await shelf.of('agent:node-b'), limits: LIMITS, spoken: theirs });
    const options = { port: replica.port, certificates: nodeA, limits: LIMITS, spoken: ours };
    primary = new PrimaryEnd(told ? { ...options, peerSpeaks: told } : options);
    return primary;
  }

  for (const [ours, theirs, told] of [
    [range(1, 2), range(1, 1), undefined],
    [range(1, 2), range(1, 1), range(1, 1)],
    [range(1, 1), range(1, 2), range(1, 2)],
    [range(1, 3), range(2, 4), range(2, 4)],
    [range(2, 2), range(2, 3), range(2, 3)],
  ] as const) {
    it(`of ${formatRange(ours)} and ${formatRange(theirs)}${told ? '' : ', who does not say so,'} have a session in both directions`, async () => {
      const end = await open(ours, theirs, told);
      replica.onMessage = (message, link) => {
        if (message.type === 'flush') link.send({ type: 'done', id: message.id });
      };
      await until('the Seal is answered', () => end.types[0] === 'sealed');
      end.send({ type: 'flush', id: 7 });
      await until('a request is answered', () => end.types[1] === 'done');
      expect([replica.rules, end.refusals]).to.deep.equal([[], []]);
    });
  }

  it('who have none in common never connect, and the primary says what each speaks', async () => {
    const end = await open(range(1, 1), range(2, 3), range(2, 3));
    const sentence = 'node-b speaks version 2 to 3 of the replication protocol, this agent 1: none in common';
    expect(await until('it is given up', () => end.closedWith)).to.equal(sentence);
    expect(end.refusals).to.deep.equal([{ peer: 'agent:node-b', rule: 'protocolVersion', message: sentence }]);
    expect([replica.seals, replica.server?.connectionCount]).to.deep.equal([[], 0]);
  });

  it('of whom one has become older since it was looked at: the Seal is refused in words, and the next finds what it speaks now', async () => {
    const end = await open(range(1, 2), range(1, 1), range(1, 2));
    await until('it is refused', () => end.closedWith);
    const message = 'protocol version 2, this side speaks 1';
    expect(end.heard).to.deep.equal([{ type: 'refused', code: 'protocol', message, promisedEpoch: 0, seenVersion: 0 }]);
    expect(replica.refusals).to.deep.equal([{ peer: 'agent:node-a', rule: 'protocolVersion', message }]);
    expect(replica.seals).to.deep.equal([]);
    const again = new PrimaryEnd({ port: replica.port, certificates: nodeA, limits: LIMITS, spoken: range(1, 2), peerSpeaks: range(1, 1) });
    await until('it is open', () => again.types[0] === 'sealed');
    again.link.close();
  });
});
