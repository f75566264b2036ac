/**
 * The task world: a few agents with the task runner that ships, leaders that file and refile with the operator's own steps and fence, and an etcd
 * between them. Agents and leaders die and stand still at any point. Apart from the volumes' world, because these parts speak in promises: after an event
 * that settled one, what waits for it runs before the next.
 */
import { parseClaim, parseTask } from '../../../agent/control/parse.ts';
import { TaskRunner } from '../../../agent/control/tasks/taskRunner.ts';
import { type InstanceId, instanceId, replicaId, volumeUid } from '../../../core/ids.ts';
import { keysOf, taskIdOf } from '../../../core/keys.ts';
import { silentLog } from '../../../core/log.ts';
import type { Claim, ReplicaSpec, Task } from '../../../core/task.ts';
import { claimGeneration, parseLeaderRecord } from '../../../operator/election/generation.ts';
import { emptyMemory, sightingOf } from '../../../operator/observe/memory.ts';
import type { ObservedTask, ObservedVolume } from '../../../operator/observe/observed.ts';
import { archivedPart, type Decision, filedPart, type World as LeaderWorld } from '../../../operator/volume/decision.ts';
import { refileStep, retried, TASK_PATIENCE_MS } from '../../../operator/volume/tasks.ts';
import { Monotone } from '../checkers/monotone.ts';
import { Tasks } from '../checkers/tasks.ts';
import { Schedule } from '../schedule.ts';
import { between, pick, randomFor } from '../seeds.ts';
import { Tally } from '../tally.ts';
import { Etcd, EtcdClient, type KeyChange } from './etcd.ts';
import { TaskProcess } from './process.ts';

const KEYS = keysOf('simulated');
const VOLUME = volumeUid('volume-of-the-simulation');
const TICK_MS = 50;
const LEASE_MS = 1_500;
const NODES = ['node-a', 'node-b', 'node-c'];
/** Replicas that are made and taken away again. */
const REPLICAS = 12;
const LEADERS = 2;
/** Leaders' clocks run so fast that their patience with a task ends after this. */
const PATIENCE_MS = 2_500;
/** Of what agents do, that hangs for longer. */
const HANGING_SHARE = 0.05;

type Agent = { process: TaskProcess; client: EtcdClient; runner: TaskRunner; instance: InstanceId; renewedAtMs: number };
type Node = { agent: Agent | null; replicas: Set<string>; tombstones: Set<string> };

export class TaskWorld {
  readonly schedule: Schedule;
  readonly tally = new Tally();
  readonly #random: ReturnType<typeof randomFor>;
  readonly #etcd: Etcd;
  readonly #tasks: Tasks;
  readonly #monotone = new Monotone();
  readonly #nodes = new Map<string, Node>();
  readonly #leaders: (TaskProcess | null)[] = Array.from({ length: LEADERS }, () => null);
  #transitions = 0;
  #ids = 0;
  #hasFaults = true;

  constructor(seed: number, tell: ((line: string) => void) | null = null) {
    this.schedule = new Schedule(tell);
    this.#random = randomFor(seed, 'tasks');
    const losesShare = this.#random.chance(0.5) ? 0.02 : 0.1;
    this.#etcd = new Etcd({
      schedule: this.schedule,
      random: randomFor(seed, 'register'),
      tally: this.tally,
      losesShare,
      changed: (changes) => this.#changed(changes),
    });
    this.#tasks = new Tasks({
      nodes: (node) => ({ replicas: this.#nodes.get(node)?.replicas ?? new Set() }),
      claimOf: (task) => this.#claimOf(task),
    });
    for (const node of NODES) {
      this.#nodes.set(node, { agent: null, replicas: new Set(), tombstones: new Set() });
      this.#startAgent(node);
    }
    for (let index = 0; index < LEADERS; index++) this.#startLeader(index);
    this.#every(between(this.#random, 100, 1_500), 'agent fault', () => this.#troubleAgent());
    this.#every(between(this.#random, 300, 3_000), 'leader fault', () => this.#troubleLeader());
    this.#every(between(this.#random, 500, 5_000), 'lease runs out', () => this.#endLease());
    this.#every(between(this.#random, 2_000, 9_000), 'etcd without quorum', () => this.#loseQuorum());
    this.#renewLeases();
  }

  endFaults(): void {
    this.#hasFaults = false;
    this.#etcd.endFaults();
    for (const [name, node] of this.#nodes) {
      node.agent?.process.resume();
      this.#startAgent(name);
    }
    this.#leaders.forEach((leader, index) => {
      leader?.resume();
      this.#startLeader(index);
    });
  }

  /** Null: all that should be done is done and put away. */
  unfinished(): string | null {
    const left = wantedSpecs().filter(({ node, spec }) => this.#etcd.value(KEYS.historyOf(taskIdOf(node, spec))) === null);
    return left.length === 0 ? null : `${left.length} tasks have not ended: ${left.map(({ node, spec }) => taskIdOf(node, spec))}`;
  }

  // Agents.

  #startAgent(name: string): void {
    const node = this.#nodes.get(name);
    if (!node || node.agent) return;
    const process = new TaskProcess(this.schedule);
    const client = new EtcdClient(this.#etcd, process);
    const instance = instanceId(this.#random.hex(8));
    const clock = { monotonicMs: () => this.schedule.nowMs, wallMs: () => this.schedule.nowMs };
    const runner = new TaskRunner({
      store: client,
      lease: client,
      keys: KEYS,
      schema: { problem: null },
      clock,
      log: silentLog,
      node: name,
      instance,
      perform: (spec) => this.#perform(name, process, instance, spec as ReplicaSpec),
      ended: () => undefined,
      refused: () => undefined,
    });
    node.agent = { process, client, runner, instance, renewedAtMs: this.schedule.nowMs };
    process.every(TICK_MS, 'tick', () => runner.tick(this.schedule.nowMs));
  }

  /** As a pool does it: idempotent, and what was deleted comes never again. The effect may be there though nobody hears of it. */
  #perform(name: string, process: TaskProcess, instance: InstanceId, spec: ReplicaSpec): Promise<string | null> {
    const node = this.#nodes.get(name);
    const text = this.#etcd.value(KEYS.task(name, taskIdOf(name, spec)));
    const task = text === null ? null : parseTask(text).value;
    // A late one performs an attempt that etcd has given up already: only its effect matters.
    if (task?.state === 'running') this.#tasks.performs(task, instance);
    const hangs = this.#hasFaults && this.#random.chance(HANGING_SHARE);
    if (hangs) this.tally.count('tasks: a disk hangs');
    const workMs = hangs ? between(this.#random, PATIENCE_MS, 3 * PATIENCE_MS) : between(this.#random, 5, 400);
    return new Promise((resolve) => {
      process.later(workMs * this.#random.unit(), 'effect', () => {
        this.#takeEffect(node, spec);
        this.#tasks.checkEffects(name);
        process.later(workMs, 'performed', () => {
          this.schedule.settled();
          resolve(this.#hasFaults && this.#random.chance(0.1) ? 'the disk was busy' : null);
        });
      });
    });
  }

  #takeEffect(node: Node | undefined, { kind, replica }: ReplicaSpec): void {
    if (kind === 'delete-replica') {
      node?.tombstones.add(replica);
      node?.replicas.delete(replica);
    } else if (!node?.tombstones.has(replica)) node?.replicas.add(replica);
  }

  // Leaders.

  #startLeader(index: number): void {
    if (this.#leaders[index]) return;
    const process = new TaskProcess(this.schedule);
    this.#leaders[index] = process;
    process.later(between(this.#random, 0, 500), 'campaign', () => this.#campaign(index, process));
  }

  /** The Lease in Kubernetes is taken for granted to anybody at any time: the generation has to be enough. */
  #campaign(index: number, process: TaskProcess): void {
    const client = new EtcdClient(this.#etcd, process);
    const tasks = client.view(KEYS.tasks, () => undefined);
    const claims = client.view(KEYS.claims, () => undefined);
    const holder = `leader-${index}-${++this.#ids}`;
    const retry = () => process.later(between(this.#random, 100, 500), 'campaign', () => this.#campaign(index, process));
    claimGeneration(client, KEYS, holder, ++this.#transitions).then((leadership) => {
      let isBusy = false;
      let sinceMs: ReadonlyMap<string, number> = new Map();
      process.every(100, 'leader', () => {
        if (isBusy || leadership.isDeposed || !tasks.isCurrent || !claims.isCurrent) return;
        const observed = observedTasks(tasks.entries, claims.entries);
        const nowMs = this.schedule.nowMs * (TASK_PATIENCE_MS / PATIENCE_MS);
        sinceMs = new Map(observed.map(({ task }) => sightingOf(task.value)).map((sighting) => [sighting, sinceMs.get(sighting) ?? nowMs]));
        const memory = { ...emptyMemory, taskSinceMs: sinceMs };
        const world = { keys: KEYS, generation: leadership.generation, memory, now: { monotonicMs: nowMs } } as LeaderWorld;
        const part = this.#decide(world, observed);
        if (!part) return;
        isBusy = true;
        const free = () => {
          isBusy = false;
        };
        leadership.commit(part.conditions, part.changes).then(free, free);
      });
    }, retry);
  }

  /** One change, out of what its two views show: either may be ahead of the other. */
  #decide(world: LeaderWorld, observed: readonly ObservedTask[]): Pick<LandedPart, 'conditions' | 'changes'> | null {
    const refile = transactionOf(refileStep({ tasks: observed, config: null } as unknown as ObservedVolume, world, 'trace'));
    if (refile) return refile;
    const failed = observed.find(({ task }) => task.value.state === 'failed');
    if (failed) {
      const conditions = [{ key: failed.task.key, is: 'revision' as const, revision: failed.task.revision }];
      return { conditions, changes: [{ put: failed.task.key, value: JSON.stringify(retried(failed.task.value, world)) }] };
    }
    const done = observed.find(({ task }) => task.value.state === 'done');
    if (done) return archivedPart(KEYS, done);
    return this.#file(world, observed);
  }

  #file(world: LeaderWorld, observed: readonly ObservedTask[]): LandedPart | null {
    const isOver = (id: string) => this.#etcd.value(KEYS.historyOf(id)) !== null;
    const next = wantedSpecs().find(({ node, spec, after }) => {
      const id = taskIdOf(node, spec);
      const isFiled = observed.some(({ task }) => task.value.id === id);
      return !isOver(id) && !isFiled && (after === null || isOver(after));
    });
    if (!next) return null;
    const id = taskIdOf(next.node, next.spec);
    const part = filedPart(world, id, next.node, next.spec, 'trace');
    // The operator looks at the history in the same listing; here it is a condition.
    return { ...part, conditions: [...part.conditions, { key: KEYS.historyOf(id), is: 'absent' }] };
  }

  // Faults.

  #every(intervalMs: number, label: string, act: () => void): void {
    this.schedule.after(between(this.#random, 0, 2 * intervalMs), label, () => {
      if (!this.#hasFaults) return;
      this.tally.count(`tasks: ${label}`);
      act();
      this.#every(intervalMs, label, act);
    });
  }

  #troubleAgent(): void {
    const name = pick(this.#random, NODES) ?? '';
    const node = this.#nodes.get(name);
    const agent = node?.agent;
    if (!node || !agent) return;
    if (this.#random.chance(0.5)) {
      agent.process.pause();
      this.schedule.after(between(this.#random, 10, 4_000), 'resume', () => agent.process.resume());
      return;
    }
    agent.process.kill();
    node.agent = null;
    const { lease } = agent.client;
    this.schedule.after(between(this.#random, 0, 2 * LEASE_MS), 'lease of the dead', () => this.#etcd.expire(lease));
    this.schedule.after(between(this.#random, 10, 2_000), 'start', () => this.#startAgent(name));
  }

  #troubleLeader(): void {
    const index = this.#random.below(LEADERS);
    const leader = this.#leaders[index];
    if (!leader) return;
    if (this.#random.chance(0.6)) {
      leader.pause();
      this.schedule.after(between(this.#random, 10, 4_000), 'resume', () => leader.resume());
      return;
    }
    leader.kill();
    this.#leaders[index] = null;
    this.schedule.after(between(this.#random, 10, 2_000), 'start', () => this.#startLeader(index));
  }

  /** Under a process that lives: etcd did not hear of it for too long. */
  #endLease(): void {
    const agent = this.#nodes.get(pick(this.#random, NODES) ?? '')?.agent;
    if (agent) this.#etcd.expire(agent.client.lease);
  }

  #loseQuorum(): void {
    this.#etcd.setQuorum(false);
    this.schedule.after(between(this.#random, 100, 3_000), 'quorum', () => this.#etcd.setQuorum(true));
  }

  #renewLeases(): void {
    this.schedule.after(200, 'leases', () => {
      for (const { agent } of this.#nodes.values()) if (agent) this.#renew(agent);
      this.#renewLeases();
    });
  }

  #renew(agent: Agent): void {
    const { nowMs } = this.schedule;
    if (!agent.process.isPaused) {
      agent.renewedAtMs = nowMs;
      agent.client.renew();
    } else if (nowMs - agent.renewedAtMs > LEASE_MS) this.#etcd.expire(agent.client.lease);
  }

  // Checks.

  #changed(changes: readonly KeyChange[]): void {
    const claimsBefore = new Map(changes.filter(({ key }) => key.startsWith(KEYS.claims)).map(({ key, before }) => [key, before]));
    for (const { key, before, after } of changes) {
      if (key === KEYS.leader) this.#monotone.leaderWrote(parseLeaderRecord(after)?.generation ?? 0);
      if (!key.startsWith(KEYS.tasks)) continue;
      const [taskBefore, taskAfter] = [taskOf(before), taskOf(after)];
      const id = (taskAfter ?? taskBefore)?.id ?? '';
      const claimKey = KEYS.claim(id);
      const claimText = claimsBefore.has(claimKey) ? (claimsBefore.get(claimKey) ?? null) : this.#etcd.value(claimKey);
      this.schedule.trace(`${id} ${taskBefore?.state} -> ${taskAfter?.state} attempt ${taskAfter?.attempt}`);
      this.#tasks.changed(taskBefore, taskAfter, claimText === null ? null : parseClaim(claimText), this.#claimOf(id));
      if (taskAfter?.state === 'filed') this.#monotone.leaderWrote(taskAfter.filedBy);
    }
  }

  #claimOf(task: string): Claim | null {
    const text = this.#etcd.value(KEYS.claim(task));
    return text === null ? null : parseClaim(text);
  }
}

type Views = ReadonlyMap<string, { key: string; value: string; revision: string }>;
type LandedPart = ReturnType<typeof filedPart>;
type Wanted = { node: string; spec: ReplicaSpec; after: string | null };

/** What a leader wants done, in the order that a volume's life has: each replica is made, then taken away. */
function wantedSpecs(): Wanted[] {
  return Array.from({ length: REPLICAS }, (_, index): Wanted[] => {
    const replica = replicaId((index + 1).toString(16).padStart(16, '0'));
    const node = NODES[index % NODES.length] ?? '';
    const about = { volume: VOLUME, replica, pool: 'pool' };
    const create: ReplicaSpec = { kind: 'create-replica', ...about, sizeBytes: 4096, volumeName: 'volume' };
    const remove: ReplicaSpec = { kind: 'delete-replica', ...about };
    return [
      { node, spec: create, after: null },
      { node, spec: remove, after: taskIdOf(node, create) },
    ];
  }).flat();
}

const taskOf = (text: string | null): Task | null => (text === null ? null : parseTask(text).value);

function observedTasks(tasks: Views, claims: Views): ObservedTask[] {
  return [...tasks.values()].flatMap((entry): ObservedTask[] => {
    const { value } = parseTask(entry.value);
    if (!value) return [];
    const claimEntry = claims.get(KEYS.claim(value.id));
    const claim = claimEntry ? parseClaim(claimEntry.value) : null;
    const storedClaim = claim && claimEntry ? { value: claim, key: claimEntry.key, revision: claimEntry.revision } : null;
    return [{ task: { value, key: entry.key, revision: entry.revision }, claim: storedClaim }];
  });
}

/** What a step's decision commits. */
function transactionOf(decision: Decision | null): LandedPart | null {
  const action = decision?.actions.find((candidate) => candidate.kind === 'commit');
  return action?.kind === 'commit' ? action.transaction : null;
}
