/** `kubectl holdfast status`: what is wrong first, then how many of what. Pure; `report` is what -o json prints. */
import type { VolumeObject } from '../../operator/api.ts';
import { conditionOf } from '../../operator/conditions.ts';
import { PHASES } from '../../operator/metrics.ts';
import type { Facts } from '../kube.ts';
import { leaderFacts } from './leader.ts';
import { nodeProblem } from './nodes.ts';
import { rebuilds } from './rebuild.ts';
import { bytes, duration, type Line, line, plural, table } from './text.ts';

/** Nobody reads more at once; --all shows the rest. */
const PROBLEMS_SHOWN_MAX = 25;

export type Problem = { kind: 'operator' | 'store' | 'node' | 'volume' | 'snapshot'; name: string; problem: string };

export type StatusReport = {
  leader: { name: string | null; version: string | null; generation: number | null; etcd: { answering: number; of: number } | null };
  problems: Problem[];
  volumes: Record<string, number>;
  rebuilding: { replicas: number; bytesLeft: number; secondsLeft: number | null };
  nodes: number;
};

/** Whose Lease ran out leads no more. */
function leaderProblem({ lease, nowMs }: Facts): string | null {
  const { holderIdentity, renewTime, leaseDurationSeconds } = lease?.spec ?? {};
  if (lease === null) return 'who leads is not known: the Lease cannot be read (--namespace, --lease)';
  if (!holderIdentity) return 'nobody leads: nothing is decided, volumes go on being served';
  const silentSeconds = (nowMs - Date.parse(renewTime ?? '')) / 1_000;
  if (silentSeconds > (leaseDurationSeconds ?? 0) + 1)
    return `the leader was last heard of ${duration(silentSeconds)} ago: nothing is decided, volumes go on being served`;
  return null;
}

/** `StoreWritable` is well when it is True, all others when they are not. */
const storeProblems = (facts: Facts): Problem[] =>
  (leaderFacts(facts.lease).conditions ?? [])
    .filter(({ type, status }) => (type === 'StoreWritable') !== (status === 'True'))
    .map(({ message }) => ({ kind: 'store', name: 'etcd', problem: message }));

const UNWELL = ['Out', 'Failed', 'Learner', 'Creating'] as const;

function lackingReplicas(status: VolumeObject['status']): string {
  const replicas = status?.replicas ?? [];
  const parts = UNWELL.flatMap((state) => {
    const nodes = [...new Set(replicas.filter((one) => one.state === state).map(({ node }) => node))];
    return nodes.length === 0 ? [] : [`${nodes.join(' ')} ${state === 'Learner' ? 'catching up' : state.toLowerCase()}`];
  });
  // In sync, and not well: its agent is away, or its pool is quarantined.
  const doubtful = replicas.flatMap(({ state, node, reason }) => (state === 'InSync' && reason ? [`${node}: ${reason}`] : []));
  const all = [...parts, ...new Set(doubtful)];
  return all.length === 0 ? '' : ` (${all.join(', ')})`;
}

const NEXT_STEP = ['Failed', 'Unavailable', 'Pending'];

function phaseProblem({ metadata, status }: VolumeObject): string[] {
  const phase = status?.phase;
  if (phase === 'Healthy') return [];
  // `explain` tells the same of it, and more.
  if (phase === 'Degraded') return [`${status?.inSync ?? '?'} in sync${lackingReplicas(status)}`];
  const message = conditionOf(status?.conditions, 'Ready')?.message ?? 'no operator has looked at it yet';
  const next = phase !== undefined && NEXT_STEP.includes(phase) ? `; kubectl holdfast explain ${metadata.name}` : '';
  return [`${(phase ?? 'new').toLowerCase()}: ${message}${next}`];
}

/** Conditions that say something only where it does not hold. */
const TROUBLES = ['Consistent', 'Resizing'] as const;

export function volumeProblem(volume: VolumeObject): string | null {
  const troubles = TROUBLES.map((type) => conditionOf(volume.status?.conditions, type));
  const told = troubles.flatMap((trouble) => (trouble?.status === 'False' ? [trouble.message] : []));
  const parts = [...phaseProblem(volume), ...told];
  return parts.length === 0 ? null : parts.join('; ');
}

const WORST_FIRST = ['Failed', 'Unavailable', 'Degraded', 'Pending', 'Healthy', 'Creating', 'Deleting'];
/** Blocks that differ are as bad as it gets, however well it is served. */
function rank({ status }: VolumeObject): number {
  const isConsistent = conditionOf(status?.conditions, 'Consistent')?.status !== 'False';
  return isConsistent ? WORST_FIRST.indexOf(status?.phase ?? 'Pending') : 0;
}
const byName = (a: { metadata: { name: string } }, b: { metadata: { name: string } }): number =>
  a.metadata.name < b.metadata.name ? -1 : 1;

/** Volumes that are worse stand above the nodes that are bad, all others below. */
const RANK_OF_BAD_NODES = WORST_FIRST.indexOf('Degraded') - 0.5;
const RANK_OF_SNAPSHOTS = WORST_FIRST.indexOf('Healthy') + 0.5;
const RANK_OF_PLANNED = WORST_FIRST.length;

type Ranked = Problem & { rank: number };

function nodeProblems(facts: Facts): Ranked[] {
  return [...facts.nodes].sort(byName).flatMap((node): Ranked[] => {
    const found = nodeProblem(node, facts);
    const order = found?.level === 'bad' ? RANK_OF_BAD_NODES : RANK_OF_PLANNED;
    return found === null ? [] : [{ kind: 'node', name: node.metadata.name, problem: found.text, rank: order }];
  });
}

/** What cannot be used first, then what it may come of, then what is only less safe, then what somebody wanted so. */
export function problemsOf(facts: Facts): Problem[] {
  const leader = leaderProblem(facts);
  const volumes = [...facts.volumes].sort(byName).flatMap((volume): Ranked[] => {
    const problem = volumeProblem(volume);
    return problem === null ? [] : [{ kind: 'volume', name: volume.metadata.name, problem, rank: rank(volume) }];
  });
  const snapshots = facts.snapshots.flatMap(({ metadata, status }): Ranked[] => {
    if (status?.phase !== 'Failed' && status?.phase !== 'Pending') return [];
    const problem = `snapshot ${status.phase.toLowerCase()}: ${status.error ?? 'no reason given'}`;
    return [{ kind: 'snapshot', name: metadata.name, problem, rank: RANK_OF_SNAPSHOTS }];
  });
  const ranked = [...nodeProblems(facts), ...volumes, ...snapshots].sort((a, b) => a.rank - b.rank);
  return [
    ...(leader === null ? [] : [{ kind: 'operator', name: 'operator', problem: leader } as const]),
    ...storeProblems(facts),
    ...ranked.map(({ kind, name, problem }) => ({ kind, name, problem })),
  ];
}

export function statusReport(facts: Facts): StatusReport {
  const { name, version, generation, etcd } = leaderFacts(facts.lease);
  const learners = rebuilds(facts);
  const volumes = Object.fromEntries(
    PHASES.map((phase) => [phase, facts.volumes.filter(({ status }) => (status?.phase ?? 'Pending') === phase).length]),
  );
  const seconds = learners.map(({ secondsLeft }) => secondsLeft);
  return {
    leader: {
      name: name ?? (facts.lease?.spec?.holderIdentity || null),
      version: version ?? null,
      generation: generation ?? null,
      etcd: etcd?.answering === undefined || etcd.of === undefined ? null : { answering: etcd.answering, of: etcd.of },
    },
    problems: problemsOf(facts),
    volumes,
    rebuilding: {
      replicas: learners.length,
      bytesLeft: learners.reduce((sum, { totalBytes, doneBytes }) => sum + totalBytes - doneBytes, 0),
      secondsLeft: seconds.some((one) => one === null) || seconds.length === 0 ? null : Math.max(...seconds.map((one) => one ?? 0)),
    },
    nodes: facts.nodes.length,
  };
}

function headline({ leader }: StatusReport): Line {
  const words = [
    `Holdfast${leader.version === null ? '' : ` ${leader.version}`}`,
    leader.name === null
      ? 'leader not known'
      : `leader ${leader.name}${leader.generation === null ? '' : ` (generation ${leader.generation})`}`,
    ...(leader.etcd === null ? [] : [`etcd ${leader.etcd.answering}/${leader.etcd.of}`]),
  ];
  return line(words.join(', '), leader.etcd !== null && leader.etcd.answering < leader.etcd.of ? 'bad' : 'plain');
}

function summary({ volumes, rebuilding, nodes }: StatusReport): Line {
  const total = Object.values(volumes).reduce((sum, count) => sum + count, 0);
  const phases = Object.entries(volumes).filter(([, count]) => count > 0);
  const counts = phases.map(([phase, count]) => `${count} ${phase.toLowerCase()}`).join(', ');
  const left = rebuilding.secondsLeft === null ? '' : `, about ${duration(rebuilding.secondsLeft)}`;
  const building = rebuilding.replicas === 0 ? '' : `; ${rebuilding.replicas} rebuilding, ${bytes(rebuilding.bytesLeft)} left${left}`;
  return line(`${plural(nodes, 'node')}; ${plural(total, 'volume')}${counts === '' ? '' : `: ${counts}`}${building}`);
}

/** `isAll`: every problem, and every volume with its replicas. */
export function statusLines(facts: Facts, isAll: boolean): Line[] {
  const report = statusReport(facts);
  const { problems } = report;
  const shown = isAll ? problems : problems.slice(0, PROBLEMS_SHOWN_MAX);
  const more = problems.length - shown.length;
  return [
    headline(report),
    ...table(shown.map(({ name, problem }) => [`! ${name}`, problem])).map((text) => line(text, 'bad')),
    ...(more > 0 ? [line(`... and ${more} more: kubectl holdfast status --all`, 'faint')] : []),
    ...(isAll ? tree(facts) : []),
    summary(report),
  ];
}

function tree({ volumes }: Facts): Line[] {
  return [...volumes]
    .sort((a, b) => rank(a) - rank(b) || byName(a, b))
    .flatMap(({ metadata, spec, status }) => {
      const attached = status?.attachment ? `on ${status.attachment.node}` : 'detached';
      const replicas = (status?.replicas ?? []).map((one) => [
        `${one.node}/${one.pool}`,
        ...(spec.shards > 1 ? [`shard ${one.shard}`] : []),
        one.state,
        one.reason ?? '',
      ]);
      const head = `${metadata.name}   ${status?.phase ?? 'new'} ${status?.inSync ?? ''}   ${status?.size ?? spec.size}   ${attached}`;
      return [line(head, status?.phase === 'Healthy' ? 'plain' : 'bad'), ...table(replicas, '  ').map((text) => line(text, 'faint'))];
    });
}
