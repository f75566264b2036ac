/**
 * The leader's loop: observe all, decide, perform, and again when anything changed, and now and then anyway. Level-based: no branch on what woke it. Does
 * nothing while a view may be behind, and nothing after this term of leadership ended.
 */
import type { Clock } from '../../core/clock.ts';
import { isOperatingError, messageOf } from '../../core/errors.ts';
import type { NodeName, VolumeUid } from '../../core/ids.ts';
import type { Log } from '../../core/log.ts';
import type { Random } from '../../core/random.ts';
import type { Settings } from '../../core/settings.ts';
import type { Store } from '../../core/store.ts';
import type { SchemaWatch } from '../../edge/schemaWatch.ts';
import type { Rebalance } from '../balance/balance.ts';
import { Balancer } from '../balance/balancer.ts';
import type { Leadership } from '../election/generation.ts';
import type { OperatorMetrics } from '../metrics.ts';
import { type SettingsLag, SettingsLags } from '../node/settingsLag.ts';
import { nodeStateOf } from '../node/status.ts';
import { emptyMemory } from '../observe/memory.ts';
import { Observer, type Sources } from '../observe/observe.ts';
import type { Observed } from '../observe/observed.ts';
import { Overlay } from '../observe/overlay.ts';
import type { PlacementLimits } from '../placement/checks.ts';
import { poolLevels } from '../placement/levels.ts';
import type { KubeApi, Timers } from '../ports.ts';
import { parseSettingsRecord } from '../settingsRecord.ts';
import { decideSnapshots, type SnapshotDecision } from '../snapshot/decide.ts';
import { snapshotIndex } from '../snapshot/subjects.ts';
import { decideAll } from '../volume/decide.ts';
import type { Action, Decision, World } from '../volume/decision.ts';
import { REPLACEMENTS_MAX } from '../volume/replace.ts';
import { Attention } from './attention.ts';
import { Events } from './events.ts';
import { KubeWrites } from './kubeWrites.ts';
import { Mandate } from './mandate.ts';
import { OutOfService } from './outOfService.ts';
import { Performer, type Subject } from './perform.ts';
import { SchemaKeeper } from './schema.ts';
import { publishSettings } from './settings.ts';
import { Standing, standingOf } from './standing.ts';
import { Statuses, type Told } from './statuses.ts';
import { TaskAges } from './taskAges.ts';

/** Things that only time changes: patience, back-off, placements that could not be found. */
const TICK_MS = 1_000;
/** Changes that come together are looked at together: for so long, or for so many times what looking took, where a thousand machines keep telling. */
const COALESCE_MS_MIN = 20;
const COALESCE_MS_MAX = 200;
const COALESCE_RATIO = 10;
/** How often numbers of everything are worth counting. */
const COUNT_INTERVAL_MS = 1_000;
const TRANSACTIONS_AT_ONCE_MAX = 16;

const WOKEN = 'woken';
const NO_SNAPSHOTS: ReadonlyMap<string, SnapshotDecision> = new Map();
const NOBODY = { update: (): ReadonlySet<NodeName> => new Set() };

export type ControllerPorts = {
  sources: Omit<Sources, 'overlay'>;
  store: Store;
  api: KubeApi;
  clock: Clock;
  timers: Timers;
  random: Random;
  limits: PlacementLimits;
  rebalance: Rebalance;
  replaceAfterMs: number;
  raiseSchemaAfterMs: number;
  settings: Settings;
  /** Whether what stands in etcd is understood here. */
  schema: Pick<SchemaWatch, 'problem' | 'entry'>;
  /** Of this program. */
  version: string;
  /** Whether dead nodes are tainted out-of-service in Kubernetes. */
  taintsDeadNodes: boolean;
  /** Whether the API server said that this process leads, and that is not over. */
  holdsLease(): boolean;
  metrics: OperatorMetrics;
  log: Log;
  /** Told as the reporter of Events. */
  instance: string;
};

export class Controller {
  readonly #ports: ControllerPorts;
  #wake = new AbortController();

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
  }

  /** Something may be different. With a reason that is there: else each call makes an error with its stack, thousands a second where much changes. */
  wake(): void {
    this.#wake.abort(WOKEN);
  }

  /** Until `signal` is aborted or a higher generation was seen. */
  async run(leadership: Leadership, signal: AbortSignal): Promise<void> {
    const term = new Term(this.#ports, leadership, signal, () => this.wake());
    while (!term.isOver) {
      // Made before the pass looks: what happens while it runs wakes the next.
      this.#wake = new AbortController();
      await term.pass();
      const pauseMs = Math.min(COALESCE_MS_MAX, Math.max(COALESCE_MS_MIN, COALESCE_RATIO * term.lookedForMs));
      await this.#ports.timers.sleep(pauseMs, signal);
      await this.#ports.timers.sleep(TICK_MS, AbortSignal.any([signal, this.#wake.signal]));
    }
  }
}

/** What lasts for one term of leadership; the next leader begins with nothing of it. */
class Term {
  readonly #ports: ControllerPorts;
  readonly #leadership: Leadership;
  readonly #signal: AbortSignal;
  readonly #overlay = new Overlay();
  readonly #mandate: Mandate;
  readonly #writes: KubeWrites;
  readonly #events: Events;
  readonly #performer: Performer;
  readonly #statuses: Statuses;
  readonly #outOfService: { update(observed: Observed, world: World): ReadonlySet<NodeName> };
  readonly #onProgress: () => void;
  readonly #observer: Observer;
  readonly #standing = new Standing();
  readonly #attention = new Attention();
  readonly #balancer: Balancer;
  readonly #schema: SchemaKeeper;
  readonly #settingsLags = new SettingsLags();
  readonly #taskAges = new TaskAges();
  /** How long the last pass observed and decided. */
  lookedForMs = 0;
  #countedMs = Number.NEGATIVE_INFINITY;
  #areSettingsPublished = false;
  #saidDamages = '';

  constructor(ports: ControllerPorts, leadership: Leadership, signal: AbortSignal, onProgress: () => void) {
    this.#ports = ports;
    this.#leadership = leadership;
    this.#signal = signal;
    this.#onProgress = onProgress;
    this.#observer = new Observer({ ...ports.sources, overlay: this.#overlay });
    this.#balancer = new Balancer(ports.rebalance);
    const { api, clock, random, log, metrics, instance, schema, version } = ports;
    const { kube, keys } = ports.sources;
    this.#schema = new SchemaKeeper(
      { keys, entry: () => schema.entry, version, raiseAfterMs: ports.raiseSchemaAfterMs, clock, log },
      leadership,
    );
    this.#mandate = new Mandate(ports);
    this.#writes = new KubeWrites(clock, log, onProgress, () => !this.#mayWrite);
    const events = new Events({ api, clock, random, log, instance, mayTell: () => this.#mayWrite });
    this.#events = events;
    const performPorts = { api, kube, writes: this.#writes, events, overlay: this.#overlay, clock, metrics, log };
    this.#performer = new Performer(performPorts, leadership, () => this.isOver, emptyMemory);
    this.#statuses = new Statuses({ api, kube, writes: this.#writes, events });
    this.#outOfService = ports.taintsDeadNodes ? new OutOfService({ api, writes: this.#writes, clock, log }) : NOBODY;
  }

  /** The Lease was lost, or a higher generation was seen: nothing may be started any more. */
  get isOver(): boolean {
    return this.#signal.aborted || this.#leadership.isDeposed;
  }

  /** To the API server. */
  get #mayWrite(): boolean {
    return !this.isOver && this.#mandate.mayWrite;
  }

  async pass(): Promise<void> {
    const { clock, metrics, schema } = this.#ports;
    if (schema.problem !== null) return;
    if (!this.#areSettingsPublished) await this.#publishSettings();
    const mandate = this.#mandate.update();
    if (mandate === 'none') return;
    const isCaretaker = mandate === 'caretaker';
    if (isCaretaker && !(await this.#isConfirmed())) return;
    const startedMs = clock.monotonicMs();
    const now = { monotonicMs: startedMs, wallMs: clock.wallMs() };
    const { observed, difference } = this.#observer.observe(this.#performer.memory, now);
    this.#performer.memory = observed.memory;
    this.#sayDamages(observed.damages);
    const hasFreed = this.#standing.update(observed, difference);
    const still = { ...worldOf(observed, now, this.#ports, this.#leadership.generation, this.#standing), isCaretaker };
    const world = isCaretaker ? still : { ...still, moves: this.#balancer.moves(observed.volumes.values(), still) };
    const due = this.#attention.due(observed, difference, (node) => this.#observer.volumesOn(node), hasFreed, world);
    const decisions = decideAll(due, world);
    const snapshots = isCaretaker ? NO_SNAPSHOTS : decideSnapshots(world);
    this.lookedForMs = clock.monotonicMs() - startedMs;
    if (await this.#perform(observed, decisions, snapshots)) this.#onProgress();
    metrics.pass.observe((clock.monotonicMs() - startedMs) / 1_000);
    if (this.isOver) return;
    if (!isCaretaker) await this.#schema.update(schemaFacts(observed));
    const nodes = { outOfService: this.#outOfService.update(observed, world), settingsLags: this.#lagging(observed, now.monotonicMs) };
    const { unsettled, ...counts } = this.#statuses.update(observed, { volumes: decisions, snapshots }, world, nodes);
    this.#attention.note(decisions, unsettled, observed, world);
    this.#count(observed, world, snapshots, counts);
    this.#events.tellHeld();
  }

  /** Whoever leads without the Lease asks etcd before each pass: where another took its place, it ends now, not at its next write. */
  async #isConfirmed(): Promise<boolean> {
    try {
      return await this.#leadership.confirm();
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      return false;
    }
  }

  #lagging(observed: Observed, nowMs: number): ReadonlyMap<NodeName, SettingsLag> {
    const { sources, metrics } = this.#ports;
    const entry = sources.store.settings.entries.get(sources.keys.settings);
    const { record } = parseSettingsRecord(entry?.value ?? null);
    const lags = this.#settingsLags.update(record?.version ?? null, observed.machines, nowMs);
    metrics.lagging.set(lags.size);
    return lags;
  }

  #count(observed: Observed, world: World, snapshots: ReadonlyMap<string, SnapshotDecision>, told: Omit<Told, 'unsettled'>): void {
    if (world.now.monotonicMs - this.#countedMs < COUNT_INTERVAL_MS) return;
    this.#countedMs = world.now.monotonicMs;
    const { metrics } = this.#ports;
    const { volumes, unschedulable, planned } = told;
    const tasks = [...observed.volumes.values()].flatMap((volume) => volume.tasks.map(({ task }) => task.value));
    const nodes = [...observed.storageNodes].map(([node, object]) => {
      const machine = observed.machines.get(node);
      return { node, state: nodeStateOf(object, machine !== undefined), version: machine?.version ?? '' };
    });
    const pools = poolLevels(world.nodes, world.ledger, world.limits);
    metrics.count(
      [...volumes.values()].map(({ phase }) => phase),
      tasks.map(({ state }) => state),
      nodes.map(({ state }) => state),
    );
    metrics.unschedulable.set(unschedulable);
    metrics.planned.set(planned);
    metrics.countPools(pools);
    metrics.objects.see({
      volumes,
      nodes,
      pools,
      snapshots: [...snapshots.values()].map(({ state }) => state),
      oldestTasksMs: this.#taskAges.update(tasks, world.now.monotonicMs),
    });
  }

  /** Whether etcd was changed. A volume whose transaction hangs holds up the pass at most for the store's own deadline. */
  async #perform(
    observed: Observed,
    volumes: ReadonlyMap<VolumeUid, Decision>,
    snapshots: ReadonlyMap<string, SnapshotDecision>,
  ): Promise<boolean> {
    const objects = new Map([...observed.snapshots.values()].map((object) => [object.metadata.uid, object]));
    const all: [Subject, { actions: readonly Action[] }][] = [
      ...[...volumes].map(([uid, decision]) => [volumeSubject(observed, uid), decision] as [Subject, Decision]),
      ...[...snapshots].map(
        ([uid, decision]) => [{ resource: 'snapshots', uid, object: objects.get(uid) ?? null }, decision] as [Subject, SnapshotDecision],
      ),
    ];
    const work = all.filter(([, { actions }]) => actions.length > 0);
    let hasChanged = false;
    const worker = async () => {
      for (let next = work.shift(); next; next = work.shift()) {
        if (await this.#performer.perform(...next)) hasChanged = true;
      }
    };
    await Promise.all(Array.from({ length: Math.min(TRANSACTIONS_AT_ONCE_MAX, work.length) }, worker));
    return hasChanged;
  }

  async #publishSettings(): Promise<void> {
    const { store, sources, settings, log } = this.#ports;
    try {
      const result = await publishSettings(store, sources.keys, this.#leadership, settings);
      this.#areSettingsPublished = result.kind !== 'conflict' && result.kind !== 'fenced';
      if (result.kind === 'committed') log.info('settings published', { settings });
      if (result.kind === 'contradiction')
        log.error('the configured settings do not go together with those set by the API, which stay', { problems: result.problems });
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      log.warn('the settings could not be published yet', { error: messageOf(error) });
    }
  }

  #sayDamages(damages: readonly string[]): void {
    this.#ports.metrics.damages.set(damages.length);
    const said = damages.join('\n');
    if (said !== this.#saidDamages && damages.length > 0) this.#ports.log.error('keys in etcd cannot be read', { damages });
    this.#saidDamages = said;
  }
}

const schemaFacts = ({ machines, storageNodes, volumes }: Observed) => ({
  machines,
  storageNodes: storageNodes.keys(),
  hasVolumes: [...volumes.values()].some(({ config, damage }) => config !== null || damage !== null),
});

const volumeSubject = (observed: Observed, uid: VolumeUid): Subject => ({
  resource: 'volumes',
  uid,
  object: observed.volumes.get(uid)?.object ?? null,
});

export function worldOf(
  observed: Observed,
  now: World['now'],
  ports: Pick<ControllerPorts, 'sources' | 'limits' | 'random' | 'replaceAfterMs'>,
  generation: number,
  standing = standingOf(observed),
): World {
  return {
    keys: ports.sources.keys,
    now,
    generation,
    machines: observed.machines,
    nodes: standing.nodes,
    ledger: standing.ledger,
    limits: ports.limits,
    replaceAfterMs: ports.replaceAfterMs,
    replacements: { left: REPLACEMENTS_MAX - standing.resyncs },
    growTroubles: new Map(),
    moves: new Map(),
    blocked: new Map(),
    snapshots: standing.snapshots ?? snapshotIndex(observed),
    isCaretaker: false,
    memory: observed.memory,
    random: ports.random,
  };
}
