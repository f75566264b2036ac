/** What the checkers look at: the config, each replica's files, and what clients may see of each piece. */
import type { Shard, VolumeConfig } from '../../../core/config.ts';
import type { ReplicaFiles } from '../files.ts';
import type { Layout } from '../layout.ts';
import type { BlockRegister } from './blockRegister.ts';
import type { Linearizable } from './linearizable.ts';

/** A replica as it stands on its disk. `isSuspect`: it lost power and was not levelled since, as far as anybody could know. */
export type ReplicaView = { id: string; files: ReplicaFiles; isSuspect: boolean };

export type PlacedRegister = { register: BlockRegister; piece: number };

export type Scene = {
  config: VolumeConfig;
  replicas: ReadonlyMap<string, ReplicaView>;
  clients: Linearizable;
  /** By shard: its registers, and where each lies in its replicas. */
  /** An extent of that shard in which blocks rot; -1: none. Only the scrub keeps it equal. */
  coldExtentOf: (shard: number) => number;
  registers: readonly (readonly PlacedRegister[])[];
};

export const placedRegisters = (clients: Linearizable, layout: Layout): PlacedRegister[][] =>
  Array.from({ length: layout.shards }, (_, shard) =>
    [...clients.pieces.values()]
      .filter((register) => layout.shardOfPiece(register.piece) === shard)
      .map((register) => ({ register, piece: layout.pieceInShard(register.piece) })),
  );

export const registersOf = ({ registers }: Scene, shard: number): readonly PlacedRegister[] => registers[shard] ?? [];

export const inSyncOf = (shard: Shard, { replicas }: Scene): ReplicaView[] => shard.inSync.flatMap((id) => replicas.get(id) ?? []);
