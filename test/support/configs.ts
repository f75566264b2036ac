/** Volume configs for tests: small, whole, and changed where a test says so. */
import type { Member, VolumeConfig } from '../../core/config.ts';
import { instanceId, replicaId, volumeUid } from '../../core/ids.ts';

export const UID = volumeUid('11111111-2222-3333-4444-555555555555');
export const INSTANCE = instanceId('00000000000000aa');
export const OTHER_INSTANCE = instanceId('00000000000000bb');
export const REPLICAS = ['1', '2', '3'].map((digit) => replicaId(digit.repeat(16)));

export function member(index: number): Member {
  const replica = REPLICAS[index];
  if (replica === undefined) throw new Error(`no replica ${index}`);
  return { replica, node: `node-${'abc'[index]}`, pool: 'default' };
}

/** Three replicas on node-a, node-b and node-c, all in sync; node-a is to be the primary in epoch 1. */
export function configWith(change: Partial<VolumeConfig> = {}): VolumeConfig {
  return {
    uid: UID,
    name: 'pgdata',
    sizeBytes: 16 * 1024 * 1024,
    minInSync: 2,
    epoch: 1,
    version: 3,
    primary: { node: 'node-a', instance: INSTANCE, mode: 'serve' },
    shards: [{ members: [member(0), member(1), member(2)], inSync: [...REPLICAS] }],
    ...change,
  };
}
