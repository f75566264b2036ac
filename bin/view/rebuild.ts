/** `kubectl holdfast rebuild`: how far each replica is that catches up. Pure. */
import type { Facts } from '../kube.ts';
import { bar, bytes, duration, type Line, line, table } from './text.ts';

export type Rebuild = {
  volume: string;
  node: string;
  shard: number;
  replica: string;
  doneBytes: number;
  totalBytes: number;
  secondsLeft: number | null;
  /** In sync, so that it can be copied from. */
  sources: string[];
};

export function rebuilds({ volumes }: Pick<Facts, 'volumes'>): Rebuild[] {
  return volumes
    .flatMap(({ metadata, status }) =>
      (status?.replicas ?? [])
        .filter(({ state }) => state === 'Learner')
        .map(({ name, node, shard, progress }) => ({
          volume: metadata.name,
          node,
          shard,
          replica: name,
          doneBytes: progress?.doneBytes ?? 0,
          totalBytes: progress?.totalBytes ?? 0,
          secondsLeft: progress?.secondsLeft ?? null,
          sources: (status?.replicas ?? []).filter((one) => one.state === 'InSync' && one.shard === shard).map((one) => one.node),
        })),
    )
    .sort((a, b) => (a.volume < b.volume ? -1 : a.volume > b.volume ? 1 : a.shard - b.shard));
}

function row({ volume, node, shard, doneBytes, totalBytes, secondsLeft, sources }: Rebuild, isStriped: boolean): string[] {
  const left = totalBytes - doneBytes;
  return [
    isStriped ? `${volume}/${shard}` : volume,
    node,
    totalBytes === 0 ? 'looks what it misses' : bar(doneBytes, totalBytes),
    totalBytes === 0 ? '' : `${bytes(doneBytes)} of ${bytes(totalBytes)}`,
    secondsLeft === null || secondsLeft === 0 ? '' : `${bytes(left / secondsLeft)}/s`,
    secondsLeft === null ? '' : `${duration(secondsLeft)} left`,
    sources.length === 0 ? '' : `from ${sources.join(' ')}`,
  ];
}

export function rebuildLines(facts: Pick<Facts, 'volumes'>): Line[] {
  const all = rebuilds(facts);
  if (all.length === 0) return [line('Nothing is being rebuilt.')];
  const striped = new Set(all.filter(({ shard }) => shard > 0).map(({ volume }) => volume));
  return table(all.map((one) => row(one, striped.has(one.volume)))).map((text) => line(text));
}
