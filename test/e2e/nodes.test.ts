/** What people do with nodes, and what becomes of nodes that stay away, under a volume that is being written: nothing acknowledged is lost, and no copy too few. */
import { expect } from 'chai';
import type { StorageNode } from '../../operator/generated/storagenode.ts';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { fetchText } from '../support/operator/realCluster.ts';
import { FAILOVER_BOUND_MS, LEADER_BOUND_MS, RETURN_BOUND_MS, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';
import type { Writer } from './writer.ts';

const MORE = 100;
const REPLACE_AFTER_SECONDS = 5;
const TAINT = 'node.kubernetes.io/out-of-service';

type KubeNode = { metadata: { annotations?: Record<string, string> }; spec?: { taints?: { key: string }[] } };

describe('end to end: nodes', function () {
  this.timeout(180_000);
  let world: World;
  let volume: DemoVolume;
  let writer: Writer;
  let socket: string;

  before(async function () {
    this.timeout(START_BOUND_MS);
    world = await World.open(4, undefined, { operatorEnvironment: { REPLACE_AFTER_SECONDS: String(REPLACE_AFTER_SECONDS) } });
    ({ volume, socket } = await world.volume('512Mi', 3, 'node-a'));
    writer = world.writer(volume);
  });
  after(() => world?.close());
  showLogsOfFailures(() => world);

  const kubectl = (...words: string[]): Promise<string> => world.cluster.kubectl(words);
  const want = (node: string, spec: object): Promise<string> =>
    kubectl('patch', 'storagenode', node, '--type', 'merge', '--patch', JSON.stringify({ spec }));
  const agentOf = (node: string) => world.cluster.process(`agent/${node}`);
  const conditionOf = async (node: string, type: string) => {
    const text = await kubectl('get', 'storagenode', node, '--ignore-not-found', '--output', 'json');
    const { status } = text.trim() === '' ? {} : (JSON.parse(text) as StorageNode);
    return status?.conditions?.find((condition) => condition.type === type);
  };
  const untilCondition = (node: string, type: string, status: string, boundMs = RETURN_BOUND_MS) =>
    waitFor(`${node} to be ${type} ${status}`, boundMs, async () => {
      const condition = await conditionOf(node, type);
      return (condition?.status ?? 'False') === status ? { value: true } : { reason: `it is ${JSON.stringify(condition)}` };
    });
  const nodesOf = async (): Promise<string[]> => ((await volume.status()).replicas ?? []).map(({ node }) => node).sort();
  /** One that holds a replica and does not serve it. */
  const secondary = async (): Promise<string> => (await nodesOf()).find((node) => node !== 'node-a') ?? '';
  const eventsOf = async (name: string): Promise<string[]> => {
    const { items } = JSON.parse(await kubectl('get', 'events.events.k8s.io', '-n', 'default', '-o', 'json')) as {
      items: { reason: string; regarding: { name: string } }[];
    };
    return items.filter(({ regarding }) => regarding.name === name).map(({ reason }) => reason);
  };
  const countOf = async (state: string): Promise<number> => {
    const url = world.cluster.url(await world.leader());
    const text = (await fetchText(`${url}/metrics`, world.cluster.administrator)) ?? '';
    return Number(new RegExp(`^holdfast_nodes_count\\{state="${state}"\\} (\\d+)`, 'm').exec(text)?.[1] ?? Number.NaN);
  };

  /** Before it the volume is on node-a, Healthy and written to; afterwards too, and everything acknowledged in any test so far is there. */
  const written = (title: string, happens: () => Promise<void>) =>
    it(title, async () => {
      for (const each of world.cluster.processes) each.start();
      await volume.untilServedBy('node-a', LEADER_BOUND_MS);
      await volume.untilHealthy(3, RETURN_BOUND_MS);
      writer.begin();
      try {
        await writer.untilMore(MORE);
        await happens();
        await writer.untilMore(MORE);
        await volume.untilHealthy(3, RETURN_BOUND_MS);
      } finally {
        await writer.end();
      }
      expect(await writer.faults(socket), 'acknowledged writes that are lost').to.deep.equal([]);
    });

  written('a machine that is planned to go down: nothing is replaced and nobody is called', async () => {
    const node = await secondary();
    const before = await nodesOf();
    await want(node, { maintenance: true });
    await agentOf(node).kill('SIGKILL');
    await untilCondition(node, 'Ready', 'False');
    await volume.until('Degraded', FAILOVER_BOUND_MS, ({ phase }) => phase === 'Degraded');
    expect(await countOf('maintenance')).to.equal(1);
    expect(await countOf('away')).to.equal(0);
    // As long again as a node would be waited for that nobody announced.
    const sinceMs = performance.now();
    while (performance.now() - sinceMs < 2_000 * REPLACE_AFTER_SECONDS) await writer.untilMore(1);
    expect(await nodesOf()).to.deep.equal(before);
    agentOf(node).start();
    await volume.untilHealthy(3, RETURN_BOUND_MS);
    await want(node, { maintenance: false });
    expect(await eventsOf(node)).to.not.include('NodeAway');
  });

  written('a node with a replica that stays away: another is made elsewhere, and the old one goes when it is back', async () => {
    const node = await secondary();
    await agentOf(node).kill('SIGKILL');
    await volume.until(`without ${node}`, RETURN_BOUND_MS, ({ replicas }) => !replicas?.some((replica) => replica.node === node));
    await volume.untilHealthy(3, RETURN_BOUND_MS);
    expect(await eventsOf(volume.name)).to.include('ReplicaReplaced');
    agentOf(node).start();
    await untilCondition(node, 'Ready', 'True');
    expect(await eventsOf(node)).to.include.members(['NodeAway', 'NodeBack']);
  });

  written('a node that is emptied: each replica is copied before it goes, and the node says when it is empty', async () => {
    const node = await secondary();
    await want(node, { evict: true, schedulable: false });
    await waitFor('it to be empty', RETURN_BOUND_MS, async () => {
      const { inSync = '' } = await volume.status();
      expect(Number(inSync.split('/')[0]), 'copies meanwhile').to.be.at.least(3);
      const condition = await conditionOf(node, 'Evicted');
      return condition?.status === 'True' ? { value: true } : { reason: JSON.stringify(condition) };
    });
    // The volume's status is a write of its own.
    await volume.until(`without ${node}`, RETURN_BOUND_MS, ({ replicas }) => !replicas?.some((replica) => replica.node === node));
    await want(node, { evict: false, schedulable: true });
    await untilCondition(node, 'Schedulable', 'True');
  });

  written('a replica that people want elsewhere is moved there', async () => {
    const from = await secondary();
    const holding = await nodesOf();
    const to = world.cluster.nodes.find((node) => !holding.includes(node)) ?? '';
    await kubectl('annotate', 'volume', volume.name, `holdfast.dev/move=${from}=${to}`);
    await waitFor('the wish to be fulfilled', RETURN_BOUND_MS, async () => {
      const left = await kubectl('get', 'volume', volume.name, '-o', 'jsonpath={.metadata.annotations.holdfast\\.dev/move}');
      return left === '' ? { value: true } : { reason: left };
    });
    expect(await eventsOf(volume.name)).to.include('Moved');
    await volume.until('three replicas', RETURN_BOUND_MS, ({ replicas }) => replicas?.length === 3);
    expect(await nodesOf())
      .to.include(to)
      .and.not.include(from);
  });

  written('a node with the primary that is dead for Kubernetes too: fenced, then tainted, and lifted when it is back', async () => {
    const metadata = { name: 'node-a' };
    await world.cluster.kubectl(['create', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata }));
    const node = async () => JSON.parse(await kubectl('get', 'node', 'node-a', '--output', 'json')) as KubeNode;
    const isTainted = async (): Promise<boolean> => (await node()).spec?.taints?.some(({ key }) => key === TAINT) ?? false;
    const { epoch = 0 } = await volume.status();
    await agentOf('node-a').kill('SIGKILL');
    await waitFor('the taint', RETURN_BOUND_MS, async () => {
      // Asked for before the status is: what was true of etcd then is true of it now.
      if (!(await isTainted())) return { reason: 'there is none' };
      expect((await volume.status()).epoch, 'fenced before it is tainted').to.be.greaterThan(epoch);
      return { value: true };
    });
    await volume.attachTo('node-b');
    await volume.untilServedBy('node-b', FAILOVER_BOUND_MS);
    await writer.untilMore(MORE);
    agentOf('node-a').start();
    await waitFor('it to be lifted', RETURN_BOUND_MS, async () => ((await isTainted()) ? { reason: 'it is there' } : { value: true }));
    expect((await node()).metadata.annotations ?? {}).to.not.have.property('holdfast.dev/out-of-service');
    await volume.attachTo('node-a');
    await volume.untilServedBy('node-a', FAILOVER_BOUND_MS);
  });

  written('a node that is removed for good while it is silent: made anew elsewhere at once, and no task waits for it', async () => {
    const node = await secondary();
    await want(node, { maintenance: true });
    await agentOf(node).kill('SIGKILL');
    await untilCondition(node, 'Ready', 'False');
    await kubectl('delete', 'storagenode', node, '--timeout', '60s');
    await volume.until(`without ${node}`, RETURN_BOUND_MS, ({ replicas }) => !replicas?.some((replica) => replica.node === node));
    expect(await nodesOf()).to.not.include(node);
    agentOf(node).start();
    await untilCondition(node, 'Ready', 'True');
  });
});
