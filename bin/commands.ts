/**
 * What each command does: looks, or changes one object's spec or annotation, and shows what became of it. Everything that it changes is declarative: a command
 * that is killed in the middle leaves a wish which the operators go on with.
 */

import {
  collectionPath,
  MOVE_ANNOTATION,
  objectPath,
  type StorageNodeObject,
  TRACEPARENT_ANNOTATION,
  type VolumeObject,
} from '../operator/api.ts';
import { askedMoveOf } from '../operator/volume/departures.ts';
import { CommandError, EXIT } from './errors.ts';
import { type EventObject, eventsOf, gather, type Kube, type LeasePlace, leaseOf, timeOf } from './kube.ts';
import { drainingLines, drainingOf, forecastLines } from './view/drain.ts';
import { explainLines } from './view/explain.ts';
import { forecast, refusalOf, shardsThatFit } from './view/forecast.ts';
import { leaderFacts, limitsOf } from './view/leader.ts';
import { rebuildLines, rebuilds } from './view/rebuild.ts';
import { statusLines, statusReport } from './view/status.ts';
import { type Line, line } from './view/text.ts';

export type Terminal = {
  /** Somebody looks: what is shown may be shown anew in its place. */
  readonly isLive: boolean;
  print(lines: readonly Line[]): void;
  /** In the place of what was shown so last. */
  redraw(lines: readonly Line[]): void;
  json(value: unknown): void;
};
export type Surroundings = {
  kube: Kube;
  terminal: Terminal;
  nowMs(): number;
  sleep(forMs: number): Promise<void>;
  /** Under which the operators log and file what a change leads to. */
  traceparent: string;
  place: LeasePlace;
  isJson: boolean;
};

const LOOK_EVERY_MS = 1_000;
/** An operator's, where nobody tells what they are. */
const DEFAULT_LIMITS = { overProvisioningRatio: 2, reserveRatio: 0.05, pressureRatio: 0.85 };

export async function status(around: Surroundings, { all }: { all?: boolean }): Promise<void> {
  const facts = await gather(around.kube, around.place, around.nowMs());
  if (around.isJson) around.terminal.json(statusReport(facts));
  else around.terminal.print(statusLines(facts, all ?? false));
}

export async function explain(around: Surroundings, name: string): Promise<void> {
  const volume = await volumeOf(around.kube, name);
  const [cluster, events] = await Promise.all([clusterOf(around), eventsOf(around.kube, volume)]);
  const { status: seen } = volume;
  const mayBeSplit = seen?.unschedulable !== undefined && volume.spec.shards === 1;
  const shards = mayBeSplit ? shardsThatFit(volume, cluster.volumes, cluster.nodes, cluster.limits) : null;
  if (around.isJson)
    around.terminal.json({ name, phase: seen?.phase ?? null, ...seen, events: events.map(({ reason, note }) => ({ reason, note })) });
  else around.terminal.print(explainLines(volume, cluster.nodes, events, shards, around.nowMs()));
}

/** What the leader's rules are asked over. */
async function clusterOf({ kube, place }: Surroundings) {
  const [volumes, nodes, lease] = await Promise.all([
    kube.list<VolumeObject>(collectionPath('volumes')),
    kube.list<StorageNodeObject>(collectionPath('storagenodes')),
    leaseOf(kube, place),
  ]);
  const limits = limitsOf(leaderFacts(lease));
  return { volumes, nodes, limits: limits ?? DEFAULT_LIMITS, hasLimits: limits !== null };
}

/** Live until nothing is left to do, where somebody looks; else once. */
export async function rebuild(around: Surroundings, { watch, once }: { watch?: boolean; once?: boolean }): Promise<void> {
  const { kube, terminal } = around;
  const isLive = !once && !around.isJson && (watch || terminal.isLive);
  for (let shown = ''; ; ) {
    const facts = { volumes: await kube.list<VolumeObject>(collectionPath('volumes')) };
    if (around.isJson) return terminal.json(rebuilds(facts));
    shown = showChanged(terminal, rebuildLines(facts), shown);
    if (!isLive || (rebuilds(facts).length === 0 && !watch)) return;
    await around.sleep(LOOK_EVERY_MS);
  }
}

export type DrainOptions = { dryRun?: boolean; wait?: boolean; undo?: boolean; timeout: number };

export async function drain(around: Surroundings, name: string, options: DrainOptions): Promise<void> {
  const { kube, terminal } = around;
  if (options.dryRun) return dryRun(around, name);
  const spec = options.undo ? { schedulable: true, evict: false } : { schedulable: false, evict: true };
  const node = await changed<StorageNodeObject>(around, objectPath('storagenodes', name), { spec }, `there is no StorageNode ${name}`);
  if (options.undo) return tell(around, node, [line(`${name} takes replicas again; those that have not left stay.`)]);
  if (!options.wait) {
    const next = `Replicas leave ${name}, each copied elsewhere first. kubectl holdfast drain ${name} --wait shows how far; --undo ends it.`;
    return tell(around, node, [line(next)]);
  }
  let shown = '';
  await until(around, options.timeout, `${name} is not empty yet; its replicas go on leaving`, async () => {
    const now = await kube.get<StorageNodeObject>(objectPath('storagenodes', name));
    if (now === null) throw new CommandError(`the StorageNode ${name} was deleted meanwhile`);
    const draining = drainingOf(now);
    if (!around.isJson) shown = showChanged(terminal, drainingLines(name, draining), shown);
    else if (draining?.isDone) terminal.json(now.status ?? {});
    return draining?.isDone ?? false;
  });
}

async function dryRun(around: Surroundings, name: string): Promise<void> {
  const { volumes, nodes, limits, hasLimits } = await clusterOf(around);
  if (!nodes.some(({ metadata }) => metadata.name === name)) throw new CommandError(`there is no StorageNode ${name}`);
  const moves = forecast(name, volumes, nodes, limits);
  if (around.isJson) around.terminal.json(moves);
  else around.terminal.print(forecastLines(name, moves, volumes, hasLimits));
}

export async function maintenance(around: Surroundings, name: string, isOn: boolean): Promise<void> {
  const spec = { maintenance: isOn };
  const node = await changed<StorageNodeObject>(around, objectPath('storagenodes', name), { spec }, `there is no StorageNode ${name}`);
  const words = isOn
    ? `${name} is in maintenance: nothing is placed there, and nothing is replaced because it is away. kubectl holdfast maintenance ${name} off ends it.`
    : `${name} is in maintenance no more.`;
  tell(around, node, [line(words)]);
}

export type MoveOptions = { wait?: boolean; timeout: number };

/** `to`: a node, or node/pool. */
export async function move(around: Surroundings, name: string, from: string, to: string, options: MoveOptions): Promise<void> {
  const { kube } = around;
  const volume = await volumeOf(kube, name);
  const held = volume.status?.replicas ?? [];
  if (!held.some((replica) => replica.node === from || replica.name === from)) {
    const nodes = [...new Set(held.map(({ node }) => node))].join(' ');
    throw new CommandError(`${name} has no replica on ${from}, only on ${nodes === '' ? 'no node yet' : nodes}`);
  }
  const target = to.split('/')[0] ?? to;
  const { volumes, nodes, limits } = await clusterOf(around);
  if (!nodes.some(({ metadata }) => metadata.name === target)) throw new CommandError(`there is no StorageNode ${target}`);
  const wish = { metadata: { annotations: { [MOVE_ANNOTATION]: `${from}=${to}` } } };
  const wished = { ...volume, metadata: { ...volume.metadata, ...wish.metadata } };
  const refusal = askedMoveOf(wished)?.problem ?? refusalOf(wished, volumes, nodes, limits);
  if (refusal !== null) throw new CommandError(`nothing was changed: ${refusal}`);
  const before = momentOf(await lastMoveOf(kube, volume));
  const asked = await changed<VolumeObject>(around, objectPath('volumes', name), wish, `there is no volume ${name}`);
  if (!options.wait)
    return tell(around, asked, [line(`A replica of ${name} is made on ${to}; the one on ${from} goes when that is in sync.`)]);
  await untilMoved(around, { volume: asked, from, target, before }, options.timeout);
}

/** `before`: when an operator last told of a move of it, before this one was asked for. */
type Asked = { volume: VolumeObject; from: string; target: string; before: string };

const lastMoveOf = async (kube: Kube, volume: VolumeObject): Promise<EventObject | undefined> =>
  (await eventsOf(kube, volume)).find(({ reason }) => reason === 'Moved' || reason === 'MoveRefused');
const momentOf = (event: EventObject | undefined): string => (event ? timeOf(event) : '');

function hasMoved({ status }: VolumeObject, { from, target }: Asked): boolean {
  const replicas = (status?.replicas ?? []).filter(({ state }) => state !== 'Leaving');
  const isLeft = replicas.some(({ node, name }) => node === from || name === from);
  return !isLeft && replicas.some(({ node, state }) => node === target && state === 'InSync');
}

/** The operators take the annotation away when they are done, tell by an Event when they will not do it, and write the status a moment later. */
async function untilMoved(around: Surroundings, asked: Asked, timeoutSeconds: number): Promise<void> {
  const { kube, terminal } = around;
  const { name } = asked.volume.metadata;
  let now = asked.volume;
  let shown = '';
  await until(around, timeoutSeconds, `the replica of ${name} has not moved yet; the operators go on`, async () => {
    now = await volumeOf(kube, name);
    if (!around.isJson) shown = showChanged(terminal, rebuildLines({ volumes: [now] }), shown);
    if (askedMoveOf(now) !== null) return false;
    if (hasMoved(now, asked)) return true;
    const told = await lastMoveOf(kube, now);
    if (told?.reason === 'MoveRefused' && momentOf(told) > asked.before)
      throw new CommandError(`the replica of ${name} was not moved: ${told.note ?? `kubectl holdfast explain ${name} may say why`}`);
    return false;
  });
  tell(around, now, [line(`${name} has its replica on ${asked.target}.`, 'good')]);
}

async function volumeOf(kube: Kube, name: string): Promise<VolumeObject> {
  const volume = await kube.get<VolumeObject>(objectPath('volumes', name));
  if (volume === null) throw new CommandError(`there is no volume ${name}`);
  return volume;
}

async function changed<Body>({ kube, traceparent }: Surroundings, path: string, patch: object, absent: string): Promise<Body> {
  const { metadata = {}, ...rest } = patch as { metadata?: { annotations?: object } };
  const annotations = { ...metadata.annotations, [TRACEPARENT_ANNOTATION]: traceparent };
  const object = await kube.patch<Body>(path, { ...rest, metadata: { annotations } });
  if (object === null) throw new CommandError(absent);
  return object;
}

function tell(
  { terminal, isJson }: Surroundings,
  object: { metadata: object; spec: object; status?: object },
  lines: readonly Line[],
): void {
  if (isJson) terminal.json(object);
  else terminal.print(lines);
}

/** Where somebody looks, in place; else only what is new. */
function showChanged(terminal: Terminal, lines: readonly Line[], shown: string): string {
  const text = lines.map((one) => one.text).join('\n');
  if (text !== shown) {
    if (terminal.isLive) terminal.redraw(lines);
    else terminal.print(lines);
  }
  return text;
}

async function until(around: Surroundings, timeoutSeconds: number, late: string, isDone: () => Promise<boolean>): Promise<void> {
  const endMs = around.nowMs() + timeoutSeconds * 1_000;
  while (!(await isDone())) {
    if (around.nowMs() >= endMs) throw new CommandError(`${late} (waited ${timeoutSeconds} s)`, null, EXIT.timedOut);
    await around.sleep(LOOK_EVERY_MS);
  }
}
