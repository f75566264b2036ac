/** What is wrong with a node, as its status has it, and what will be done about it. Pure. */
import type { Condition, StorageNodeObject } from '../../operator/api.ts';
import { conditionOf } from '../../operator/conditions.ts';
import { isOutage, OUTAGE_SENTENCE } from '../../operator/volume/replace.ts';
import type { Facts } from '../kube.ts';
import { leaderFacts } from './leader.ts';
import { duration, plural, since } from './text.ts';

/** bad: it is away, or has no pool that can be used. planned: somebody wanted it so, or it is nearly full. */
export type NodeProblem = { level: 'bad' | 'planned'; text: string };

const readyOf = ({ status }: StorageNodeObject): Condition | undefined => conditionOf(status?.conditions, 'Ready');

/** Reasons of `Ready` where no agent is there. */
const SILENT_REASONS = ['NotHeardOf', 'Maintenance'];
export const isHeardOf = (node: StorageNodeObject): boolean => {
  const ready = readyOf(node);
  return ready !== undefined && !SILENT_REASONS.includes(ready.reason);
};

const replicasOn = (node: string, { volumes }: Facts, isCounted: (state: string) => boolean = () => true): number =>
  volumes.reduce(
    (count, { status }) => count + (status?.replicas ?? []).filter((one) => one.node === node && isCounted(one.state)).length,
    0,
  );

const isOutageNow = ({ nodes }: Facts): boolean =>
  isOutage({
    nodes: nodes.map((node) => ({
      machine: isHeardOf(node) ? node : null,
      isRemoved: node.metadata.deletionTimestamp !== undefined,
    })),
  });

/** What becomes of the replicas of a node that is away, and when. A new leader counts from its own beginning. */
function replacement(node: StorageNodeObject, facts: Facts): string[] {
  if (node.spec.maintenance) return ['nothing is replaced while it is in maintenance'];
  const { since: leadsSince, replaceAfterSeconds } = leaderFacts(facts.lease);
  if (replaceAfterSeconds === undefined || replicasOn(node.metadata.name, facts) === 0) return [];
  if (replaceAfterSeconds === 0) return ['nothing is replaced (REPLACE_AFTER_SECONDS is 0)'];
  if (isOutageNow(facts)) return [OUTAGE_SENTENCE];
  const times = [Date.parse(readyOf(node)?.lastTransitionTime ?? ''), Date.parse(leadsSince ?? '')].filter((ms) => !Number.isNaN(ms));
  const leftSeconds = replaceAfterSeconds - (facts.nowMs - Math.max(...times)) / 1_000;
  return [leftSeconds > 0 ? `replaced elsewhere in ${duration(leftSeconds)} unless it returns` : 'replaced elsewhere, a few at a time'];
}

function availability(node: StorageNodeObject, facts: Facts): string[] {
  const { name } = node.metadata;
  const ready = readyOf(node);
  if (ready?.status === 'True')
    return node.spec.maintenance ? [`in maintenance: nothing is placed here; kubectl holdfast maintenance ${name} off ends it`] : [];
  if (ready === undefined) return ['never heard of'];
  const out = replicasOn(name, facts, (state) => state !== 'InSync');
  const outOfSync = out > 0 ? [`${plural(out, 'replica')} out of sync`] : [];
  if (isHeardOf(node)) return [ready.message, ...outOfSync];
  const silent = `not heard of for ${since(ready.lastTransitionTime, facts.nowMs)}`;
  return [silent, ...outOfSync, ...replacement(node, facts)];
}

const isUnfinished = (condition: Condition | undefined): condition is Condition => condition !== undefined && condition.status !== 'True';

function departures({ metadata, status }: StorageNodeObject): string[] {
  const [evicted, removed] = ['Evicted', 'Removed'].map((type) => conditionOf(status?.conditions, type));
  const empty =
    evicted?.status === 'True' ? [`is emptied: ${evicted.message}; kubectl holdfast drain ${metadata.name} --undo ends it`] : [];
  return [
    ...empty,
    ...(isUnfinished(evicted) ? [`is being emptied: ${evicted.message}`] : []),
    ...(isUnfinished(removed) ? [removed.message] : []),
  ];
}

/** Not wanted, by nothing else that is said already. */
const excluded = ({ metadata, spec }: StorageNodeObject): string[] =>
  spec.schedulable || spec.evict || spec.maintenance || metadata.deletionTimestamp
    ? []
    : ['nothing new is placed here (spec.schedulable of its StorageNode is false)'];

function poolProblems({ status }: StorageNodeObject): string[] {
  const isTold = conditionOf(status?.conditions, 'Ready')?.reason === 'PoolsQuarantined';
  const quarantined = isTold ? [] : (status?.pools ?? []).filter(({ state }) => state !== 'Ready');
  const said = ['PoolNearlyFull', 'SettingsBehind'].flatMap((type) => conditionOf(status?.conditions, type) ?? []);
  return [
    ...said.filter((condition) => condition.status === 'True').map(({ message }) => message),
    ...quarantined.map(({ name, reason }) => `pool ${name} is quarantined: ${reason ?? 'no reason given'}`),
  ];
}

const isBad = (node: StorageNodeObject): boolean => {
  const isAway = readyOf(node)?.status !== 'True' && !node.spec.maintenance;
  return isAway || (node.status?.pools ?? []).some(({ state }) => state !== 'Ready');
};

/** Null: nothing. */
export function nodeProblem(node: StorageNodeObject, facts: Facts): NodeProblem | null {
  const parts = [...availability(node, facts), ...departures(node), ...excluded(node), ...poolProblems(node)];
  return parts.length === 0 ? null : { level: isBad(node) ? 'bad' : 'planned', text: parts.join('; ') };
}
