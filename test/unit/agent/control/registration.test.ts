/** The machine's key: when it is told, and who may have it. */
import { expect } from 'chai';
import { CallSlots } from '../../../../agent/control/calls.ts';
import { isWorthTelling, Registration } from '../../../../agent/control/registration.ts';
import type { InstanceId } from '../../../../core/ids.ts';
import { keysOf } from '../../../../core/keys.ts';
import { silentLog } from '../../../../core/log.ts';
import type { MachineState } from '../../../../core/machine.ts';
import { INSTANCE, OTHER_INSTANCE, REPLICAS, UID } from '../../../support/configs.ts';
import { ManualClock } from '../../../support/manualClock.ts';
import { atRest, type Fault, ScriptedLease, ScriptedStore } from '../../../support/scriptedStore.ts';

const keys = keysOf('test');
const KEY = keys.machine('node-a');
const GIB = 1024 ** 3;

const machine = (change: Partial<MachineState> = {}): MachineState => ({
  node: 'node-a',
  instance: INSTANCE,
  addresses: { http: '10.0.0.1:9443' },
  bootId: 'boot-1',
  zone: '',
  labels: {},
  pools: [{ name: 'default', capacityBytes: 100 * GIB, usedBytes: 10 * GIB, allocatedBytes: 0, tags: [], reflink: false, state: 'ready' }],
  failedReplicas: [],
  version: '0.1.0',
  settingsVersion: 1,
  ...change,
});

const pool = (change: Partial<MachineState['pools'][number]>): Partial<MachineState> => ({
  pools: machine().pools.map((one) => ({ ...one, ...change })),
});

class Agent {
  readonly lease = new ScriptedLease();
  readonly clock = new ManualClock();
  readonly displaced: string[] = [];
  readonly schema: { problem: string | null } = { problem: null };
  readonly registration: Registration;
  readonly store: ScriptedStore;
  state: MachineState;

  constructor(store = new ScriptedStore(), change: Partial<MachineState> = {}) {
    this.store = store;
    this.state = machine(change);
    const { lease, clock } = this;
    this.registration = new Registration({
      store,
      lease,
      clock,
      keys,
      leaseMs: 3_000,
      slots: new CallSlots(),
      log: silentLog,
      state: () => this.state,
      schema: this.schema,
      displaced: (sentence) => this.displaced.push(sentence),
    });
  }

  async run(forMs = 1_000): Promise<void> {
    for (let spentMs = 0; spentMs < forMs; spentMs += 50) {
      await atRest();
      this.clock.advance(50);
      this.registration.tick();
    }
    await atRest();
  }

  get stands(): MachineState | null {
    return this.store.json(KEY);
  }
}

describe('what is worth telling of a machine', () => {
  const CASES: { name: string; now: Partial<MachineState>; afterMs: number; told: boolean }[] = [
    { name: 'nothing, when nothing changed', now: {}, afterMs: 60_000, told: false },
    { name: 'a pool that is quarantined, at once', now: pool({ state: 'quarantined', reason: 'EIO' }), afterMs: 0, told: true },
    {
      name: 'a replica that failed, at once',
      now: { failedReplicas: [{ volume: UID, replica: REPLICAS[0] as never, reason: 'cut' }] },
      afterMs: 0,
      told: true,
    },
    { name: 'promised bytes, at once', now: pool({ allocatedBytes: GIB }), afterMs: 0, told: true },
    { name: 'the settings that are in force, at once', now: { settingsVersion: 2 }, afterMs: 0, told: true },
    { name: 'a lot of space, but not too often', now: pool({ usedBytes: 50 * GIB }), afterMs: 9_999, told: false },
    { name: 'a lot of space, after a while', now: pool({ usedBytes: 50 * GIB }), afterMs: 10_000, told: true },
    { name: 'a little space, never', now: pool({ usedBytes: 10.9 * GIB }), afterMs: 600_000, told: false },
    { name: 'space that was freed', now: pool({ usedBytes: 8 * GIB }), afterMs: 10_000, told: true },
    { name: 'a pool that grew', now: pool({ capacityBytes: 200 * GIB }), afterMs: 10_000, told: true },
  ];
  for (const { name, now, afterMs, told } of CASES) {
    it(name, () => expect(isWorthTelling(machine(), machine(now), afterMs)).to.equal(told));
  }
  it('everything, the first time', () => expect(isWorthTelling(null, machine(), 0)).to.equal(true));
});

describe('a machine registers', () => {
  it('does not come while etcd is of a schema that is not known here, looks often, and stays when that is so later', async () => {
    const agent = new Agent();
    agent.lease.grant();
    agent.schema.problem = 'etcd is of schema 9';
    await agent.run(5_000);
    expect([agent.stands, agent.registration.wasRegistered]).to.deep.equal([null, false]);
    expect(agent.registration.dueAtMs - agent.clock.monotonicMs()).to.be.within(-50, 20);
    agent.schema.problem = null;
    await agent.run();
    expect(agent.stands?.node).to.equal(agent.state.node);
    agent.schema.problem = 'etcd is of schema 9';
    agent.state = machine({ settingsVersion: 7 });
    await agent.run(2_000);
    expect(agent.stands?.settingsVersion).to.equal(7);
  });

  it('under its lease, and is rewritten when something happens', async () => {
    const agent = new Agent();
    await agent.run();
    expect(agent.stands).to.deep.equal(agent.state);
    expect(agent.registration.wasRegistered).to.equal(true);
    agent.state = machine({ settingsVersion: 2 });
    await agent.run(2_000);
    expect(agent.stands?.settingsVersion).to.equal(2);
    agent.store.expireLeases();
    expect(agent.stands, 'it stood under the lease').to.equal(null);
  });

  for (const fault of ['lostBefore', 'lostAfter', 'late'] as Fault[]) {
    it(`also when the first answer is ${fault}`, async () => {
      const agent = new Agent();
      agent.store.commitFaults.push(fault);
      await agent.run(500);
      agent.store.land();
      await agent.run(3_000);
      expect(agent.stands).to.deep.equal(agent.state);
      expect(agent.displaced).to.deep.equal([]);
    });
  }

  it('says that it is stopping at the next tick, whenever it looked last, and knows when etcd has it', async () => {
    const agent = new Agent();
    await agent.run();
    expect(agent.stands).not.to.have.property('stopping');
    await agent.run(500);
    agent.registration.stopping();
    expect(agent.registration.isToldStopping).to.equal(false);
    await agent.run(100);
    expect(agent.stands).to.deep.equal({ ...agent.state, stopping: true });
    expect(agent.registration.isToldStopping).to.equal(true);
  });

  it('in the place of its former process that was stopping, as one that is not', async () => {
    const agent = new Agent();
    agent.store.put(KEY, machine({ instance: OTHER_INSTANCE, stopping: true }), true);
    await agent.run(300);
    expect(agent.stands).to.deep.equal(agent.state);
  });

  it('in the place of one that tells more than this one knows', async () => {
    const agent = new Agent();
    agent.store.put(KEY, { ...machine({ instance: OTHER_INSTANCE }), wordOfALaterVersion: { much: true } }, true);
    await agent.run(300);
    expect(agent.stands?.instance).to.equal(INSTANCE);
  });

  it('again under each new lease, and not while there is none', async () => {
    const agent = new Agent();
    agent.lease.isAlive = false;
    await agent.run();
    expect(agent.stands).to.equal(null);
    agent.lease.grant();
    await agent.run();
    expect(agent.stands).to.deep.equal(agent.state);
    // Lost, and granted anew while the old key still stands: it must be put under the new one.
    agent.lease.grant();
    const landed = agent.store.landed.length;
    await agent.run();
    expect(agent.store.landed.length).to.equal(landed + 1);
  });

  it('again when somebody deleted its key', async () => {
    const agent = new Agent();
    await agent.run();
    agent.store.delete(KEY);
    await agent.run(6_000);
    expect(agent.stands).to.deep.equal(agent.state);
  });

  it('in quiet times nothing is written', async () => {
    const agent = new Agent();
    await agent.run(2_000);
    const asked = agent.store.asked.length;
    await agent.run(60_000);
    expect(agent.store.asked.length).to.equal(asked);
  });

  it('at once in the place of its own former process, whose key waits for its lease', async () => {
    const agent = new Agent();
    agent.store.put(KEY, machine({ instance: OTHER_INSTANCE }), true);
    await agent.run(300);
    expect(agent.stands?.instance).to.equal(INSTANCE);
  });

  it('after a reboot, when the key of before has gone with its lease', async () => {
    const agent = new Agent();
    agent.store.put(KEY, machine({ instance: OTHER_INSTANCE, bootId: 'boot-0' }), true);
    await agent.run(2_500);
    expect(agent.stands?.instance).to.equal(OTHER_INSTANCE);
    agent.store.expireLeases();
    await agent.run(1_000);
    expect(agent.stands?.instance).to.equal(INSTANCE);
    expect(agent.displaced).to.deep.equal([]);
  });

  it('not over one that registered between its look and its write', async () => {
    const agent = new Agent();
    agent.store.commitFaults.push('held');
    await agent.run(200);
    const other = machine({ instance: OTHER_INSTANCE, bootId: 'boot-of-another' });
    agent.store.put(KEY, other, true);
    agent.store.release();
    await agent.run(2_000);
    expect(agent.stands).to.deep.equal(other);
  });

  it('not in the place of another machine that lives under its name: it ends with a sentence', async () => {
    const agent = new Agent();
    agent.store.put(KEY, machine({ instance: OTHER_INSTANCE, bootId: 'boot-of-another' }), true);
    await agent.run(15_000);
    expect(agent.stands?.instance).to.equal(OTHER_INSTANCE);
    expect(agent.displaced[0]).to.match(/another machine is alive under the name node-a .*NODE_NAME must be unique/);
  });

  it('and ends when another process takes its place: the newest start wins', async () => {
    const store = new ScriptedStore();
    const older = new Agent(store);
    await older.run();
    const newer = new Agent(store, { instance: OTHER_INSTANCE as InstanceId });
    await newer.run();
    await older.run(6_000);
    expect(older.displaced[0]).to.match(/another agent has registered as node-a .* ends/);
    await newer.run(6_000);
    expect(newer.displaced).to.deep.equal([]);
    expect(newer.stands?.instance).to.equal(OTHER_INSTANCE);
  });
});
