/**
 * How long the leader's pass takes at a size: everything observed, decided and compared with what people see, but nothing sent. Prints milliseconds a pass, by part:
 * when nothing happens, after a node was lost, and when as many volumes as there are shall be placed. `node test/bench/decide.ts NODES VOLUMES`.
 */
import { isDeepStrictEqual } from 'node:util';
import type { VolumeUid } from '../../core/ids.ts';
import type { Entry, View } from '../../core/store.ts';
import type { KubeObject, Resource, SnapshotObject, StorageNodeObject, VolumeObject } from '../../operator/api.ts';
import { Balancer } from '../../operator/balance/balancer.ts';
import { type NodeFacts, nodeStatusOf } from '../../operator/node/status.ts';
import { emptyMemory } from '../../operator/observe/memory.ts';
import { type KubeViews, Observer, type StoreViews } from '../../operator/observe/observe.ts';
import type { Observed } from '../../operator/observe/observed.ts';
import { Overlay } from '../../operator/observe/overlay.ts';
import type { KubeView } from '../../operator/ports.ts';
import { Attention } from '../../operator/reconcile/attention.ts';
import { worldOf } from '../../operator/reconcile/controller.ts';
import { Standing } from '../../operator/reconcile/standing.ts';
import type { Unsettled } from '../../operator/reconcile/statuses.ts';
import { decideSnapshots } from '../../operator/snapshot/decide.ts';
import { decideAll } from '../../operator/volume/decide.ts';
import type { Decision, World } from '../../operator/volume/decision.ts';
import { statusOf } from '../../operator/volume/status.ts';
import { GiB, KEYS, storageNode, WALL_MS } from '../support/operator/builders.ts';
import { machineOf, type NodeLook, uidOf, volumeOf } from '../support/operator/fullWorld.ts';
import { SeededRandom } from '../support/seededRandom.ts';

const [nodeCount = 1_000, volumeCount = 10_000] = process.argv.slice(2).map(Number);
const PASSES = 10;

const random = new SeededRandom(1);
const looks = Array.from(
  { length: nodeCount },
  (_, index): NodeLook => ({ node: `node-${index}`, capacityBytes: 1_000 * GiB, zone: `z${index % 3}` }),
);
let revision = 1;

class FakeView implements View {
  readonly entries = new Map<string, Entry>();
  readonly isCurrent = true;
  changeCount = 0;
  put(key: string, value: unknown): void {
    this.changeCount++;
    this.entries.set(key, { key, value: JSON.stringify(value), revision: String(++revision) });
  }
  remove(key: string): void {
    this.changeCount++;
    this.entries.delete(key);
  }
  close(): void {
    this.entries.clear();
  }
}

class FakeKubeView<Object extends KubeObject> implements KubeView<Object> {
  readonly resource: Resource;
  readonly objects = new Map<string, Object>();
  readonly isCurrent = true;
  changeCount = 0;
  constructor(resource: Resource) {
    this.resource = resource;
  }
  accept(object: Object): void {
    this.changeCount++;
    this.objects.set(object.metadata.name, object);
  }
  close(): void {
    this.objects.clear();
  }
}

const store = Object.fromEntries(
  ['volumes', 'primaries', 'tasks', 'claims', 'history', 'machines', 'serving', 'snapshots', 'scrubs', 'settings'].map((name) => [
    name,
    new FakeView(),
  ]),
) as unknown as { [Name in keyof StoreViews]: FakeView };
const kube = {
  volumes: new FakeKubeView<VolumeObject>('volumes'),
  storagenodes: new FakeKubeView<StorageNodeObject>('storagenodes'),
  snapshots: new FakeKubeView<SnapshotObject>('snapshots'),
};

for (const [index, look] of looks.entries()) {
  store.machines.put(`${KEYS.machines}${look.node}`, machineOf(look, index));
  const object = storageNode('a');
  kube.storagenodes.accept({ ...object, metadata: { ...object.metadata, name: look.node, uid: `uid-${index}` } });
}

const nodesOf = (index: number): string[] => [0, 1, 2].map((place) => `node-${(index * 3 + place) % nodeCount}`);
function addVolume(index: number, isPlaced: boolean): void {
  const volume = volumeOf(
    { on: [nodesOf(index)], sizeBytes: 10 * GiB, spec: isPlaced ? { attachTo: nodesOf(index)[0] ?? '' } : {} },
    index,
  );
  if (!volume.object) return;
  kube.volumes.accept(volume.object);
  if (!isPlaced) return;
  const node = `node-${(index * 3) % nodeCount}`;
  const { instance } = machineOf(looks[(index * 3) % nodeCount] ?? { node }, (index * 3) % nodeCount);
  const config = { ...volume.config.value, minInSync: 2, primary: { node, instance, mode: 'serve' } };
  store.volumes.put(KEYS.volume(volume.uid), config);
  const report = {
    uid: volume.uid,
    node,
    instance,
    epoch: 1,
    state: 'serving',
    socket: '/run/s',
    sinceMs: WALL_MS,
    replicas: [],
    sizeBytes: config.sizeBytes,
  };
  store.serving.put(KEYS.servingOf(volume.uid), report);
}

const ports = {
  sources: { store, kube: kube satisfies KubeViews, keys: KEYS },
  limits: { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 },
  random,
  replaceAfterMs: 600_000,
};
const overlay = new Overlay();
const observer = new Observer({ ...ports.sources, overlay });
const standing = new Standing();
const attention = new Attention();
const balancer = new Balancer('on');
let memory = emptyMemory;
let nowMs = 1_000_000;

type Parts = Record<string, number>;
function timed<Value>(parts: Parts, name: string, run: () => Value): Value {
  const beganMs = performance.now();
  const value = run();
  parts[name] = (parts[name] ?? 0) + performance.now() - beganMs;
  return value;
}

const factsOf = (name: string, observed: Observed, world: World): NodeFacts => ({
  machine: observed.machines.get(name) ?? null,
  replicas: world.ledger.replicas(name),
  blocked: world.blocked.get(name) ?? [],
  removal: null,
  limits: world.limits,
  isOutOfService: false,
  settingsLag: null,
  snapshots: 0,
});

const told = new Map<string, { object: StorageNodeObject; facts: NodeFacts }>();

/** As `Statuses` compares them; what differs is taken as written. */
function tell(observed: Observed, decisions: ReadonlyMap<VolumeUid, Decision>, world: World): Map<VolumeUid, Unsettled> {
  const unsettled = new Map<VolumeUid, Unsettled>();
  for (const [uid, decision] of decisions) {
    const volume = observed.volumes.get(uid);
    if (!volume?.object) continue;
    const status = statusOf({ ...volume, object: volume.object }, decision, world);
    if (isDeepStrictEqual(volume.object.status, status)) continue;
    unsettled.set(uid, 'written');
    kube.volumes.accept({ ...volume.object, status });
  }
  for (const [name, object] of [...observed.storageNodes]) {
    const facts = factsOf(name, observed, world);
    const before = told.get(name);
    // As `Statuses` leaves out those of which nothing is new.
    if (before?.object === object && before.facts.machine === facts.machine && before.facts.replicas === facts.replicas) continue;
    const status = nodeStatusOf(object, facts, world.now);
    if (isDeepStrictEqual(object.status, status)) told.set(name, { object, facts });
    else kube.storagenodes.accept({ ...object, status });
  }
  return unsettled;
}

function pass(parts: Parts = {}): { parts: Parts; decisions: Map<VolumeUid, Decision> } {
  nowMs += 1_000;
  const now = { monotonicMs: nowMs, wallMs: WALL_MS };
  const { observed, difference } = timed(parts, 'observe', () => observer.observe(memory, now));
  memory = observed.memory;
  const hasFreed = timed(parts, 'world', () => standing.update(observed, difference));
  const still = worldOf(observed, now, ports, 7, standing);
  const moves = timed(parts, 'balance', () => balancer.moves(observed.volumes.values(), still));
  const world = { ...still, moves };
  const decisions = timed(parts, 'decide', () =>
    decideAll(
      attention.due(observed, difference, (node) => observer.volumesOn(node), hasFreed, world),
      world,
    ),
  );
  timed(parts, 'snapshots', () => decideSnapshots(world));
  const unsettled = timed(parts, 'statuses', () => tell(observed, decisions, world));
  timed(parts, 'decide', () => attention.note(decisions, unsettled, observed, world));
  return { parts, decisions };
}

function print(what: string, parts: Parts, passes: number, note = ''): void {
  const each = Object.entries(parts).map(([name, ms]) => `${name} ${(ms / passes).toFixed(1)}`);
  const sum = Object.values(parts).reduce((total, ms) => total + ms, 0) / passes;
  console.log(`${what.padEnd(34)} ${sum.toFixed(1).padStart(8)} ms   ${each.join('  ')}  ${note}`);
}

const acting = (decisions: ReadonlyMap<VolumeUid, Decision>): number =>
  [...decisions.values()].filter(({ actions }) => actions.length > 0).length;

console.log(`${nodeCount} nodes, ${volumeCount} volumes of 3 replicas`);
for (let index = 0; index < volumeCount; index++) addVolume(index, true);
print('first pass of a leader', pass().parts, 1);
pass();
const idle: Parts = {};
for (let count = 0; count < PASSES; count++) pass(idle);
print('nothing happens', idle, PASSES);
console.log(
  `${''.padEnd(34)} ${(process.memoryUsage().heapUsed / 2 ** 20).toFixed(0).padStart(8)} MiB of heap, with everything that etcd and the API server hold`,
);

const beating: Parts = {};
for (let count = 0; count < PASSES; count++) {
  // As after 100 ms: a hundred of a thousand machines tell other amounts every second.
  for (let beat = 0; beat < nodeCount / 100; beat++) {
    const index = (count * 97 + beat * 13) % nodeCount;
    store.machines.put(
      `${KEYS.machines}node-${index}`,
      machineOf({ ...looks[index], node: `node-${index}`, used: 0.1 + count / 1_000 }, index),
    );
  }
  pass(beating);
}
print('a hundredth of the machines tell', beating, PASSES);

for (let index = nodeCount; index < nodeCount + 10; index++) {
  const look: NodeLook = { node: `node-${index}`, capacityBytes: 1_000 * GiB, zone: `z${index % 3}` };
  store.machines.put(`${KEYS.machines}${look.node}`, machineOf(look, index));
}
nowMs += 5_000;
const grown = pass();
print('ten machines are added', grown.parts, 1, `${acting(grown.decisions)} volumes decided`);

store.machines.remove(`${KEYS.machines}node-3`);
const lost = pass();
print('a node is lost', lost.parts, 1, `${acting(lost.decisions)} volumes decided`);
nowMs += 601_000;
const away = pass();
print('it stays away', away.parts, 1, `${acting(away.decisions)} volumes decided`);
store.machines.put(`${KEYS.machines}node-3`, machineOf(looks[3] ?? { node: '' }, 3));

for (let index = 0; index < volumeCount; index++) {
  store.volumes.remove(KEYS.volume(uidOf(index)));
  store.serving.remove(KEYS.servingOf(uidOf(index)));
  addVolume(index, false);
}
memory = emptyMemory;
const placed = pass();
print(
  'all are to be placed',
  placed.parts,
  1,
  `${[...placed.decisions.values()].filter(({ state }) => state === 'placing').length} volumes decided`,
);

for (let index = 0; index < volumeCount; index++) {
  const object = kube.volumes.objects.get(`v${index}`);
  if (object)
    kube.volumes.accept({ ...object, spec: { ...object.spec, placement: { ...object.spec.placement, nodeSelector: { no: 'where' } } } });
}
const vain = pass();
const waiting = [...vain.decisions.values()].filter(({ state }) => state === 'unschedulable').length;
print('all fit nowhere', vain.parts, 1, `${waiting} volumes decided`);
nowMs += 11_000;
const again = pass();
print('they are tried again', again.parts, 1, `${again.decisions.size} volumes decided`);
