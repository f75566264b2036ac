/**
 * Programs of two versions in one cluster: this checkout, and one to come that knows one more of the protocol and one more schema. The schema is raised when all know it and not
 * before; then who does not know it stays out, and harms nobody. The version that really was before is `make test-upgrade`'s.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { answersOk } from '../../tools/local/https.ts';
import { CHECKOUT, lastPart, type ProcessName } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { faultsOf, Rolling } from '../upgrade/roll.ts';
import { sourcesToCome } from '../upgrade/sources.ts';
import { START_BOUND_MS, showLogsOfFailures } from './world.ts';
import type { Writer } from './writer.ts';

const REFUSED_BOUND_MS = 60_000;
const TOO_OLD =
  /etcd is of schema 3 \(written by .+\), which is for programs that know 3 or later; this one knows 1 to 2: it is too old to act here/;

describe('end to end: programs of two versions', function () {
  this.timeout(240_000);
  const directory = mkdtempSync(path.join(tmpdir(), 'hf-skew-'));
  const toCome = path.join(directory, 'to-come');
  let rolling: Rolling;
  let volume: DemoVolume;
  let writer: Writer;
  let socket: string;

  before(async function () {
    this.timeout(START_BOUND_MS);
    sourcesToCome(toCome);
    rolling = await Rolling.open(CHECKOUT, { SCHEMA_RAISE_AFTER_SECONDS: '0' });
    ({ volume, socket } = await rolling.volume('64Mi', 'node-a'));
    writer = rolling.world.writer(volume);
    writer.begin();
  });
  after(async () => {
    await writer?.end();
    await rolling?.world.close();
    rmSync(directory, { recursive: true, force: true });
  });
  showLogsOfFailures(() => rolling?.world);

  /** What keeps the process from being ready, in its own words. */
  async function untilRefused(name: ProcessName): Promise<void> {
    const { cluster } = rolling.world;
    await waitFor(`${name} says that it is too old`, REFUSED_BOUND_MS, async () => {
      const answer = await answersOk(`${cluster.url(name)}/readyz`, cluster.administrator);
      const said = 'reason' in answer ? answer.reason : 'ready';
      return TOO_OLD.test(said) ? { value: true } : { reason: said };
    });
  }

  it('work together, one replaced after the other, and nothing new is written before the last', async () => {
    expect((await rolling.schema())?.version).to.equal(2);
    for (const name of [...rolling.operators, ...rolling.agents.slice(0, 2)]) await rolling.to(name, toCome, [volume]);
    await rolling.works('node-c');
    await writer.untilMore(20);
    expect((await rolling.schema())?.version, 'one agent knows the second only').to.equal(2);
  });

  it('go back while that is so, and speak the older protocol again', async () => {
    const [, second] = rolling.agents;
    if (!second) throw new Error('there are three');
    await rolling.to(second, CHECKOUT, [volume]);
    await writer.untilMore(20);
    expect((await rolling.schema())?.version).to.equal(2);
  });

  it('raise the schema when the last knows it', async () => {
    for (const name of rolling.agents.filter((agent) => !rolling.isOf(agent, toCome))) await rolling.to(name, toCome, [volume]);
    await rolling.untilSchema(3);
    await writer.untilMore(20);
  });

  it('from then on an agent that does not know it says so and does nothing, and the others go on', async () => {
    const [, , old] = rolling.agents;
    if (!old) throw new Error('there are three');
    await rolling.begin(old, CHECKOUT);
    await untilRefused(old);
    await writer.untilMore(100);
    // One that had to be killed leaves its key to its lease.
    await waitFor('node-c is not registered', REFUSED_BOUND_MS, async () => {
      const isThere = (await rolling.world.stored()).some(({ key }) => key.endsWith('machines/node-c'));
      return isThere ? { reason: 'its key is there' } : { value: true };
    });
    await rolling.to(old, toCome, [volume]);
  });

  it('nor does an operator of before lead', async () => {
    const [first, second] = rolling.operators;
    if (!first || !second) throw new Error('there are two');
    await rolling.begin(first, CHECKOUT);
    await untilRefused(first);
    await rolling.world.cluster.process(second).stop();
    await untilRefused(first);
    await waitFor(`${first} says that it does not stand for election`, REFUSED_BOUND_MS, async () => {
      const said = readFileSync(rolling.world.cluster.process(first).logFile, 'utf8').includes('this operator does not stand for election');
      return said ? { value: true } : { reason: 'it has not said so' };
    });
    const holders = ['get', 'leases', '-n', 'holdfast-system', '-o', 'jsonpath={.items[*].spec.holderIdentity}'];
    expect(await rolling.world.cluster.kubectl(holders)).to.not.contain(lastPart(first));
    await rolling.to(second, toCome, [volume]);
    await rolling.to(first, toCome, [volume]);
  });

  it('and everything that was written is there, on all replicas', async () => {
    expect(await faultsOf(writer, socket)).to.deep.equal([]);
    expect(await rolling.unequal(volume)).to.deep.equal([]);
  });
});
