/**
 * A VolumeConfig out of JSON, from etcd or from a peer's Seal. Pure. A field that is not known is refused, not dropped: the primary writes back what it
 * has read, and what it did not understand may have been a fence. So a field is written only under a schema that has it (core/versions.ts).
 */
import type { Attachment, Member, PrimaryMode, PrimaryRole, Shard, VolumeConfig, VolumeLimits } from './config.ts';
import { type InstanceId, isHexId, isSnapshotUid, isVolumeUid, type ReplicaId, type SnapshotUid, type VolumeUid } from './ids.ts';
import { demand, Fields, type Parsed, parsed, parsedJson } from './parse.ts';

/** As long as Kubernetes lets a name be. */
export const NAME_CHARACTERS_MAX = 253;
/** A volume over more than that would not gain anything: a node's rebuild is spread over as many already. */
export const SHARDS_MAX = 64;
/** Of one shard. */
export const MEMBERS_MAX = 64;
/** Of all shards together: keeps a Seal, which carries the whole config, below its length. */
export const MEMBERS_IN_ALL_MAX = 512;
/** All fields of a config that this version knows, by the part of it that has them. */
export const CONFIG_FIELDS = {
  config: ['uid', 'name', 'sizeBytes', 'minInSync', 'epoch', 'version', 'lossAt', 'attachment', 'primary', 'limits', 'shards'],
  attachment: ['node', 'bootId', 'epoch'],
  primary: ['node', 'instance', 'mode'],
  limits: ['iops', 'bytesPerSecond'],
  shard: ['members', 'inSync'],
  member: ['replica', 'node', 'pool', 'leaving', 'leftAt'],
} as const;
export const MODES: readonly PrimaryMode[] = ['serve', 'background', 'release'];

export const parseVolumeConfig = (input: unknown): Parsed<VolumeConfig> => parsed(() => readVolumeConfig(input, 'config'));
export const parseVolumeConfigText = (text: string): Parsed<VolumeConfig> =>
  parsedJson(text, 'a config', (input) => readVolumeConfig(input, 'config'));

export const readUid = (fields: Fields, key: string): VolumeUid =>
  fields.formed(key, isVolumeUid, 'a uid (letters, digits and dashes, at most 63)') as VolumeUid;
export const readReplicaId = (fields: Fields, key: string): ReplicaId =>
  fields.formed(key, isHexId, 'a replica id (16 hex digits)') as ReplicaId;
export const readSnapshotUid = (fields: Fields, key: string): SnapshotUid =>
  fields.formed(key, isSnapshotUid, 'a uid (letters, digits and dashes, at most 63)') as SnapshotUid;
const readInstanceId = (fields: Fields, key: string): InstanceId =>
  fields.formed(key, isHexId, 'an instance id (16 hex digits)') as InstanceId;

/** Throws what `parsed` catches. */
export function readVolumeConfig(input: unknown, where: string): VolumeConfig {
  const fields = new Fields(input, where, CONFIG_FIELDS.config);
  const epoch = fields.whole('epoch', 0);
  const shards = fields.list('shards', 1, SHARDS_MAX, readShard);
  const members = shards.reduce((sum, shard) => sum + shard.members.length, 0);
  demand(members <= MEMBERS_IN_ALL_MAX, fields.place('shards'), `must not have more than ${MEMBERS_IN_ALL_MAX} members in all`);
  return {
    uid: readUid(fields, 'uid'),
    name: fields.text('name', NAME_CHARACTERS_MAX),
    sizeBytes: fields.whole('sizeBytes', 1),
    minInSync: fields.whole('minInSync', 1, MEMBERS_MAX),
    epoch,
    version: fields.whole('version', 0),
    ...(fields.has('lossAt') ? { lossAt: fields.whole('lossAt', 0, epoch) } : {}),
    ...(fields.has('attachment') ? { attachment: readAttachment(fields, epoch) } : {}),
    primary: readPrimary(fields),
    ...(fields.has('limits') ? { limits: readLimits(fields) } : {}),
    shards,
  };
}

function readAttachment(config: Fields, epochMax: number): Attachment {
  const fields = new Fields(config.get('attachment'), config.place('attachment'), CONFIG_FIELDS.attachment);
  return {
    node: fields.text('node', NAME_CHARACTERS_MAX),
    bootId: fields.text('bootId', NAME_CHARACTERS_MAX),
    epoch: fields.whole('epoch', 0, epochMax),
  };
}

function readPrimary(config: Fields): PrimaryRole | null {
  if (config.get('primary') === null) return null;
  const fields = new Fields(config.get('primary'), config.place('primary'), CONFIG_FIELDS.primary);
  return {
    node: fields.text('node', NAME_CHARACTERS_MAX),
    instance: readInstanceId(fields, 'instance'),
    mode: fields.oneOf('mode', MODES),
  };
}

function readLimits(config: Fields): VolumeLimits {
  const fields = new Fields(config.get('limits'), config.place('limits'), CONFIG_FIELDS.limits);
  return { iops: fields.whole('iops', 0), bytesPerSecond: fields.whole('bytesPerSecond', 0) };
}

function readShard(input: unknown, where: string): Shard {
  const fields = new Fields(input, where, CONFIG_FIELDS.shard);
  const members = fields.list('members', 0, MEMBERS_MAX, readMember);
  const ids = new Set(members.map((member) => member.replica));
  demand(ids.size === members.length, fields.place('members'), 'must not name a replica twice');
  const inSync = fields.list('inSync', 0, MEMBERS_MAX, (id, place) => {
    const replica = members.find((member) => member.replica === id)?.replica;
    demand(replica !== undefined, place, 'must be the replica of a member');
    return replica;
  });
  demand(new Set(inSync).size === inSync.length, fields.place('inSync'), 'must not name a replica twice');
  return { members, inSync };
}

function readMember(input: unknown, where: string): Member {
  const fields = new Fields(input, where, CONFIG_FIELDS.member);
  if (fields.has('leaving')) demand(fields.get('leaving') === true, fields.place('leaving'), 'must be true or left out');
  return {
    replica: readReplicaId(fields, 'replica'),
    node: fields.text('node', NAME_CHARACTERS_MAX),
    pool: fields.text('pool', NAME_CHARACTERS_MAX),
    ...(fields.has('leaving') ? { leaving: true as const } : {}),
    ...(fields.has('leftAt') ? { leftAt: fields.whole('leftAt', 0) } : {}),
  };
}
