/**
 * Replica files that were cut, flipped or lost while their agent was down: it says which file and why, serves none of them, and they are made again
 * from their peers, equal byte for byte. One node's replicas, each of a volume of its own, are all damaged at once, each in another way.
 */
import { closeSync, existsSync, openSync, readSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { run } from '../../tools/demo/run.ts';
import type { DemoVolume } from '../../tools/demo/volume.ts';
import { waitFor } from '../../tools/local/wait.ts';
import { HEALTHY_BOUND_MS, qemuIo, RETURN_BOUND_MS, START_BOUND_MS, showLogsOfFailures, World } from './world.ts';

const SIZE = '16Mi';
const DAMAGED_NODE = 'node-c';
/** Told of within the start of an agent and one report. */
const TOLD_BOUND_MS = 20_000;

function cut(file: string): void {
  truncateSync(file, statSync(file).size - 4096);
}

/** In the middle of what is there, past the magic that begins it. */
function flip(file: string): void {
  const descriptor = openSync(file, 'r+');
  try {
    const byte = Buffer.alloc(1);
    for (const at of [24, 4096 + 24]) {
      if (readSync(descriptor, byte, 0, 1, at) === 0) continue;
      byte.writeUInt8(byte.readUInt8() ^ 0x10);
      writeSync(descriptor, byte, 0, 1, at);
    }
  } finally {
    closeSync(descriptor);
  }
}

type Damage = { what: string; attachTo: string; harm: (replica: string) => void; says: string };
const inFile = (name: string, harm: (file: string) => void) => (replica: string) => harm(path.join(replica, name));
const DAMAGES: Damage[] = [
  { what: 'the data cut short', attachTo: 'node-a', harm: inFile('data', cut), says: 'data: it is 16773120 bytes long, not 16777216' },
  { what: 'the meta flipped', attachTo: 'node-a', harm: inFile('meta', flip), says: 'meta: its checksum line is missing or wrong' },
  {
    what: 'the intent log flipped',
    attachTo: 'node-a',
    harm: inFile('intents', flip),
    says: 'intents: page 0, slot 0, sector 0: the checksum is wrong',
  },
  { what: 'the intent log cut short', attachTo: '', harm: inFile('intents', cut), says: 'intents: it is 4096 bytes long, not 8192' },
  {
    what: 'the stamps flipped',
    attachTo: '',
    harm: inFile('stamps', flip),
    says: 'stamps: page 0, slot 0, sector 0: the checksum is wrong',
  },
  { what: 'the data gone', attachTo: '', harm: inFile('data', (file) => rmSync(file)), says: 'data: it is missing' },
  {
    what: 'the whole directory gone',
    attachTo: 'node-a',
    harm: (replica) => rmSync(replica, { recursive: true }),
    says: 'its files are missing: no pool of this agent has them',
  },
];

describe('end to end: damaged replicas', function () {
  this.timeout(120_000);
  let world: World;
  const volumes = new Map<Damage, DemoVolume>();
  const damaged = new Map<Damage, string>();

  before(async function () {
    this.timeout(START_BOUND_MS);
    world = await World.open(3);
    await Promise.all(
      DAMAGES.map(async (damage, index) => {
        const { volume, socket } = await world.volume(SIZE, 3, 'node-a');
        volumes.set(damage, volume);
        await qemuIo(socket, `write -P ${index + 1} 0 3M`, `write -P ${index + 101} 9M 1M`, 'flush');
        if (damage.attachTo === '') await world.detach(volume);
        damaged.set(damage, await world.replicaOn(DAMAGED_NODE, volume));
      }),
    );
    await world.cluster.process(`agent/${DAMAGED_NODE}`).kill('SIGTERM');
    for (const [damage, replica] of damaged) damage.harm(replica);
    world.cluster.process(`agent/${DAMAGED_NODE}`).start();
  });
  after(() => world?.close());
  showLogsOfFailures(() => world);

  const of = (damage: Damage): DemoVolume => volumes.get(damage) ?? world.newVolume();
  /** Of the status nobody might see it: the replica may be made anew before anybody looks. The Event is told with what is done about it. */
  const eventsOf = (volume: DemoVolume): Promise<string> => {
    const ofVolume = ['--field-selector', `involvedObject.name=${volume.name}`, '-o', 'jsonpath={.items[*].message}'];
    return world.cluster.kubectl(['get', 'events', '-A', ...ofVolume]);
  };

  for (const damage of DAMAGES) {
    it(`${damage.what}: it says so, and the volume (${damage.attachTo === '' ? 'detached' : 'in use'}) is whole again, equal on every node`, async () => {
      const volume = of(damage);
      await waitFor('the Event with the reason', TOLD_BOUND_MS, async () => {
        const events = await eventsOf(volume);
        return events.includes(`the replica on ${DAMAGED_NODE} (${damage.says}) is made anew on ${DAMAGED_NODE}`)
          ? { value: true }
          : { reason: `the Events are ${events}, the status is ${JSON.stringify(await volume.status())}` };
      });
      const old = damaged.get(damage) ?? '';
      await volume.until('made anew', RETURN_BOUND_MS, ({ phase, inSync, replicas }) => {
        return (
          phase === 'Healthy' && inSync === '3/3' && replicas?.length === 3 && replicas.every(({ name }) => name !== path.basename(old))
        );
      });
      await waitFor('the damaged files to go', HEALTHY_BOUND_MS, async () =>
        existsSync(old) ? { reason: `${old} is there` } : { value: true },
      );
      await world.detach(volume);
      const copies = await Promise.all(world.cluster.nodes.map(async (node) => path.join(await world.replicaOn(node, volume), 'data')));
      const digests = new Set(await Promise.all(copies.map(async (copy) => (await run('sha256sum', copy)).slice(0, 64))));
      expect(digests.size, 'the replicas are equal').to.equal(1);
      const index = DAMAGES.indexOf(damage);
      await volume.attachTo(DAMAGED_NODE);
      const socket = await volume.untilServedBy(DAMAGED_NODE, HEALTHY_BOUND_MS);
      await qemuIo(socket, `read -P ${index + 1} 0 3M`, `read -P ${index + 101} 9M 1M`, 'read -P 0 3M 6M');
    });
  }
});
