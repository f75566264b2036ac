/**
 * A whole cluster whose names may do in etcd only what they need: volumes live as ever; certificates of all its programs, and their authority, are exchanged while
 * a client writes; an agent is refused what only operators may see; and no log holds a key or a token.
 */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import path from 'node:path';
import { connect } from 'node:tls';
import { expect } from 'chai';
import { Issuer, isSignedBy, makeAuthority } from '../../edge/issuing.ts';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { writeWhole } from '../../tools/local/files.ts';
import { answersOk } from '../../tools/local/https.ts';
import { API_SERVER, ETCD, type ProcessName } from '../../tools/local/layout.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { HandNbdClient } from '../support/nbdClient.ts';
import { until } from '../support/until.ts';
import { FAILOVER_BOUND_MS, RETURN_BOUND_MS, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';

const BLOCK_BYTES = 4096;
const BLOCKS = 64;
const LIFE_MS = 24 * 3600 * 1000;
/** Programs look at their files every 10 s. */
const RENEWAL_BOUND_MS = 60_000;
const WRITES = 50;

/** One connection that must never see an error, nor end. */
class SteadyClient {
  writes = 0;
  readonly problems: string[] = [];
  readonly #client: HandNbdClient;
  readonly #work: Promise<void>;
  #isWorking = true;

  private constructor(client: HandNbdClient) {
    this.#client = client;
    this.#work = this.#goOn();
  }

  static async open(socket: string, name: string): Promise<SteadyClient> {
    return new SteadyClient(await HandNbdClient.open(socket, name));
  }

  async untilMore(count: number): Promise<void> {
    const wanted = this.writes + count;
    await until('the client to write', () => this.writes >= wanted || this.problems.length > 0, RENEWAL_BOUND_MS);
  }

  async end(): Promise<void> {
    this.#isWorking = false;
    await this.#work;
    this.#client.close();
  }

  async #goOn(): Promise<void> {
    while (this.#isWorking && this.problems.length === 0) {
      const data = Buffer.alloc(BLOCK_BYTES, this.writes % 251);
      for (const answer of [await this.#client.write((this.writes % BLOCKS) * BLOCK_BYTES, data), await this.#client.flush()])
        if (answer.outcome !== 'replied' || answer.error !== 0) this.problems.push(JSON.stringify(answer));
      this.writes++;
    }
  }
}

describe('end to end: security', function () {
  this.timeout(240_000);
  let world: World;
  let volume: DemoVolume;
  let socket: string;
  let token: string;

  const directoryOf = (name: ProcessName | 'administrator') => path.join(world.cluster.directory, name);
  const programs = (): ProcessName[] => [
    ...world.cluster.operators.map((name): ProcessName => `operator/${name}`),
    ...world.cluster.nodes.map((name): ProcessName => `agent/${name}`),
  ];
  const filesOf = (name: ProcessName | 'administrator') => {
    const file = (one: string) => path.join(directoryOf(name), one);
    return { ca: file('ca.crt'), cert: file('tls.crt'), key: file('tls.key') };
  };
  /** Everybody's, with whom each has them: the API server's beside its own for its users. */
  const holders = (): { name: ProcessName | 'administrator'; prefix: string; commonName: string }[] => [
    { name: ETCD, prefix: '', commonName: 'etcd-0' },
    { name: API_SERVER, prefix: 'etcd-', commonName: 'kube-apiserver' },
    { name: 'administrator', prefix: '', commonName: 'operator:administrator' },
    ...programs().map((name) => ({ name, prefix: '', commonName: name.replace('/', ':') })),
  ];
  const renewals = (name: ProcessName) =>
    readFileSync(path.join(directoryOf(name), 'log'), 'utf8').split('"certificate renewed"').length - 1;
  /** In every program, its threads included. */
  async function untilRenewed(change: () => void): Promise<void> {
    const before = new Map(programs().map((name) => [name, renewals(name)]));
    change();
    await until('every program took it', () => programs().every((name) => renewals(name) > (before.get(name) ?? 0)), RENEWAL_BOUND_MS);
  }
  const shown = (url: string) =>
    new Promise<string>((resolve, reject) => {
      const { hostname, port } = new URL(url);
      const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
        const { raw } = socket.getPeerCertificate();
        socket.destroy();
        resolve(`-----BEGIN CERTIFICATE-----\n${raw.toString('base64')}\n-----END CERTIFICATE-----\n`);
      });
      socket.once('error', reject);
    });

  before(async function () {
    this.timeout(START_BOUND_MS);
    world = await World.open(3, undefined, { hasEtcdAccounts: true });
    ({ volume, socket } = await world.volume('64Mi', 3, 'node-a'));
    token = await world.cluster.token();
  });
  after(() => world?.close());
  showLogsOfFailures(() => world);

  it('volumes live as ever: an agent dies and comes back, a volume moves, another is made and deleted', async () => {
    const agent = world.cluster.process('agent/node-b');
    await agent.kill();
    await volume.until(
      'two in sync',
      FAILOVER_BOUND_MS,
      ({ replicas = [] }) => replicas.filter(({ state }) => state === 'InSync').length === 2,
    );
    agent.start();
    await volume.untilHealthy(3, RETURN_BOUND_MS);
    await volume.attachTo('node-b');
    await volume.untilServedBy('node-b', FAILOVER_BOUND_MS);
    await volume.attachTo('node-a');
    socket = await volume.untilServedBy('node-a', FAILOVER_BOUND_MS);
    const other = world.newVolume();
    await other.create('32Mi', 2, {});
    await other.untilHealthy(2, RETURN_BOUND_MS);
    await other.delete();
    await waitFor('its keys to be gone', RETURN_BOUND_MS, async () => {
      const left = (await world.volumeKeys()).filter((key) => key.includes('/tasks/') || key.includes('/claims/'));
      return left.length === 0 ? { value: true } : { reason: left.join(', ') };
    });
  });

  it('what a node holds is told to operators, and to no agent, nor to whoever scrapes', async () => {
    const url = `${world.cluster.url('agent/node-a')}/inventory`;
    expect(await answersOk(url, world.cluster.administrator)).to.have.property('value');
    for (const name of ['agent/node-b', 'agent/node-a'] as const)
      expect(await answersOk(url, filesOf(name)))
        .to.have.property('reason')
        .that.matches(/answers 403: .*only for operators, and the certificate is that of agent:node/);
    expect(await answersOk(url, filesOf(ETCD)))
      .to.have.property('reason')
      .that.matches(/answers 403: .*nobody of ours/);
  });

  it('all certificates and their authority are exchanged while a client writes, which sees no error', async () => {
    const client = await SteadyClient.open(socket, volume.name);
    await client.untilMore(WRITES);
    const old = readFileSync(filesOf(ETCD).ca, 'utf8');
    const issuer = new Issuer(await makeAuthority('holdfast local, the next', LIFE_MS));
    const trust = (ca: string) => {
      for (const { name, prefix } of holders()) writeWhole(path.join(directoryOf(name), `${prefix}ca.crt`), ca);
    };
    // Both are trusted first; etcd and the API server read whom they trust at their start only.
    await untilRenewed(() => trust(old + issuer.certificate));
    for (const name of [ETCD, API_SERVER]) {
      await world.cluster.process(name).kill();
      world.cluster.process(name).start();
    }
    await client.untilMore(WRITES);
    await waitFor('etcd to be back', RENEWAL_BOUND_MS, () =>
      answersOk(`${world.cluster.etcd.endpoints[0]}/readyz`, world.cluster.administrator),
    );
    // Then certificates of the new one.
    const made = await Promise.all(
      holders().map(async (holder) => {
        const subject = { commonName: holder.commonName, organizations: [] };
        return { ...holder, ...(await issuer.issue({ subject, names: ['127.0.0.1', 'localhost'], lifeMs: LIFE_MS })) };
      }),
    );
    await untilRenewed(() => {
      for (const { name, prefix, key, certificate } of made) {
        writeWhole(path.join(directoryOf(name), `${prefix}tls.key`), key, 0o600);
        writeWhole(path.join(directoryOf(name), `${prefix}tls.crt`), certificate);
      }
    });
    await client.untilMore(WRITES);
    // And the old one is trusted no more.
    await untilRenewed(() => trust(issuer.certificate));
    await client.untilMore(WRITES);
    for (const url of [...programs().map((name) => world.cluster.url(name)), world.cluster.etcd.endpoints[0] ?? ''])
      expect(isSignedBy(await shown(url), issuer.certificate), url).to.equal(true);
    // New sessions, by the new ones alone.
    const agent = world.cluster.process('agent/node-c');
    await agent.kill();
    agent.start();
    await volume.untilHealthy(3, RETURN_BOUND_MS);
    await client.untilMore(WRITES);
    await client.end();
    expect(client.problems).to.deep.equal([]);
  });

  it('no log of any program holds a key, a token, or a part of one', async () => {
    const [operator = ''] = world.cluster.operators;
    const ask = (bearer: string) =>
      new Promise<number>((resolve, reject) => {
        const options = { rejectUnauthorized: false, headers: { authorization: `Bearer ${bearer}` } };
        const call = request(`${world.cluster.apiUrl(operator)}/v1/volumes`, options, (answer) => resolve(answer.resume().statusCode ?? 0));
        call.once('error', reject);
        call.end();
      });
    expect(await Promise.all([ask(token), ask('wrong-secret-token')])).to.deep.equal([200, 401]);
    const logs = programs().map((name) => readFileSync(path.join(directoryOf(name), 'log'), 'utf8'));
    const said = logs.join('');
    expect(said.length).to.be.above(1_000);
    expect(said).not.to.match(/PRIVATE KEY|[Bb]earer [\w.-]/);
    const secrets = [token.split('.')[2] ?? '', 'wrong-secret-token'];
    for (const name of programs()) secrets.push(...readFileSync(filesOf(name).key, 'utf8').split('\n').slice(1, 3));
    for (const secret of secrets.filter((one) => one.length > 10)) expect(said).not.to.contain(secret);
  });
});
