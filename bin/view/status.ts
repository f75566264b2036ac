/** `kubectl holdfast status`: what is wrong first, then how many of what. Pure; `report` is what -o json prints. */
import type { Condition, StorageNodeObject, VolumeObject } from '../../operator/api.ts';
import { conditionOf, isTrue } from '../../operator/conditions.ts';
import { PHASES } from '../../operator/metrics.ts';
import type { Facts, LeaderFacts } from '../kube.ts';
import { rebuilds } from './rebuild.ts';
import { bytes, duration, type Line, line, plural, since, table } from './text.ts';

/** Nobody reads more at once; --all shows the rest. */
const PROBLEMS_SHOWN_MAX = 25;
const LEADER_ANNOTATION = 'holdfast.dev/leader';

export type Problem = { kind: 'operator' | 'store' | 'node' | 'volume' | 'snapshot'; name: string; problem: string };

export type StatusReport = {
  leader: { name: string | null; version: string | null; generation: number | null; etcd: { answering: number; of: number } | null };
  problems: Problem[];
  volumes: Record<string, number>;
  rebuilding: { replicas: number; bytesLeft: number; secondsLeft: number | null };
  nodes: number;
};

export function leaderFacts(facts: Facts): LeaderFacts {
  try {
    const parsed: unknown = JSON.parse(facts.lease?.metadata.annotations?.[LEADER_ANNOTATION] ?? '{}');
    return typeof parsed === 'object' && parsed !== null ? (parsed as LeaderFacts) : {};
  } catch {
    // Written by another version: what cannot be read is not known.
    return {};
  }
}

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
  (leaderFacts(facts).conditions ?? [])
    .filter(({ type, status }) => (type === 'StoreWritable') !== (status === 'True'))
    .map(({ message }) => ({ kind: 'store', name: 'etcd', problem: message }));

const replicasOf = (node: string, volumes: readonly VolumeObject[], isCounted: (state: string) => boolean = () => true): number =>
  volumes.reduce(
    (count, { status }) => count + (status?.replicas ?? []).filter((one) => one.node === node && isCounted(one.state)).length,
    0,
  );

function availability({ metadata, spec, status }: StorageNodeObject, { volumes, nowMs }: Facts): string[] {
  const ready = conditionOf(status?.conditions, 'Ready');
  if (ready?.status === 'True')
    return spec.maintenance ? [`in maintenance: nothing is placed here; kubectl holdfast maintenance ${metadata.name} off ends it`] : [];
  const silent = ready?.reason === 'NotHeardOf' ? `not heard of for ${since(ready.lastTransitionTime, nowMs)}` : undefined;
  const out = replicasOf(metadata.name, volumes, (state) => state !== 'InSync');
  return [
    silent ?? ready?.message ?? 'never heard of',
    ...(out > 0 ? [`${plural(out, 'replica')} out of sync`] : []),
    ...(spec.maintenance ? ['nothing is replaced while it is in maintenance'] : []),
  ];
}

const isUnfinished = (condition: Condition | undefined): condition is Condition => condition !== undefined && condition.status !== 'True';

function departures({ status }: StorageNodeObject): string[] {
  const [evicted, removed] = ['Evicted', 'Removed'].map((type) => conditionOf(status?.conditions, type));
  return [...(isUnfinished(evicted) ? [`is being emptied: ${evicted.message}`] : []), ...(isUnfinished(removed) ? [removed.message] : [])];
}

function poolProblems({ status }: StorageNodeObject): string[] {
  const quarantined = (status?.pools ?? []).filter(({ state }) => state !== 'Ready');
  const said = ['PoolNearlyFull', 'SettingsBehind'].flatMap((type) => conditionOf(status?.conditions, type) ?? []);
  return [
    ...said.filter((condition) => condition.status === 'True').map(({ message }) => message),
    ...quarantined.map(({ name, reason }) => `pool ${name} is quarantined: ${reason ?? 'no reason given'}`),
  ];
}

export function nodeProblem(node: StorageNodeObject, facts: Facts): string | null {
  const parts = [...availability(node, facts), ...departures(node), ...poolProblems(node)];
  return parts.length === 0 ? null : parts.join('; ');
}

const UNWELL = ['Out', 'Failed', 'Learner', 'Creating'] as const;

function lackingReplicas({ status }: VolumeObject): string {
  const parts = UNWELL.flatMap((state) => {
    const nodes = [...new Set((status?.replicas ?? []).filter((one) => one.state === state).map(({ node }) => node))];
    return nodes.length === 0 ? [] : [`${nodes.join(' ')} ${state === 'Learner' ? 'catching up' : state.toLowerCase()}`];
  });
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

export function volumeProblem(volume: VolumeObject): string | null {
  const { metadata, status } = volume;
  const phase = status?.phase;
  if (phase === 'Healthy' && isTrue(status?.conditions, 'Ready') && conditionOf(status?.conditions, 'Consistent') === undefined)
    return null;
  const message = conditionOf(status?.conditions, 'Ready')?.message ?? 'no operator has looked at it yet';
  const inconsistent = conditionOf(status?.conditions, 'Consistent');
  if (inconsistent?.status === 'False') return inconsistent.message;
  if (phase === 'Healthy') return null;
  if (phase === 'Degraded') return `${status?.inSync ?? '?'} in sync${lackingReplicas(volume)}`;
  const next = phase === 'Pending' || phase === 'Unavailable' ? `; kubectl holdfast explain ${metadata.name}` : '';
  return `${(phase ?? 'new').toLowerCase()}: ${message}${next}`;
}

const WORST_FIRST = ['Failed', 'Unavailable', 'Degraded', 'Pending', 'Creating', 'Deleting', 'Healthy'];
const rank = ({ status }: VolumeObject): number => WORST_FIRST.indexOf(status?.phase ?? 'Pending');
const byName = (a: { metadata: { name: string } }, b: { metadata: { name: string } }): number =>
  a.metadata.name < b.metadata.name ? -1 : 1;

export function problemsOf(facts: Facts): Problem[] {
  const leader = leaderProblem(facts);
  const nodes = [...facts.nodes].sort(byName).flatMap((node): Problem[] => {
    const problem = nodeProblem(node, facts);
    return problem === null ? [] : [{ kind: 'node', name: node.metadata.name, problem }];
  });
  const volumes = [...facts.volumes]
    .sort((a, b) => rank(a) - rank(b) || byName(a, b))
    .flatMap((volume): Problem[] => {
      const problem = volumeProblem(volume);
      return problem === null ? [] : [{ kind: 'volume', name: volume.metadata.name, problem }];
    });
  const snapshots = facts.snapshots.flatMap(({ metadata, status }): Problem[] =>
    status?.phase === 'Failed' || status?.phase === 'Pending'
      ? [{ kind: 'snapshot', name: metadata.name, problem: `snapshot ${status.phase.toLowerCase()}: ${status.error ?? 'no reason given'}` }]
      : [],
  );
  return [
    ...(leader === null ? [] : [{ kind: 'operator', name: 'operator', problem: leader } as const]),
    ...storeProblems(facts),
    ...nodes,
    ...volumes,
    ...snapshots,
  ];
}

export function statusReport(facts: Facts): StatusReport {
  const { name, version, generation, etcd } = leaderFacts(facts);
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
    .flatMap(({ metadata, status }) => {
      const attached = status?.attachment ? `on ${status.attachment.node}` : 'detached';
      const replicas = (status?.replicas ?? []).map((one) => [
        `${one.node}/${one.pool}`,
        `shard ${one.shard}`,
        one.state,
        one.reason ?? '',
      ]);
      const head = `${metadata.name}   ${status?.phase ?? 'new'} ${status?.inSync ?? ''}   ${status?.size ?? ''}   ${attached}`;
      return [line(head, status?.phase === 'Healthy' ? 'plain' : 'bad'), ...table(replicas, '  ').map((text) => line(text, 'faint'))];
    });
}
