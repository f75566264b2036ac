/**
 * Who asks, and whether they may. The API server decides both: TokenReview says whose a bearer token is, SubjectAccessReview whether that user may do what
 * stands only in etcd (tasks, settings). What is a Kubernetes object is done with the caller's own token, so there is nothing to decide here.
 *
 * Tokens are remembered as digests only, for a few seconds: a token that was withdrawn works no longer than that. Rights are asked for anew each time.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import { HttpError } from '../../edge/http/errors.ts';
import { GROUP } from '../api.ts';
import type { Caller, KubeAnswer, KubeCalls, KubeRequest } from './ports.ts';
import { resultOf, unavailable } from './refusals.ts';

const REMEMBERED_MS_MAX = 10_000;
const REMEMBERED_MAX = 1_024;
const TOKEN_LENGTH_MAX = 8_192;
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;

type ReviewedUser = { username?: string; uid?: string; groups?: string[]; extra?: Record<string, string[]> };
type TokenReview = { status?: { authenticated?: boolean; user?: ReviewedUser } };
type AccessReview = { status?: { allowed?: boolean; reason?: string } };
type Remembered = { sinceMs: number; caller: Promise<Caller | null> };

export type Verb = 'get' | 'list' | 'update';
/** Resources that are none of Kubernetes: rights to them are given in roles all the same. */
export type VirtualResource = 'tasks' | 'settings';

/** That the operator itself may not ask is nothing that the caller did wrong. */
function ownResult<Result>(answer: KubeAnswer, request: KubeRequest): Result {
  if (answer.status === 401 || answer.status === 403)
    throw unavailable(request, 'the API server does not let this operator ask who may do what', false);
  return resultOf<Result>(answer, request);
}

export class Access {
  readonly #kube: KubeCalls;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, Remembered>();

  constructor(kube: KubeCalls, clock: Clock) {
    this.#kube = kube;
    this.#clock = clock;
  }

  /** Throws HttpError 401; rejects with Unavailable when the API server cannot be asked. */
  async authenticate(authorization: string | undefined): Promise<Caller> {
    const [, token] = BEARER.exec(authorization ?? '') ?? [];
    if (token === undefined || token.length > TOKEN_LENGTH_MAX)
      throw new HttpError(401, 'Unauthorized', 'a bearer token is needed: Authorization: Bearer <token> (kubectl create token ...)');
    const caller = await this.#callerOf(token);
    if (caller === null) throw new HttpError(401, 'Unauthorized', 'the API server does not accept this token; it may have expired');
    return caller;
  }

  /** Throws HttpError 403. */
  async authorize(caller: Caller, verb: Verb, resource: VirtualResource, signal: AbortSignal): Promise<void> {
    const { user, uid, groups, extra } = caller;
    const request: KubeRequest = {
      method: 'POST',
      path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { user, uid, groups, extra, resourceAttributes: { group: GROUP, resource, verb } },
      },
    };
    const { status } = ownResult<AccessReview>(await this.#kube.call(null, request, signal), request);
    if (status?.allowed === true) return;
    const reason = status?.reason ? `: ${status.reason}` : '';
    throw new HttpError(403, 'Forbidden', `user "${user}" may not ${verb} ${resource} in the API group "${GROUP}"${reason}`);
  }

  #callerOf(token: string): Promise<Caller | null> {
    const digest = createHash('sha256').update(token).digest('hex');
    const nowMs = this.#clock.monotonicMs();
    const known = this.#remembered.get(digest);
    if (known !== undefined && nowMs - known.sinceMs < REMEMBERED_MS_MAX) return known.caller;
    const caller = this.#review(token);
    this.#remember(digest, { sinceMs: nowMs, caller });
    return caller;
  }

  #remember(digest: string, entry: Remembered): void {
    this.#remembered.delete(digest);
    this.#remembered.set(digest, entry);
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= REMEMBERED_MAX) break;
      this.#remembered.delete(oldest);
    }
    // No answer says nothing of the token: the next request asks again.
    entry.caller.catch(() => {
      if (this.#remembered.get(digest) === entry) this.#remembered.delete(digest);
    });
  }

  /** Several may wait for one answer, so it ends by its own time and not with whoever asked first. */
  async #review(token: string): Promise<Caller | null> {
    const request: KubeRequest = {
      method: 'POST',
      path: '/apis/authentication.k8s.io/v1/tokenreviews',
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } },
    };
    const { status } = ownResult<TokenReview>(await this.#kube.call(null, request, new AbortController().signal), request);
    const user = status?.user;
    if (status?.authenticated !== true || !user?.username) return null;
    return { token, user: user.username, uid: user.uid ?? '', groups: user.groups ?? [], extra: user.extra ?? {} };
  }
}
