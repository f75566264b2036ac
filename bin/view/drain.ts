/** `kubectl holdfast drain`: where the replicas of a node would go, and how far it is. Pure. */
import type { StorageNodeObject, VolumeObject } from '../../operator/api.ts';
import { conditionOf } from '../../operator/conditions.ts';
import { formatBytes } from '../../operator/quantity.ts';
import type { Move } from './forecast.ts';
import { type Line, line, plural, table } from './text.ts';

const servedFrom = (node: string, volumes: readonly VolumeObject[]): string[] =>
  volumes.filter(({ status }) => status?.attachment?.node === node).map(({ metadata }) => metadata.name);

const NAMES_SHOWN_MAX = 10;
const names = (all: readonly string[]): string =>
  `${all.slice(0, NAMES_SHOWN_MAX).join(' ')}${all.length > NAMES_SHOWN_MAX ? ` and ${all.length - NAMES_SHOWN_MAX} more` : ''}`;

/** `hasLimits`: they are the leader's own. */
export function forecastLines(drained: string, moves: readonly Move[], volumes: readonly VolumeObject[], hasLimits: boolean): Line[] {
  const served = servedFrom(drained, volumes);
  const staying =
    served.length === 0 ? [] : [line(`Served from ${drained} and staying so until somebody attaches them elsewhere: ${names(served)}`)];
  if (moves.length === 0) return [line(`No replica is on ${drained}.`), ...staying];
  const stuck = moves.filter(({ to }) => to === null);
  const going = moves.filter(({ to }) => to !== null);
  const total = going.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const left = stuck.length === 0 ? '' : ` ${plural(stuck.length, 'replica')} could not leave as things are now.`;
  const limits = hasLimits ? "the leader's rules and limits" : "the leader's rules and the default limits (its Lease cannot be read)";
  return [
    line(`${plural(going.length, 'replica')} of ${formatBytes(total)} at most would leave ${drained}, each copied elsewhere first.${left}`),
    ...table(stuck.map((move) => [`! ${move.volume}`, formatBytes(move.sizeBytes), `cannot leave: ${move.reason}`])).map((text) =>
      line(text, 'bad'),
    ),
    ...table(going.map((move) => [`  ${move.volume}`, formatBytes(move.sizeBytes), `to ${move.to}`])).map((text) => line(text)),
    ...staying,
    line(`Nothing was changed. By ${limits}, and what StorageNodes and Volumes show now.`, 'faint'),
  ];
}

export type Draining = { isDone: boolean; replicasLeft: number | null; blocked: { volume: string; reason: string }[] };

/** As the operator tells it; null: it has not looked at the wish yet. */
export function drainingOf({ status, metadata }: StorageNodeObject): Draining | null {
  const evicted = conditionOf(status?.conditions, 'Evicted');
  if (evicted === undefined || (evicted.observedGeneration ?? 0) < (metadata.generation ?? 0)) return null;
  return {
    isDone: evicted.status === 'True',
    replicasLeft: status?.evicting?.replicasLeft ?? null,
    blocked: status?.evicting?.blocked ?? [],
  };
}

export function drainingLines(name: string, draining: Draining | null): Line[] {
  if (draining === null) return [line(`${name} shall be emptied; no operator has looked at that yet`)];
  if (draining.isDone) return [line(`${name} is empty: no replica is left there.`, 'good')];
  return [
    line(`${name}: ${plural(draining.replicasLeft ?? 0, 'replica')} left`),
    ...table(draining.blocked.map(({ volume, reason }) => [`! ${volume}`, reason])).map((text) => line(text, 'bad')),
  ];
}
