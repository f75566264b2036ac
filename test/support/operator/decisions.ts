/** Looking into decisions, and the few volumes that most rows begin with. */
import type { VolumeConfig } from '../../../core/config.ts';
import type { Task } from '../../../core/task.ts';
import type { ObservedVolume } from '../../../operator/observe/observed.ts';
import { decideVolume } from '../../../operator/volume/decide.ts';
import type { Action, Decision, Transaction, World } from '../../../operator/volume/decision.ts';
import { config, instance, KEYS, UID, volumeObject, world } from './builders.ts';

export const kinds = (decision: Decision): string[] => decision.actions.map(({ kind }) => kind);
export const transactionOf = (decision: Decision): Transaction => {
  const action = decision.actions.find((one): one is Extract<Action, { kind: 'commit' }> => one.kind === 'commit');
  if (!action) throw new Error(`no transaction: ${decision.state}, ${decision.reason}`);
  return action.transaction;
};
export const put = (decision: Decision, key: string): unknown => {
  const change = transactionOf(decision).changes.find((one) => 'put' in one && one.put === key);
  return change && 'value' in change ? JSON.parse(change.value) : undefined;
};
export const nextConfig = (decision: Decision): VolumeConfig => put(decision, KEYS.volume(UID)) as VolumeConfig;
export const deleted = (decision: Decision): string[] =>
  transactionOf(decision).changes.flatMap((change) => ('delete' in change ? [change.delete] : []));
export const membersOf = (decision: Decision): string[] =>
  (nextConfig(decision).shards[0]?.members ?? []).map(({ node, leaving }) => (leaving ? `${node} leaving` : node));
export const filedTasks = (decision: Decision): Task[] =>
  transactionOf(decision).changes.flatMap((change) =>
    'put' in change && change.put.startsWith(KEYS.tasks) ? [JSON.parse(change.value) as Task] : [],
  );

export const decide = (volume: ObservedVolume, around: World = world()): Decision => decideVolume(volume, around);
export const attached = (letter: string, change: Parameters<typeof volumeObject>[0] = {}) =>
  volumeObject({ attachTo: `node-${letter}`, ...change });
export const primary = (letter: string, mode: 'serve' | 'background' | 'release' = 'serve', of = letter) => ({
  node: `node-${letter}`,
  instance: instance(of),
  mode,
});
export const deleting = () => volumeObject({}, { deletionTimestamp: '2026-01-01T00:00:00Z' });
/** Epoch 0, nothing in sync: being made. */
export const fresh = (letters = 'abc') => config({ epoch: 0, version: 1 }, letters, '');
