/**
 * Who may do what in etcd, by the common name of their certificate: pure. Must never give an agent a write that could speak for another node, nor one that only
 * operators need.
 */
import type { Keys } from './keys.ts';
import { SCHEMA_OF_RECORDS } from './versions.ts';

export type Grant = { readonly type: 'read' | 'readwrite'; readonly key: string; readonly isPrefix: boolean };
/** `withdrawn`: what it had under an earlier schema, and shall not have. */
export type Role = { readonly name: string; readonly grants: readonly Grant[]; readonly withdrawn?: readonly Grant[] };
/** `roles`: in the order in which they are given. */
export type Account = { readonly user: string; readonly roles: readonly string[] };
export type Accounts = { readonly roles: readonly Role[]; readonly accounts: readonly Account[] };

/** etcd's own name for the role that may do everything, and of the user that must have it before authentication can be turned on; no certificate says `root`. */
export const ROOT = 'root';

const prefix = (type: Grant['type'], key: string): Grant => ({ type, key, isPrefix: true });

/**
 * What every agent needs: all of it to be read, and what belongs to volumes, whose primaries and replicas move from node to node. The configs and who has to do with them are the
 * leader's alone from the schema on under which primaries write under their own nodes' prefixes.
 */
export function agentsRole(keys: Keys, cluster: string, schema: number): Role {
  const shared = [keys.bells, keys.serving, keys.snapshots, keys.scrubs, keys.claims, keys.history].map((key) => prefix('readwrite', key));
  const leaders = [keys.volumes, keys.pointers].map((key) => prefix('readwrite', key));
  const name = `${cluster}:agents`;
  const read = prefix('read', keys.root);
  if (schema < SCHEMA_OF_RECORDS) return { name, grants: [read, ...leaders, ...shared] };
  return { name, grants: [read, ...shared], withdrawn: leaders };
}

/** What one node's agent needs of its own: its machine, the tasks that were filed for it, and what it makes of volumes as their primary. */
export const nodeRole = (keys: Keys, cluster: string, node: string): Role => ({
  name: nodeRoleName(cluster, node),
  grants: [
    { type: 'readwrite', key: keys.machine(node), isPrefix: false },
    prefix('readwrite', keys.tasksOf(node)),
    prefix('readwrite', keys.primariesOf(node)),
  ],
});

const nodeRoleName = (cluster: string, node: string): string => `${cluster}:agent:${node}`;

/** Of a role that `nodeRole` made; null: of another. */
export function nodeOfRole(cluster: string, role: string): string | null {
  const start = nodeRoleName(cluster, '');
  return role.startsWith(start) ? role.slice(start.length) : null;
}

export const agentUser = (node: string): string => `agent:${node}`;

/** `schema`: the one in force. */
export type GivenAccounts = { operators: readonly string[]; nodes: readonly string[]; schema: number };

export function accountsOf(keys: Keys, cluster: string, given: GivenAccounts): Accounts {
  const shared = agentsRole(keys, cluster, given.schema);
  const own = given.nodes.map((node) => ({ node, role: nodeRole(keys, cluster, node) }));
  return {
    roles: [shared, ...own.map(({ role }) => role)],
    accounts: [
      ...[ROOT, ...given.operators].map((user) => ({ user, roles: [ROOT] })),
      ...own.map(({ node, role }) => ({ user: agentUser(node), roles: [shared.name, role.name] })),
    ],
  };
}
