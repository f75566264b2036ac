/** `kubectl holdfast` as people run it: the program itself, with a kubeconfig, over a real API server and real operators. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import type { StatusReport } from '../../../bin/view/status.ts';
import { FIRST_START_MS, RealCluster } from '../../support/operator/realCluster.ts';
import { until } from '../../support/until.ts';

const PLUGIN = path.join(import.meta.dirname, '..', '..', '..', 'bin', 'kubectl-holdfast');

describe('operator: kubectl holdfast', function () {
  this.timeout(180_000);
  let real: RealCluster;

  const run = (...words: string[]) => runWith(process.env.PATH ?? '', ...words);
  const runWith = async (searched: string, ...words: string[]): Promise<{ code: number; out: string; said: string }> => {
    const child = spawn(PLUGIN, words, {
      env: { PATH: searched, KUBECONFIG: real.cluster.kubeconfig },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const closed = once(child, 'close') as Promise<[number]>;
    const [out, said, [code]] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
    return { code, out, said };
  };
  const nodesOf = async (name: string): Promise<string[]> =>
    ((await real.volume(name))?.status?.replicas ?? []).map(({ node }) => node).sort();

  before(async function () {
    this.timeout(FIRST_START_MS);
    real = await RealCluster.start({ operators: 1 });
    for (const letter of 'abcd') real.play(letter);
    await real.leader();
    await real.create('data', { size: '1Gi', replicas: 3 });
    await real.untilPhase('data', 'Healthy');
  });
  after(async () => real?.stop());

  it('shows how things are, for people and for programs, without colours in a pipe', async () => {
    const { code, out } = await run('status');
    expect(code).to.equal(0);
    expect(out).to.match(/^Holdfast.*, leader operator-0.*\n4 nodes; 1 volume: 1 healthy\n$/);
    const report = JSON.parse((await run('status', '-o', 'json')).out) as StatusReport;
    expect([report.problems, report.volumes.Healthy, report.nodes]).to.deep.equal([[], 1, 4]);
  });

  it('explains why a volume fits nowhere', async () => {
    await real.create('wide', { size: '1Ti', replicas: 2 });
    await real.untilPhase('wide', 'Pending');
    const { out } = await run('explain', 'wide');
    expect(out).to.match(/^wide is Pending.*: 2 replicas of 1Ti wanted, 0 nodes of 4 can hold one\.\n {2}node-a +.*needed\n/);
    expect((await run('status')).out).to.match(/! wide +pending: .*kubectl holdfast explain wide\n/);
    await real.cluster.kubectl(['delete', 'hv', 'wide']);
  });

  it('moves a replica and waits for it', async () => {
    const held = await nodesOf('data');
    const free = ['node-a', 'node-b', 'node-c', 'node-d'].find((node) => !held.includes(node)) ?? '';
    const from = held[0] ?? '';
    const moved = await run('move', 'data', from, free, '--wait', '--timeout', '60');
    expect([moved.code, moved.said]).to.deep.equal([0, '']);
    expect(moved.out).to.include(`data has its replica on ${free}.`);
    await until('the old one is gone', async () => !(await nodesOf('data')).includes(from), 30_000);
    const wrong = await run('move', 'data', from, free);
    expect([wrong.code, wrong.said]).to.satisfy(
      ([code, said]: [number, string]) => code === 1 && said.includes(`has no replica on ${from}`),
    );
    const refused = await run('move', 'data', held[1] ?? '', free);
    expect([refused.code, refused.said]).to.deep.equal([
      1,
      `kubectl holdfast: nothing was changed: ${free}: holds a replica of this volume already\n`,
    ]);
  });

  it('says where a drain would bring replicas, drains, and undoes it', async () => {
    const [node] = await nodesOf('data');
    if (node === undefined) throw new Error('data has no replica');
    const { out } = await run('drain', node, '--dry-run');
    expect(out).to.match(/^1 replica of 1Gi at most would leave .*\n {2}data +1Gi +to node-[a-d]\/default\n/);
    expect(out, 'as the leader tells them').to.include("By the leader's rules and limits");
    const [, foretold] = /to (node-[a-d])\/default/.exec(out) ?? [];
    expect(await nodesOf('data')).to.include(node);
    const drained = await run('drain', node, '--wait', '--timeout', '60');
    expect([drained.code, drained.said]).to.deep.equal([0, '']);
    expect(drained.out).to.match(new RegExp(`${node} is empty: no replica is left there\\.\\n$`));
    // The volume's status is a write of its own.
    await until('it is where it was foretold', async () => {
      const now = await nodesOf('data');
      return !now.includes(node) && now.includes(foretold ?? '');
    });
    expect((await run('drain', node, '--undo')).out).to.include('takes replicas again');
  });

  it('tells what cannot leave, and gives up waiting without giving up the drain', async () => {
    const held = await nodesOf('data');
    const [first = '', second = ''] = held;
    const free = ['node-a', 'node-b', 'node-c', 'node-d'].find((node) => !held.includes(node)) ?? '';
    expect((await run('maintenance', free, 'on')).code).to.equal(0);
    expect((await run('status')).out).to.include(`! ${free}   in maintenance`);
    const stuck = await run('drain', first, '--wait', '--timeout', '4');
    expect([stuck.code, stuck.said]).to.deep.equal([
      3,
      `kubectl holdfast: ${first} is not empty yet; its replicas go on leaving (waited 4 s)\n`,
    ]);
    expect(stuck.out).to.match(/! data +no other node can hold it/);
    expect((await run('drain', second, '--dry-run')).out).to.include('cannot leave');
    expect((await run('maintenance', free, 'off')).code).to.equal(0);
    await until('it left after all', async () => !(await nodesOf('data')).includes(first), 30_000);
    await run('drain', first, '--undo');
  });

  it('shows what is being rebuilt, once where nobody looks', async () => {
    expect((await run('rebuild')).out)
      .to.be.a('string')
      .that.is.not.equal('');
    expect(JSON.parse((await run('rebuild', '-o', 'json')).out)).to.be.an('array');
  });

  it('has recover run in a pod of the operator, by kubectl, and ends as that ends', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'hf-kubectl-'));
    const labels = { 'app.kubernetes.io/name': 'holdfast', 'app.kubernetes.io/component': 'operator' };
    const metadata = { name: 'operator-of-test', namespace: 'holdfast-system', labels };
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [{ name: 'operator', image: 'none' }] } };
    const inNamespace = ['-n', 'holdfast-system'];
    try {
      await writeFile(path.join(directory, 'kubectl'), '#!/bin/sh\necho "$@"\nexit 7\n', { mode: 0o755 });
      await real.cluster.kubectl(['create', '-f', '-'], JSON.stringify(pod));
      const running = JSON.stringify({ status: { phase: 'Running' } });
      await real.cluster.kubectl(['patch', 'pod', metadata.name, ...inNamespace, '--subresource=status', '--type=merge', '-p', running]);
      const ended = await runWith(`${directory}:${process.env.PATH}`, 'recover', '--yes', '--without', 'node-a', '--without', 'node-b');
      expect([ended.code, ended.out]).to.deep.equal([
        7,
        '--namespace holdfast-system exec operator-of-test -- node operator/recover/main.ts --yes --without node-a --without node-b\n',
      ]);
    } finally {
      await real.cluster.kubectl(['delete', 'pod', metadata.name, ...inNamespace, '--ignore-not-found', '--force', '--grace-period=0']);
      await rm(directory, { recursive: true });
    }
  });

  it('ends without a word when its reader has enough', async () => {
    const child = spawn('sh', ['-c', `${PLUGIN} status -o json | true`], {
      env: { PATH: process.env.PATH, KUBECONFIG: real.cluster.kubeconfig },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    expect(await text(child.stderr)).to.equal('');
  });

  it('says what is wrong with a command, and ends with a code of its own', async () => {
    const cases: [words: string[], code: number, says: RegExp][] = [
      [['explain', 'none'], 1, /there is no volume none/],
      [['drain', 'node-z'], 1, /there is no StorageNode node-z/],
      [['drain', 'node-z', '--dry-run'], 1, /there is no StorageNode node-z/],
      [['status', '--kubeconfig', '/none'], 1, /the kubeconfig cannot be used: /],
      [['status', '-o', 'yaml'], 2, /Allowed choices are text, json/],
      [['maintenance', 'node-a', 'maybe'], 2, /Allowed choices are on, off/],
      [['drain', 'node-a', '--timeout', 'long'], 2, /whole number of seconds/],
      [['recover'], 1, /no pod of the operator .* runs in holdfast-system: .*--here/],
      [['recover', '--here'], 2, /ETCD_ENDPOINTS +must be set/],
      [['recover', '--force'], 2, /unknown option/],
    ];
    for (const [words, code, says] of cases) {
      const ended = await run(...words);
      expect([words.join(' '), ended.code], ended.said).to.deep.equal([words.join(' '), code]);
      expect(ended.said).to.match(says);
    }
    const help = await run('--help');
    expect([help.code, help.out]).to.satisfy(([code, out]: [number, string]) => code === 0 && out.includes('Exit codes:'));
  });
});
