/**
 * Accounts in etcd, made as they should be: users without passwords, whose name is the common name of a certificate. Must never take from a role what it
 * was not told to (`withdrawn`), nor turn
 * authentication on before whoever asks has an account that may go on.
 *
 * Every step may be done twice, by any number at once, and a crash behind any of them leaves what the next look goes on from: roles and what they may do first, then
 * users, then their roles; authentication last. Until then whoever has a certificate of the authority may do all of it; from then on only who has the role root.
 */
import { type Etcd3, Permission } from 'etcd3';
import { type Account, type Accounts, agentUser, type Grant, nodeOfRole, ROOT, type Role } from '../../core/accounts.ts';
import { systemClock } from '../../core/clock.ts';
import { messageOf } from '../../core/errors.ts';
import { parseSchema } from '../../core/schema.ts';
import { SCHEMA } from '../../core/versions.ts';
import { endOf } from './store.ts';

/** A password's hash is not made, but the change goes through a quorum's disks. */
const CALL_MS_MAX = 5_000;
/** All of it is looked at from the ground up this often: who changes accounts by hand is put right. */
const DISTRUST_MS = 600_000;
/** Each change of an account makes etcd's members ask everybody's rights anew, and calls under way fail once. */
const CHANGES_MAX = 10_000;

const ALREADY = /already exist/;
const NOT_THERE = /not found|does not exist|not granted/;

export class EtcdAccounts {
  readonly #cluster: string;
  readonly #verified = new Set<string>();
  #distrustedMs = systemClock.monotonicMs();
  #changes = 0;

  constructor(cluster: string) {
    this.#cluster = cluster;
  }

  /** Answers how many changes it took; all that is wanted is there then, and authentication is on. `removes`: accounts of other nodes go. */
  async keep(client: Etcd3, wanted: Accounts, removes = false): Promise<number> {
    this.#changes = 0;
    if (systemClock.monotonicMs() - this.#distrustedMs > DISTRUST_MS) this.#distrust();
    const [users, roles] = await Promise.all([client.auth.userList(deadline()), client.auth.roleList(deadline())]);
    const hasUser = new Set(users.users);
    const hasRole = new Set(roles.roles);
    for (const role of wanted.roles) await this.#keepRole(client, role, hasRole.has(role.name));
    for (const account of wanted.accounts) await this.#keepUser(client, account, hasUser.has(account.user));
    await this.#change(() => client.auth.authEnable(deadline()), /already enabled/, false);
    if (removes) await this.#remove(client, wanted, hasUser, hasRole);
    return this.#changes;
  }

  #distrust(): void {
    this.#verified.clear();
    this.#distrustedMs = systemClock.monotonicMs();
  }

  async #keepRole(client: Etcd3, role: Role, isThere: boolean): Promise<void> {
    const mark = markOf(role);
    if (isThere && this.#verified.has(mark)) return;
    if (!isThere) await this.#change(() => client.auth.roleAdd({ name: role.name }, deadline()), ALREADY);
    const { perm } = await client.auth.roleGet({ role: role.name }, deadline());
    const found = new Set((perm ?? []).map(({ permType, key, range_end }) => textOf(permType, key, range_end)));
    for (const grant of role.grants) {
      const request = permissionOf(grant);
      if (found.has(textOf(grant.type, request.key, request.range_end))) continue;
      const perm = {
        permType: grant.type === 'read' ? Permission.Read : Permission.Readwrite,
        key: request.key,
        range_end: request.range_end,
      };
      // As numbers: the library's type names are not the names that the wire knows.
      await this.#change(() => client.auth.roleGrantPermission({ name: role.name, perm: perm as never }, deadline()), ALREADY);
    }
    for (const grant of role.withdrawn ?? []) await this.#withdraw(client, role.name, grant, found);
    this.#verified.add(mark);
  }

  /** A crash before it leaves who had it with it, until the next look. */
  async #withdraw(client: Etcd3, role: string, grant: Grant, found: ReadonlySet<string>): Promise<void> {
    const { key, range_end } = permissionOf(grant);
    if (!found.has(textOf(grant.type, key, range_end))) return;
    await this.#change(() => client.auth.roleRevokePermission({ role, key, range_end }, deadline()), NOT_THERE);
  }

  async #keepUser(client: Etcd3, { user, roles }: Account, isThere: boolean): Promise<void> {
    const mark = `${user} ${roles.join(' ')}`;
    if (isThere && this.#verified.has(mark)) return;
    if (!isThere) await this.#change(() => client.auth.userAdd({ name: user, options: { no_password: true } }, deadline()), ALREADY);
    if (roles.includes(ROOT)) await this.#change(() => client.auth.roleAdd({ name: ROOT }, deadline()), ALREADY, false);
    const found = new Set((await client.auth.userGet({ name: user }, deadline())).roles);
    for (const role of roles) {
      if (!found.has(role)) await this.#change(() => client.auth.userGrantRole({ user, role }, deadline()), ALREADY);
    }
    this.#verified.add(mark);
  }

  /** What a node was that is no longer wanted: the user first, so that a crash leaves a role that the next look finds. */
  async #remove(client: Etcd3, wanted: Accounts, hasUser: ReadonlySet<string>, hasRole: ReadonlySet<string>): Promise<void> {
    const kept = new Set(wanted.roles.map(({ name }) => name));
    for (const role of hasRole) {
      const node = nodeOfRole(this.#cluster, role);
      if (node === null || kept.has(role)) continue;
      const user = agentUser(node);
      if (hasUser.has(user)) await this.#change(() => client.auth.userDelete({ name: user }, deadline()), NOT_THERE);
      await this.#change(() => client.auth.roleDelete({ role }, deadline()), NOT_THERE);
      this.#distrust();
    }
  }

  async #change(run: () => Promise<unknown>, isDone: RegExp, counts = true): Promise<void> {
    if (this.#changes >= CHANGES_MAX) throw new Error(`more than ${CHANGES_MAX} changes of accounts at once`);
    try {
      await run();
      if (counts) this.#changes++;
    } catch (error) {
      if (!isDone.test(messageOf(error))) throw error;
    }
  }
}

/** The same role with other rights is looked at anew. */
const markOf = ({ name, grants, withdrawn = [] }: Role): string => JSON.stringify([name, grants, withdrawn]);

const deadline = () => ({ deadline: systemClock.wallMs() + CALL_MS_MAX });

const permissionOf = ({ key, isPrefix }: Grant): { key: Buffer; range_end: Buffer } => ({
  key: Buffer.from(key),
  range_end: isPrefix ? endOf(key) : Buffer.alloc(0),
});

const textOf = (type: string, key: Buffer, end: Buffer): string => `${type.toLowerCase()} ${key.toString('hex')} ${end.toString('hex')}`;

/** The schema in force; where nothing says so the first, under which everybody may do what any version needs. */
export async function schemaInForce(client: Etcd3, key: string): Promise<number> {
  const { kvs } = await client.kv.range({ key: Buffer.from(key) }, deadline());
  return parseSchema(kvs[0]?.value.toString() ?? null)?.version ?? SCHEMA.lowest;
}
