/**
 * What keeps etcd itself in order: its members and their databases, alarms, compaction, defragmentation. Must never decide when (the leading operator does), nor
 * repeat by itself what had no answer: a member that is defragmented answers nobody meanwhile.
 */
import { AlarmAction, AlarmType, type Etcd3 } from 'etcd3';
import { systemClock } from '../../core/clock.ts';
import { messageOf, OperatingError } from '../../core/errors.ts';
import type { TlsMaterial } from '../tls.ts';
import { type Calls, causeOf } from './calls.ts';
import { type Connection, type Endpoints, openClient } from './endpoints.ts';
import { isCompacted } from './failure.ts';
import { quotaBytesAt } from './quota.ts';
import { currentRevision } from './store.ts';

const STATUS_MS_MAX = 1_000;
/** Some hundred megabytes a second, with whatever else that disk does. */
const DEFRAGMENT_MS_MAX = 300_000;

export type MemberStatus = {
  /** etcd's own number, in decimal digits. */
  id: string;
  isLeader: boolean;
  /** Of the database's file; etcd counts this against its quota. Only a defragmentation lowers it. */
  dbBytes: number;
  /** Of that, what is not free pages. */
  usedBytes: number;
};
/** `status` null: it gave no answer. */
export type SeenMember = { url: string; status: MemberStatus | null };
/** `kind` as etcd writes it: NOSPACE, CORRUPT. */
export type StoreAlarm = { member: string; kind: string };

export interface StoreUpkeep {
  /** Each endpoint by its own word; needs no quorum. */
  members(): Promise<SeenMember[]>;
  /** How many members etcd has, whether they are among the endpoints or not. */
  memberCount(): Promise<number>;
  alarms(): Promise<StoreAlarm[]>;
  /** Of the member at that endpoint; null: it does not say. */
  quotaBytes(url: string): Promise<number | null>;
  revision(): Promise<string>;
  /** What was before that revision can be read no more. False: somebody else had compacted so far. */
  compact(revision: string): Promise<boolean>;
  /** That member answers nobody until it is done; the others go on. */
  defragment(url: string): Promise<void>;
  /** Of that member: etcd takes writes again, when no other alarm is left. */
  disarm(alarm: StoreAlarm): Promise<void>;
}

async function statusOf({ client }: Connection): Promise<MemberStatus | null> {
  try {
    const { header, leader, dbSize, dbSizeInUse } = await client.maintenance.status({ deadline: systemClock.wallMs() + STATUS_MS_MAX });
    return { id: header.member_id, isLeader: leader === header.member_id, dbBytes: Number(dbSize), usedBytes: Number(dbSizeInUse) };
  } catch {
    return null;
  }
}

/** In capitals on the wire, whatever the library's types say. */
const kindOf = (alarm: string): string => alarm.toUpperCase();

async function compact(calls: Calls, revision: string): Promise<boolean> {
  try {
    await calls.write(`compact etcd up to revision ${revision}`, (client, options) =>
      client.kv.compact({ revision, physical: true }, options),
    );
    return true;
  } catch (error) {
    const failure = causeOf(error);
    if (failure !== null && isCompacted(failure)) return false;
    throw error;
  }
}

/** On a connection of its own: those for calls are made anew when a member is silent for as long as this may be. */
async function defragment(url: string, material: TlsMaterial | null): Promise<void> {
  const client: Etcd3 = openClient(url, material);
  try {
    await client.maintenance.defragment({ deadline: systemClock.wallMs() + DEFRAGMENT_MS_MAX });
  } catch (error) {
    throw new OperatingError('Unavailable', `defragment ${url}`, messageOf(error), { cause: error });
  } finally {
    client.close();
  }
}

export function upkeepOf(calls: Calls, endpoints: Endpoints, material: () => TlsMaterial | null): StoreUpkeep {
  return {
    members: () => Promise.all(endpoints.connections.map(async (one) => ({ url: one.url, status: await statusOf(one) }))),
    async memberCount() {
      const answer = await calls.read("list etcd's members", (client, options) => client.cluster.memberList({}, options));
      return answer.members.length;
    },
    async alarms() {
      const request = { action: AlarmAction.Get, memberID: '0', alarm: AlarmType.None };
      const { alarms } = await calls.read("ask for etcd's alarms", (client, options) => client.maintenance.alarm(request, options));
      return alarms.map(({ memberID, alarm }) => ({ member: memberID, kind: kindOf(alarm) }));
    },
    quotaBytes: (url) => quotaBytesAt(url, material()),
    revision: () => currentRevision(calls, 'revision'),
    compact: (revision) => compact(calls, revision),
    defragment: (url) => defragment(url, material()),
    async disarm({ member, kind }) {
      const alarm = kind === 'NOSPACE' ? AlarmType.Nospace : AlarmType.Corrupt;
      const request = { action: AlarmAction.Deactivate, memberID: member, alarm };
      await calls.write(`disarm ${kind} of etcd member ${member}`, (client, options) => client.maintenance.alarm(request, options));
    },
  };
}
