/** The devices' state machine: as often as one likes, one at a time, and after a holder that died at any step. */
import { expect } from 'chai';
import { Devices, HolderRefusal } from '../../../../agent/holder/devices.ts';
import type { Attached, Backend, Records, Way, Wish } from '../../../../agent/holder/ports.ts';
import { silentLog } from '../../../../core/log.ts';

const WISH: Wish = { name: 'pgdata', uid: 'uid-1', socket: '/run/pgdata.sock', sizeBytes: 4096, readonly: false };

/** A machine: what lives in it outlives the holder. `troubleAt` makes one step fail, once. */
class Machine implements Backend, Records {
  readonly way: Way;
  readonly steps: string[] = [];
  readonly files = new Map<string, Attached>();
  readonly directories = new Set<string>();
  readonly running = new Set<string>();
  troubleAt = '';
  gate: Promise<void> = Promise.resolve();
  readonly takenUp: string[] = [];
  #devices = 0;

  constructor(way: Way = 'fuse') {
    this.way = way;
  }

  unfit = async () => null;
  takeUp = ({ name }: Attached) => void this.takenUp.push(name);
  close = async () => undefined;
  directory = (name: string) => `/devices/${name}`;
  load = () =>
    [...this.directories].map(
      (path) => this.files.get(path) ?? { ...WISH, name: path.slice(9), way: this.way, device: '', failed: false, pids: [0] },
    );

  async attach(_wish: Wish, directory: string): Promise<{ device: string; pids: number[] }> {
    await this.gate;
    this.#step('attach');
    expect(this.running.has(directory), 'a second device of one volume').to.equal(false);
    this.directories.add(directory);
    this.running.add(directory);
    return { device: `/dev/loop${this.#devices++}`, pids: [10, 11] };
  }
  async resize(): Promise<void> {
    this.#step('resize');
  }
  async fail({ name }: Attached): Promise<void> {
    this.#step('fail');
    this.running.delete(this.directory(name));
  }
  async detach(_attached: Attached, directory: string): Promise<void> {
    this.#step('detach');
    await this.clear(directory);
  }
  isAlive = ({ name, device }: Attached) => device !== '' && this.running.has(this.directory(name));
  async clear(directory: string): Promise<void> {
    if (this.directories.has(directory)) this.steps.push('clear');
    this.directories.delete(directory);
    this.files.delete(directory);
    this.running.delete(directory);
  }
  save(attached: Attached): void {
    this.#step('save');
    this.files.set(this.directory(attached.name), attached);
  }
  remove(name: string): void {
    this.#step('remove');
    this.files.delete(this.directory(name));
    this.directories.delete(this.directory(name));
  }
  #step(step: string): void {
    this.steps.push(step);
    if (step !== this.troubleAt) return;
    this.troubleAt = '';
    throw new Error(`trouble at ${step}`);
  }
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof HolderRefusal) return error.code;
  return error === null ? 'done' : (error as Error).message;
}

describe('agent/holder: devices', () => {
  let machine: Machine;
  let devices: Devices;
  const restarted = async (): Promise<Devices> => {
    const next = new Devices(machine, [], machine, silentLog);
    await next.open();
    return next;
  };
  beforeEach(async () => {
    machine = new Machine();
    devices = await restarted();
  });

  it('makes one device however often and however much at once it is asked', async () => {
    const made = await Promise.all([devices.attach(WISH), devices.attach(WISH), devices.attach(WISH)]);
    expect(new Set(made.map(({ device }) => device)).size).to.equal(1);
    expect(machine.steps).to.deep.equal(['attach', 'save']);
  });

  it('makes another one where what carried it was killed, and gives the dead one to nobody', async () => {
    const { device } = await devices.attach(WISH);
    machine.running.clear();
    expect((await devices.attach(WISH)).device).not.to.equal(device);
    expect(devices.all).to.have.length(1);
    machine.running.clear();
    machine.troubleAt = 'detach';
    expect(await refusal(devices.attach(WISH)), 'somebody has it mounted').to.equal('trouble at detach');
  });

  it('keeps the order in which it was asked, and lets other volumes pass', async () => {
    const { promise, resolve: open } = Promise.withResolvers<void>();
    machine.gate = promise;
    const order: string[] = [];
    const first = devices.attach(WISH).then(() => order.push('attached'));
    const then = devices.detach(WISH.name).then(() => order.push('detached'));
    await devices.detach('other').then(() => order.push('other'));
    expect(order).to.deep.equal(['other']);
    open();
    await Promise.all([first, then]);
    expect(order).to.deep.equal(['other', 'attached', 'detached']);
    expect(devices.all).to.deep.equal([]);
  });

  for (const [what, change] of [
    ['another volume of the same name', { uid: 'uid-2' }],
    ['another socket', { socket: '/run/other.sock' }],
    ['read-only instead', { readonly: true }],
  ] as const)
    it(`refuses ${what}, and leaves the device as it is`, async () => {
      const there = await devices.attach(WISH);
      expect(await refusal(devices.attach({ ...WISH, ...change }))).to.equal('Different');
      expect(devices.get(WISH.name)).to.deep.equal(there);
    });

  it('grows, and never shrinks', async () => {
    await devices.attach(WISH);
    expect((await devices.resize(WISH.name, 8192)).sizeBytes).to.equal(8192);
    expect((await devices.resize(WISH.name, 4096)).sizeBytes).to.equal(8192);
    expect(machine.steps.filter((step) => step === 'resize')).to.have.length(1);
    expect((await restarted()).get(WISH.name).sizeBytes).to.equal(8192);
  });

  it('does not call grown what did not grow', async () => {
    await devices.attach(WISH);
    machine.troubleAt = 'resize';
    expect(await refusal(devices.resize(WISH.name, 8192))).to.equal('trouble at resize');
    expect(devices.get(WISH.name).sizeBytes).to.equal(4096);
  });

  it('has nothing of what is absent', async () => {
    expect(await refusal(devices.resize('absent', 1))).to.equal('NotFound');
    expect(await refusal(devices.fail('absent'))).to.equal('NotFound');
    expect(await refusal(devices.detach('absent'))).to.equal('done');
  });

  it('fails once, and gives a failed device to nobody', async () => {
    await devices.attach(WISH);
    expect((await devices.fail(WISH.name)).failed).to.equal(true);
    await devices.fail(WISH.name);
    expect(machine.steps.filter((step) => step === 'fail')).to.have.length(1);
    expect(await refusal(devices.attach(WISH))).to.equal('Different');
    await devices.detach(WISH.name);
    expect((await devices.attach(WISH)).failed).to.equal(false);
  });

  it('does not call failed what could not be failed: asked again, it is done', async () => {
    await devices.attach(WISH);
    machine.troubleAt = 'fail';
    expect(await refusal(devices.fail(WISH.name))).to.equal('trouble at fail');
    expect(devices.get(WISH.name).failed).to.equal(false);
    await devices.fail(WISH.name);
    expect([...machine.running], 'nothing carries it any more').to.deep.equal([]);
  });

  it('keeps what is in use', async () => {
    await devices.attach(WISH);
    machine.detach = () => Promise.reject(new HolderRefusal('InUse', 'mounted'));
    expect(await refusal(devices.detach(WISH.name))).to.equal('InUse');
    expect(devices.get(WISH.name).device).to.equal('/dev/loop0');
    expect((await restarted()).all).to.have.length(1);
  });

  it('refuses more devices than there can be', async () => {
    for (let count = 0; count < 1_024; count++) await devices.attach({ ...WISH, name: `volume-${count}` });
    expect(await refusal(devices.attach(WISH))).to.equal('TooMany');
    expect(await refusal(devices.attach({ ...WISH, name: 'volume-7' })), 'one that is there').to.equal('done');
  });

  describe('after a holder that died', () => {
    it('takes up what lives, as it was', async () => {
      const there = await devices.attach(WISH);
      const next = await restarted();
      expect(next.all).to.deep.equal([there]);
      expect(machine.takenUp).to.deep.equal([WISH.name]);
      expect(await next.attach(WISH)).to.deep.equal(there);
    });

    it('clears what is dead, and what another way made', async () => {
      await devices.attach(WISH);
      await devices.attach({ ...WISH, name: 'other' });
      machine.running.delete(machine.directory(WISH.name));
      const other = machine.files.get('/devices/other') as Attached;
      machine.files.set('/devices/other', { ...other, way: 'nbd' });
      expect((await restarted()).all).to.deep.equal([]);
      expect([...machine.directories]).to.deep.equal([]);
    });

    it('leaves to the way of before what it made, and makes what is new by the other', async () => {
      await devices.attach(WISH);
      const other = new Machine('nbd');
      const next = new Devices(other, [machine], machine, silentLog);
      await next.open();
      expect(next.get(WISH.name).way).to.equal('fuse');
      await next.resize(WISH.name, 8192);
      expect((await next.attach({ ...WISH, name: 'new' })).way).to.equal('nbd');
      await next.detach(WISH.name);
      expect([...machine.running], 'taken away by who made it').to.deep.equal([]);
      expect([...other.running]).to.deep.equal(['/devices/new']);
      expect(other.steps).to.deep.equal(['attach']);
    });

    for (const step of ['attach', 'save', 'resize', 'fail', 'detach', 'remove'])
      it(`at the step ${step}: the next one has it whole or not at all, and can begin anew`, async () => {
        machine.troubleAt = step;
        await refusal(devices.attach(WISH));
        await refusal(devices.resize(WISH.name, 8192));
        await refusal(devices.fail(WISH.name));
        await refusal(devices.detach(WISH.name));
        const next = await restarted();
        for (const { name } of next.all) expect(machine.isAlive(next.get(name))).to.equal(true);
        await next.detach(WISH.name);
        expect([...machine.directories]).to.deep.equal([]);
        expect((await next.attach(WISH)).sizeBytes).to.equal(4096);
        expect([...machine.running]).to.deep.equal(['/devices/pgdata']);
      });

    it('in the same holder, an attempt that broke off is cleared by the next', async () => {
      machine.troubleAt = 'save';
      expect(await refusal(devices.attach(WISH))).to.equal('trouble at save');
      expect(devices.all).to.deep.equal([]);
      await devices.attach(WISH);
      expect(machine.steps).to.deep.equal(['attach', 'save', 'clear', 'attach', 'save']);
    });
  });
});
