/** A whole local cluster: operators and agents with it, mended and grown while it runs. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { type Cluster, startCluster } from '../../../tools/local/cluster.ts';
import { findProcesses } from '../../../tools/local/processes.ts';

const START_MS = 20 * 60_000;
const TEST_MS = 120_000;

type Nodes = { items: { metadata: { name: string }; status: { conditions: { type: string; status: string }[] } }[] };

describe('local cluster: operators and agents', function () {
  this.timeout(TEST_MS);
  let parent: string;
  let cluster: Cluster;

  before(async function () {
    this.timeout(START_MS);
    parent = await mkdtemp(path.join(tmpdir(), 'hf-'));
    cluster = await startCluster({
      directory: path.join(parent, 'c'),
      nodes: 1,
      operators: 1,
      nodeOptions: (node) => ({ zone: `zone-of-${node}` }),
    });
  });

  after(async () => {
    await cluster?.stop();
    expect(findProcesses(parent)).to.deep.equal([]);
    await rm(parent, { recursive: true });
  });

  async function readyNodes(): Promise<string[]> {
    const { items } = JSON.parse(await cluster.kubectl(['get', 'storagenodes', '-o', 'json'])) as Nodes;
    const isReady = (node: Nodes['items'][number]): boolean =>
      node.status.conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
    return items.filter(isReady).map(({ metadata }) => metadata.name);
  }

  it('shows every node as Ready, with the zone that it was given', async () => {
    expect(await readyNodes()).to.deep.equal(['node-a']);
    expect(await cluster.kubectl(['get', 'storagenode', 'node-a'])).to.include('zone-of-node-a');
  });

  it('starts a killed agent again and adds a node, and leaves the others alone', async () => {
    const operator = cluster.process('operator/operator-0').pid;
    const url = cluster.url('agent/node-a');
    await cluster.process('agent/node-a').kill('SIGKILL');
    expect(cluster.process('agent/node-a').pid).to.equal(undefined);
    await cluster.grow(2, 1);
    expect(await readyNodes()).to.deep.equal(['node-a', 'node-b']);
    expect(cluster.url('agent/node-a')).to.equal(url);
    expect(cluster.process('operator/operator-0').pid).to.equal(operator);
  });

  it('lets one process be started again by itself, on its old ports', async () => {
    const agent = cluster.process('agent/node-b');
    await agent.stop();
    expect(agent.start()).to.equal(true);
    await cluster.waitUntilReady('agent/node-b');
  });
});
