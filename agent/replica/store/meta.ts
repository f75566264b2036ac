/**
 * A replica's `meta`: what it may contain, and its replacement. Must never let an older meta take the place of a newer one.
 */
import { assert } from '../../../core/assert.ts';
import type { VolumeConfig } from '../../../core/config.ts';
import { BLOCK_BYTES } from '../../../core/extent.ts';
import { isHexId, isVolumeUid, type ReplicaId } from '../../../core/ids.ts';
import type { ResyncProgress } from '../../../core/wire/messages.ts';
import type { Done, ReplicaMeta } from '../../ports.ts';
import type { Disk } from './disk.ts';
import { laterFormatOf, toIoError } from './errors.ts';
import { type Decoded, plainSync, readRecord, replaceRecord, type SyncRunner } from './record.ts';

/** Of all files of a replica. One more only when all agents know it (core/versions.ts): nothing is written in it before. */
export const META_FORMAT = 1;
export const META_FILE = 'meta';
/** Made with the replica, so that its block is there when the disk is full. */
export const NEXT_META_FILE = 'meta.next';
const FAILED_META_FILE = 'meta.failed';
/** Larger ones would need more memory for their stamps than is reasonable (8 bytes for each MiB). */
export const REPLICA_BYTES_MAX = 64 * 1024 ** 4;

export const isReplicaSize = (sizeBytes: number): boolean =>
  Number.isSafeInteger(sizeBytes) && sizeBytes > 0 && sizeBytes <= REPLICA_BYTES_MAX && sizeBytes % BLOCK_BYTES === 0;

export type NewReplica = Pick<ReplicaMeta, 'volume' | 'volumeName' | 'replica' | 'sizeBytes'>;

export const newMeta = (replica: NewReplica): ReplicaMeta => ({
  format: META_FORMAT,
  volume: replica.volume,
  volumeName: replica.volumeName,
  replica: replica.replica,
  sizeBytes: replica.sizeBytes,
  promisedEpoch: 0,
  promisedInstance: null,
  openBootId: null,
  suspect: false,
  failed: null,
  longestLeaseMs: 0,
  resync: null,
  config: null,
});

type Rule = { key: keyof ReplicaMeta; rule: string; holds: (value: unknown) => boolean };

const isText = (value: unknown): value is string => typeof value === 'string';
const isTextOrNull = (value: unknown): boolean => value === null || isText(value);
const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function isConfig(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { uid, epoch, version, shards } = value as Partial<VolumeConfig>;
  return isText(uid) && isCount(epoch) && isCount(version) && Array.isArray(shards);
}

function isResync(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { since, version, below } = value as Partial<ResyncProgress>;
  return isCount(since) && isCount(version) && isCount(below);
}

const RULES: readonly Rule[] = [
  { key: 'format', rule: `must be ${META_FORMAT}`, holds: (value) => value === META_FORMAT },
  { key: 'volume', rule: 'must be a volume uid', holds: (value) => isText(value) && isVolumeUid(value) },
  { key: 'volumeName', rule: 'must be a text', holds: isText },
  { key: 'replica', rule: 'must be a replica id', holds: (value) => isText(value) && isHexId(value) },
  {
    key: 'sizeBytes',
    rule: `must be a multiple of ${BLOCK_BYTES}, above 0 and at most ${REPLICA_BYTES_MAX}`,
    holds: (value) => typeof value === 'number' && isReplicaSize(value),
  },
  { key: 'promisedEpoch', rule: 'must be a count', holds: isCount },
  {
    key: 'promisedInstance',
    rule: 'must be an instance id or null',
    holds: (value) => value === null || (isText(value) && isHexId(value)),
  },
  { key: 'openBootId', rule: 'must be a text or null', holds: isTextOrNull },
  { key: 'suspect', rule: 'must be true or false', holds: (value) => typeof value === 'boolean' },
  { key: 'failed', rule: 'must be a text or null', holds: isTextOrNull },
  { key: 'longestLeaseMs', rule: 'must be a count', holds: isCount },
  { key: 'resync', rule: 'must be the progress of a resync or null', holds: (value) => value === null || isResync(value) },
  { key: 'config', rule: 'must be a volume config or null', holds: (value) => value === null || isConfig(value) },
  { key: 'toldVersion', rule: 'must be a count or left out', holds: (value) => value === undefined || isCount(value) },
];

/** A meta, or the rule that the value breaks. */
export function parseMeta(value: unknown): Decoded<ReplicaMeta> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { problem: 'it must be a map' };
  const given = value as Record<string, unknown>;
  for (const { key, rule, holds } of RULES) {
    if (!holds(given[key])) return { problem: `${key} ${rule} (is ${JSON.stringify(given[key])})` };
  }
  return { value: value as ReplicaMeta, problem: null };
}

/** The meta in a replica's directory, or why there is none. Throws DiskError, and LaterFormat. */
export function readMeta(disk: Disk, directory: string, replica: ReplicaId): Decoded<ReplicaMeta> {
  const record = readRecord(disk, `${directory}/${META_FILE}`);
  if (record.problem !== null) return record;
  const later = laterFormatOf(META_FILE, record.value, META_FORMAT);
  if (later) throw later;
  const parsed = parseMeta(record.value);
  if (parsed.problem === null && parsed.value.replica !== replica) return { problem: `it belongs to replica ${parsed.value.replica}` };
  return parsed;
}

export class MetaFile {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #sync: SyncRunner;
  #current: ReplicaMeta;
  #isSaving = false;

  constructor(disk: Disk, directory: string, meta: ReplicaMeta, sync: SyncRunner) {
    this.#disk = disk;
    this.#directory = directory;
    this.#current = meta;
    this.#sync = sync;
  }

  /** The last that is known to be durable. */
  get current(): ReplicaMeta {
    return this.#current;
  }

  get isIdle(): boolean {
    return !this.#isSaving;
  }

  save(meta: ReplicaMeta, done: Done): void {
    assert(!this.#isSaving, 'one save of a meta at a time');
    const { replica, volume, sizeBytes } = this.#current;
    assert(meta.replica === replica && meta.volume === volume && meta.sizeBytes >= sizeBytes, 'a replica stays what it is, and grows');
    assert(parseMeta(meta).problem === null, `a meta that could not be read back: ${parseMeta(meta).problem}`);
    this.#isSaving = true;
    this.#replace(NEXT_META_FILE, meta, this.#sync, (error) => {
      this.#isSaving = false;
      if (!error) this.#current = meta;
      done(error);
    });
  }

  /**
   * Notes that the replica has failed, as best the disk lets it. It does not wait for a save that runs, which may never end, but takes a
   * temporary file of its own then; the guard ends that save before its rename, so it cannot take this one's place.
   */
  keepFailure(reason: string, done: () => void): void {
    const failed = { ...this.#current, failed: this.#current.failed ?? reason };
    this.#current = failed;
    this.#replace(this.#isSaving ? FAILED_META_FILE : NEXT_META_FILE, failed, plainSync, () => done());
  }

  #replace(temporaryName: string, value: ReplicaMeta, sync: SyncRunner, done: Done): void {
    replaceRecord({ disk: this.#disk, directory: this.#directory, name: META_FILE, temporaryName, value, sync }, (error) =>
      done(error ? toIoError(error, `meta of replica ${value.replica}`) : null),
    );
  }
}
