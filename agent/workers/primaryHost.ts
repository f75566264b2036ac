/**
 * A primary worker's side of the conversation with control: the primaries of some of the volumes that are served here. Must never decide who is primary,
 * nor write to etcd: what a primary proposes is control's to bring there, and what etcd says comes back as a config to observe.
 */
import { assert } from '../../core/assert.ts';
import type { Clock } from '../../core/clock.ts';
import type { VolumeConfig } from '../../core/config.ts';
import type { ScrubState } from '../../core/scrub.ts';
import { DEFAULT_SETTINGS, type Settings } from '../../core/settings.ts';
import { TICK_MS } from '../control/engines.ts';
import type { SnapshotDone } from '../primary/snapshot.ts';
import { Witness } from '../primary/witness.ts';
import type { Channel } from './channel.ts';
import { type FromPrimary, keyText, type PrimaryKey, type ToPrimary } from './messages.ts';
import { PeerAddresses } from './peerAddresses.ts';
import { type PrimaryEnvironment, RunningPrimary } from './runningPrimary.ts';

/**
 * Where all volumes are at rest: waking to find nothing costs a worker half a millisecond. Whoever is woken by a request, or by anything else, hastens the next
 * tick. Less than what counts as having stood still (primary/heartbeats.ts), and than any replica may be silent.
 */
const RESTING_TICK_MS = 400;
const RESTING_TICKS_A_TIMEOUT = 4;
const EMPTY_TICK_MS = 60_000;

export type PrimaryHostOptions = Omit<PrimaryEnvironment, 'settings' | 'connect' | 'witness'> & {
  channel: Channel<FromPrimary, ToPrimary>;
  /** The way to replicas, by what is known of where they answer. */
  connectBy: (addresses: PeerAddresses) => PrimaryEnvironment['connect'];
  clock: Clock;
};

export class PrimaryHost {
  readonly #channel: Channel<FromPrimary, ToPrimary>;
  readonly #hasten: () => void;
  readonly #environment: PrimaryEnvironment;
  readonly #addresses: PeerAddresses;
  readonly #primaries = new Map<string, { key: PrimaryKey; primary: RunningPrimary }>();
  #settings: Settings = DEFAULT_SETTINGS;

  constructor({ channel, connectBy, ...rest }: PrimaryHostOptions) {
    this.#channel = channel;
    this.#hasten = rest.hasten;
    this.#addresses = new PeerAddresses({ clock: rest.clock, ask: (node, pool) => channel.post({ type: 'resolve', node, pool }) });
    this.#environment = { ...rest, settings: () => this.#settings, connect: connectBy(this.#addresses), witness: new Witness() };
    channel.listen((message) => this.#heard(message));
  }

  /** How long the next one may be away, unless something is heard before. */
  tick(): number {
    const nowMs = this.#environment.clock.monotonicMs();
    let areResting = true;
    for (const { primary } of this.#primaries.values()) {
      primary.tick(nowMs);
      areResting &&= primary.isResting;
    }
    this.#forget();
    if (this.#primaries.size === 0) return EMPTY_TICK_MS;
    return areResting ? Math.min(RESTING_TICK_MS, this.#settings.replicaTimeoutMs / RESTING_TICKS_A_TIMEOUT) : TICK_MS;
  }

  #heard(message: ToPrimary): void {
    // Being asked is no reason to hurry.
    if (message.type !== 'ping') this.#hasten();
    switch (message.type) {
      case 'ping':
        this.#channel.post({ type: 'pong', id: message.id });
        return;
      case 'settings':
        this.#settings = message.settings;
        return;
      case 'address':
        this.#addresses.told(message);
        if (message.isNew) for (const { primary } of this.#primaries.values()) primary.reachable(message.node);
        return;
      case 'start':
        this.#start(message.config, message.scrub);
        break;
      // One that is over is no longer there: control has not heard of it yet.
      case 'observe':
        this.#primaries.get(keyText(message))?.primary.observe(message.config);
        break;
      case 'letGo':
        this.#primaries.get(keyText(message))?.primary.letGo();
        break;
      case 'stop':
        this.#primaries.get(keyText(message))?.primary.stop();
        break;
      case 'snapshot':
        this.#snapshot(message);
        break;
    }
    this.#forget();
  }

  #start(config: VolumeConfig, scrub: ScrubState | null): void {
    const channel = this.#channel;
    const { uid, epoch } = config;
    const key: PrimaryKey = { uid, epoch };
    assert(!this.#primaries.has(keyText(key)), `a second primary of volume ${uid} in epoch ${epoch}`);
    this.#addresses.prepare(config, this.#environment.node);
    const primary = new RunningPrimary(config, scrub, this.#environment, {
      configPort: {
        propose: (known, next) => channel.post({ type: 'propose', ...key, known, next }),
        recheck: () => channel.post({ type: 'recheck', ...key }),
      },
      report: (report) => channel.post({ type: 'report', ...key, report }),
      scrub: (state) => channel.post({ type: 'scrub', ...key, state }),
      ended: (why, reason) => channel.post({ type: 'ended', ...key, why, reason }),
    });
    this.#primaries.set(keyText(key), { key, primary });
  }

  #snapshot(message: Extract<ToPrimary, { type: 'snapshot' }>): void {
    const { id, request } = message;
    const ended: SnapshotDone = (outcome) => this.#channel.post({ type: 'snapshotEnded', id, outcome });
    const running = this.#primaries.get(keyText(message));
    if (running) running.primary.snapshot(request, ended);
    else ended({ problem: 'the primary has ended' });
  }

  #forget(): void {
    for (const [text, { key, primary }] of this.#primaries) {
      if (!primary.isOver) continue;
      this.#primaries.delete(text);
      this.#channel.post({ type: 'over', ...key });
    }
  }
}
