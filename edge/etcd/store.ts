/** Store's reads and commits in etcd's terms. Must never answer from anything but a quorum of etcd. */
import {
  CompareResult,
  CompareTarget,
  type ICompare,
  type IKeyValue,
  type IRangeRequest,
  type IRangeResponse,
  type IRequestOp,
} from 'etcd3';
import { assert } from '../../core/assert.ts';
import { OperatingError } from '../../core/errors.ts';
import type { Change, Condition, Entry, Outcome } from '../../core/store.ts';
import { type Calls, causeOf } from './calls.ts';
import { isCompacted, isLeaseGone } from './failure.ts';
import type { LeaseHolder } from './lease.ts';

/** etcd's own default (`--max-txn-ops`). */
export const COMMIT_OPERATIONS_MAX = 128;
const LIST_PAGE_ENTRIES_MAX = 500;
const LIST_PAGES_MAX = 4_000;
/** A listing is of one revision; when that was compacted away between two pages, it begins again. */
const LIST_STARTS_MAX = 2;

/** What reading needs of `Calls`. */
export type Reads = Pick<Calls, 'read'>;
export type Listing = { entries: Entry[]; revision: string };

const toEntry = (kv: IKeyValue): Entry => ({ key: kv.key.toString(), value: kv.value.toString(), revision: kv.mod_revision });

export async function getEntry(calls: Reads, key: string): Promise<Entry | null> {
  const answer = await calls.read(`read ${key}`, (client, options) => client.kv.range({ key: Buffer.from(key) }, options));
  const kv = answer.kvs[0];
  return kv === undefined ? null : toEntry(kv);
}

/** One transaction of nothing but reads: of one revision, and as fresh as a single one. */
export async function getEntries(calls: Reads, keys: readonly string[]): Promise<(Entry | null)[]> {
  assert(keys.length <= COMMIT_OPERATIONS_MAX, `${keys.length} keys read at once`);
  const request = { compare: [], success: keys.map((key): IRequestOp => ({ request_range: { key: Buffer.from(key) } })), failure: [] };
  const answer = await calls.read(`read ${keys.join(', ')}`, (client, options) => client.kv.txn(request, options));
  return keys.map((_, index) => {
    const kv = answer.responses[index]?.response_range?.kvs[0];
    return kv === undefined ? null : toEntry(kv);
  });
}

/** The store's revision, from a quorum. `key` need not be there. */
export async function currentRevision(calls: Reads, key: string): Promise<string> {
  const request = { key: Buffer.from(key), keys_only: true };
  const answer = await calls.read('ask for the revision', (client, options) => client.kv.range(request, options));
  return answer.header.revision;
}

/** The first key after all that begin with `prefix`. */
export function endOf(prefix: string): Buffer {
  const bytes = Buffer.from(prefix);
  const last = bytes.length - 1;
  assert(last >= 0 && (bytes[last] ?? 0xff) < 0xff, `not a prefix that can be listed: ${JSON.stringify(prefix)}`);
  bytes[last] = (bytes[last] ?? 0) + 1;
  return bytes;
}

export async function listEntries(calls: Reads, prefix: string): Promise<Listing> {
  for (let start = 1; ; start++) {
    try {
      return await listOnce(calls, prefix);
    } catch (error) {
      const failure = causeOf(error);
      if (failure === null || !isCompacted(failure) || start >= LIST_STARTS_MAX) throw error;
    }
  }
}

async function listOnce(calls: Reads, prefix: string): Promise<Listing> {
  const end = endOf(prefix);
  const entries: Entry[] = [];
  let from: Buffer = Buffer.from(prefix);
  let revision: string | null = null;
  for (let page = 0; page < LIST_PAGES_MAX; page++) {
    const pinned: { revision?: string } = revision === null ? {} : { revision };
    const request: IRangeRequest = { key: from, range_end: end, limit: LIST_PAGE_ENTRIES_MAX, ...pinned };
    const answer: IRangeResponse = await calls.read(`list ${prefix}`, (client, options) => client.kv.range(request, options));
    revision ??= answer.header.revision;
    entries.push(...answer.kvs.map(toEntry));
    const last = answer.kvs.at(-1);
    if (!answer.more || last === undefined) return { entries, revision };
    from = Buffer.concat([last.key, Buffer.from([0])]);
  }
  throw new OperatingError('Unavailable', `list ${prefix}`, `more than ${LIST_PAGES_MAX * LIST_PAGE_ENTRIES_MAX} entries`);
}

function toCompare(condition: Condition): ICompare {
  const key = Buffer.from(condition.key);
  // As numbers: the library's type names are not the names that the wire knows, and a name that is not known would silently be the first.
  const result = CompareResult.Equal;
  switch (condition.is) {
    case 'absent':
      return { key, result, target: CompareTarget.Create, create_revision: '0' };
    case 'value':
      return { key, result, target: CompareTarget.Value, value: Buffer.from(condition.value) };
    case 'revision':
      return { key, result, target: CompareTarget.Mod, mod_revision: condition.revision };
  }
}

const keyOf = (change: Change): string => ('put' in change ? change.put : change.delete);

function toOperation(change: Change, lease: string | null): IRequestOp {
  if ('delete' in change) return { request_delete_range: { key: Buffer.from(change.delete) } };
  const put = { key: Buffer.from(change.put), value: Buffer.from(change.value) };
  return { request_put: lease === null ? put : { ...put, lease } };
}

export async function commitChanges(
  calls: Calls,
  lease: LeaseHolder,
  conditions: readonly Condition[],
  changes: readonly Change[],
): Promise<Outcome> {
  assert(conditions.length <= COMMIT_OPERATIONS_MAX, `${conditions.length} conditions in one commit`);
  assert(changes.length <= COMMIT_OPERATIONS_MAX, `${changes.length} changes in one commit`);
  assert(new Set(changes.map(keyOf)).size === changes.length, 'one commit changes a key twice');
  const attempted = `commit ${changes.map(keyOf).join(', ') || 'nothing'}`;
  const operations: IRequestOp[] = [];
  for (const change of changes) operations.push(toOperation(change, await leaseOf(calls, lease, attempted, change)));
  const request = { compare: conditions.map(toCompare), success: operations, failure: [] };
  try {
    const answer = await calls.write(attempted, (client, options) => client.kv.txn(request, options));
    return { committed: answer.succeeded, revision: answer.header.revision };
  } catch (error) {
    const failure = causeOf(error);
    if (failure !== null && isLeaseGone(failure)) lease.doubt();
    throw error;
  }
}

async function leaseOf(calls: Calls, lease: LeaseHolder, attempted: string, change: Change): Promise<string | null> {
  if ('delete' in change) return null;
  if (change.leased) {
    if (lease.aliveId === null) throw new OperatingError('Unavailable', attempted, 'this process holds no lease now; nothing was changed');
    return lease.aliveId;
  }
  if (change.expiresAfterSeconds === undefined) return null;
  // A lease of its own. When the commit then fails it stands for nothing and runs out by itself.
  const ttlSeconds = Math.max(1, Math.ceil(change.expiresAfterSeconds));
  const grant = await calls.write(attempted, (client, options) => client.leaseClient.leaseGrant({ TTL: ttlSeconds }, options));
  return grant.ID;
}
