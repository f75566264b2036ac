/** The control plane of a local cluster, as the other tests get it: real etcd, real kube-apiserver, TLS and RBAC on. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { type Cluster, startCluster } from '../../../tools/local/cluster.ts';
import { LocalClusterError } from '../../../tools/local/errors.ts';
import { answersOk } from '../../../tools/local/https.ts';
import { findProcesses } from '../../../tools/local/processes.ts';
import { waitFor } from '../../../tools/local/wait.ts';

/** The first run builds etcd and kube-apiserver. */
const FIRST_START_MS = 20 * 60_000;
const START_MS = 120_000;

/** Not there yet, in a directory that goes when all tests are done. */
let parent: string;
let directories = 0;

function newDirectory(): string {
  directories++;
  return path.join(parent, String(directories));
}

function withoutCertificate(url: string): Promise<string> {
  return new Promise((resolve) => {
    const call = request(url, { rejectUnauthorized: false, agent: false }, (response) => resolve(`status ${response.statusCode}`));
    call.on('error', (error) => resolve(error.message));
    call.end();
  });
}

describe('local cluster: control plane', function () {
  this.timeout(START_MS);
  let cluster: Cluster;

  before(async function () {
    this.timeout(FIRST_START_MS);
    parent = await mkdtemp(path.join(tmpdir(), 'hf-'));
    cluster = await startCluster({ directory: newDirectory(), nodes: 0, operators: 0 });
  });

  after(async () => {
    await cluster?.stop();
    expect(findProcesses(parent)).to.deep.equal([]);
    expect(readdirSync(parent)).to.deep.equal([]);
    await rm(parent, { recursive: true });
  });

  it('has an API server that knows our kinds and refuses what breaks their rules', async () => {
    const kinds = await cluster.kubectl(['api-resources', '--api-group=holdfast.dev', '-o', 'name']);
    expect(kinds.trim().split('\n').sort()).to.deep.equal(['snapshots.holdfast.dev', 'storagenodes.holdfast.dev', 'volumes.holdfast.dev']);
    const wrong = JSON.stringify({ apiVersion: 'holdfast.dev/v1alpha1', kind: 'Volume', metadata: { name: 'x' }, spec: { size: '0' } });
    const answer = await cluster.kubectl(['create', '-f', '-'], wrong).then(
      () => 'created',
      (error: Error) => error.message,
    );
    expect(answer).to.match(/The Volume "x" is invalid: .*spec\.size/);
  });

  it('lets an operator do what it must, and nothing else', async () => {
    const can = (words: string[]): Promise<string> =>
      cluster.kubectl(['auth', 'can-i', ...words, '--as=holdfast-operator']).then(
        (output) => output.trim(),
        () => 'no', // can-i fails when the answer is no
      );
    const answers = await Promise.all(
      [
        ['update', 'volumes.holdfast.dev/status'],
        ['create', 'storagenodes.holdfast.dev'],
        ['update', 'leases.coordination.k8s.io', '-n', 'holdfast-system'],
        ['create', 'volumes.holdfast.dev'], // for claims: local clusters have CSI
        ['delete', 'storagenodes.holdfast.dev'],
        ['update', 'leases.coordination.k8s.io', '-n', 'default'],
        ['get', 'secrets', '-n', 'holdfast-system'],
      ].map(can),
    );
    expect(answers).to.deep.equal(['yes', 'yes', 'yes', 'yes', 'no', 'no', 'no']);
  });

  it('speaks only to who has a certificate', async () => {
    const [endpoint = ''] = cluster.etcd.endpoints;
    expect(await answersOk(`${endpoint}/readyz`, cluster.etcd.tls)).to.have.property('value');
    expect(await withoutCertificate(`${endpoint}/readyz`)).to.match(/certificate required|ECONNRESET|bad certificate/);
    const server = (JSON.parse(readFileSync(cluster.kubeconfig, 'utf8')) as { clusters: [{ cluster: { server: string } }] }).clusters[0]
      .cluster.server;
    expect(await withoutCertificate(`${server}/api`)).to.equal('status 401');
  });

  it('comes back on the same ports with the same state after its processes were killed', async () => {
    await cluster.kubectl(['create', 'configmap', 'kept', '-n', 'holdfast-system']);
    const endpoints = cluster.etcd.endpoints;
    const pid = cluster.process('apiserver/apiserver').pid;
    await cluster.process('etcd/etcd-0').kill('SIGKILL');
    await cluster.process('apiserver/apiserver').kill('SIGKILL');
    await cluster.grow(0, 0);
    expect(cluster.etcd.endpoints).to.deep.equal(endpoints);
    expect(cluster.process('apiserver/apiserver').pid).not.to.equal(pid);
    expect(await cluster.kubectl(['get', 'configmap', 'kept', '-n', 'holdfast-system', '-o', 'name'])).to.equal('configmap/kept\n');
  });

  it('does not disturb another cluster beside it', async () => {
    const other = await startCluster({ directory: newDirectory(), nodes: 0, operators: 0 });
    try {
      expect(other.etcd.endpoints).not.to.deep.equal(cluster.etcd.endpoints);
      await other.kubectl(['create', 'configmap', 'only-there', '-n', 'holdfast-system']);
    } finally {
      await other.stop();
    }
    expect(await cluster.kubectl(['get', 'configmaps', '-n', 'holdfast-system', '-o', 'name'])).not.to.include('only-there');
  });

  it('is not started twice at a time in one directory', async () => {
    const directory = newDirectory();
    const first = startCluster({ directory, nodes: 0, operators: 0 });
    const second = await startCluster({ directory, nodes: 0, operators: 0 }).then(
      () => undefined,
      (error: unknown) => error,
    );
    await (await first).stop();
    expect(second)
      .to.be.instanceOf(LocalClusterError)
      .with.property('message')
      .that.matches(/is at work in/);
  });

  it('shows the log of a process that does not stay, and leaves nothing of itself', async () => {
    const directory = newDirectory();
    const error = await startCluster({ directory, nodes: 1, operators: 0, nodeOptions: () => ({ environment: { POOLS: 'wrong' } }) }).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error)
      .to.be.instanceOf(LocalClusterError)
      .with.property('message')
      .that.matches(/^agent\/node-a ended by itself/);
    expect(error)
      .to.have.property('details')
      .that.matches(/the end of .*agent\/node-a\/log:\n {2}\S/);
    expect(existsSync(directory)).to.equal(false);
    expect(findProcesses(directory)).to.deep.equal([]);
  });

  it('ends with the program that started it, however that ends', async () => {
    const directory = newDirectory();
    const holder = spawn(process.execPath, ['test/support/clusterHolder.ts', directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(holder.stdout, 'data');
    expect(findProcesses(directory)).to.have.length(2);
    holder.kill('SIGKILL');
    await waitFor('the end of the cluster', 30_000, () => {
      const left = findProcesses(directory).length;
      return Promise.resolve(left === 0 && !existsSync(directory) ? { value: true } : { reason: `${left} processes are left` });
    });
  });
});
