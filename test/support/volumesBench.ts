/** The volumes of a node with everything around them scripted: the store, the engines, the sockets, the clock. */
import { CallSlots } from '../../agent/control/calls.ts';
import { Doorbell } from '../../agent/control/doorbell.ts';
import type { PrimaryEnd } from '../../agent/control/engines.ts';
import { Primaries } from '../../agent/control/primaries.ts';
import { ServingReports } from '../../agent/control/servingReports.ts';
import { Volumes } from '../../agent/control/volumes.ts';
import { channelWithinThread } from '../../agent/workers/channel.ts';
import type { FromPrimary, ToPrimary } from '../../agent/workers/messages.ts';
import { PrimaryHost } from '../../agent/workers/primaryHost.ts';
import type { VolumeConfig } from '../../core/config.ts';
import { keysOf } from '../../core/keys.ts';
import { silentLog } from '../../core/log.ts';
import type { ServingReport } from '../../core/machine.ts';
import { DEFAULT_SETTINGS } from '../../core/settings.ts';
import { SCHEMA } from '../../core/versions.ts';
import { INSTANCE, UID } from './configs.ts';
import { FakePrimary, FakeSockets } from './fakeEngines.ts';
import { ManualClock } from './manualClock.ts';
import { atRest, ScriptedLease, ScriptedStore } from './scriptedStore.ts';

export const keys = keysOf('test');
export const NODE = 'node-a';

export class VolumesBench {
  readonly store = new ScriptedStore();
  readonly lease = new ScriptedLease();
  readonly clock = new ManualClock();
  readonly sockets = new FakeSockets();
  readonly primaries: FakePrimary[] = [];
  readonly ends: PrimaryEnd[] = [];
  readonly toReplicas: VolumeConfig[] = [];
  readonly schema: { problem: string | null; version: number } = { problem: null, version: SCHEMA.highest };
  readonly reports: ServingReports;
  readonly volumes: Volumes;
  readonly workers: Primaries;
  readonly host: PrimaryHost;
  readonly #doorbell = new Doorbell();
  #isRung = true;

  constructor() {
    const { clock, lease } = this;
    const store = this.#doorbell.store(this.store);
    this.#doorbell.answer(() => {
      this.#isRung = true;
    });
    lease.onGranted(this.#doorbell.ring);
    const slots = new CallSlots();
    const [here, there] = channelWithinThread<ToPrimary, FromPrimary>();
    this.host = new PrimaryHost({
      hasten: () => undefined,
      channel: there,
      node: NODE,
      instance: INSTANCE,
      runDirectory: '/run/holdfast',
      makePrimary: (options) => {
        const primary = new FakePrimary(options);
        this.primaries.push(primary);
        return primary;
      },
      connectBy: () => () => {
        throw new Error('no fake primary connects');
      },
      listen: this.sockets.listen,
      clock,
      log: silentLog,
    });
    const resolve = () => undefined;
    this.workers = new Primaries({
      workers: [this.#doorbell.channel(here)],
      settings: () => DEFAULT_SETTINGS,
      resolve,
      stuck: () => undefined,
      common: () => undefined,
    });
    this.reports = new ServingReports({ store, lease, clock, slots, keys, instance: INSTANCE });
    this.volumes = new Volumes({
      store,
      keys,
      slots,
      clock,
      log: silentLog,
      node: NODE,
      schema: this.schema,
      toReplicas: (config) => this.toReplicas.push(config),
      environment: {
        node: NODE,
        instance: INSTANCE,
        primaries: this.workers,
        clock,
        log: silentLog,
        reports: this.reports,
        ended: (why) => this.ends.push(why),
      },
    });
  }

  /** As the leader writes it: config and pointers together. */
  write(config: VolumeConfig, nodes: string[] = [NODE]): void {
    this.store.put(keys.volume(config.uid), config);
    for (const node of nodes) this.store.put(keys.pointer(node, config.uid), String(config.version));
  }

  async run(forMs = 500): Promise<void> {
    for (let spentMs = 0; spentMs < forMs; spentMs += 50) {
      await atRest();
      this.clock.advance(50);
      this.host.tick();
      this.#tick();
    }
    await atRest();
  }

  /** As the control loop does: no oftener than it is due, unless something was heard. */
  #tick(): void {
    const nowMs = this.clock.nowMs;
    const dueAtMs = this.reports.isResting ? Math.min(this.workers.dueAtMs, this.volumes.dueAtMs) : 0;
    if (!this.#isRung && nowMs < dueAtMs) return;
    this.#isRung = false;
    this.workers.tick(nowMs);
    this.volumes.tick(nowMs);
    this.reports.tick();
  }

  get report(): ServingReport | null {
    return this.store.json(keys.servingOf(UID));
  }
}
