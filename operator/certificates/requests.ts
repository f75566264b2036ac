/**
 * CertificateSigningRequests of agents, judged: pure. Must never grant a name that the API server did not vouch for: the node of the token that asks, and the
 * addresses of the pod that it is bound to.
 */
import type { RequestContents } from '../../edge/issuing.ts';
import type { KubeObject } from '../api.ts';

export type RequestObject = KubeObject & {
  spec: {
    request: string;
    signerName: string;
    username?: string;
    extra?: Record<string, string[]>;
    usages?: string[];
  };
  status?: { certificate?: string; conditions?: { type: string; status: string; reason?: string; message?: string }[] };
};

export type PodObject = KubeObject & {
  spec?: { nodeName?: string };
  status?: { podIPs?: { ip: string }[]; hostIPs?: { ip: string }[] };
};

/** `wait`: what is asked for may still become true. */
export type Verdict =
  | { readonly kind: 'grant'; readonly node: string; readonly names: readonly string[] }
  | { readonly kind: 'deny'; readonly message: string }
  | { readonly kind: 'wait'; readonly message: string };

/** By the API server, of a token that is bound to a pod. */
const NODE_CLAIM = 'authentication.kubernetes.io/node-name';
const POD_CLAIM = 'authentication.kubernetes.io/pod-name';
const USAGES: ReadonlySet<string> = new Set(['digital signature', 'server auth', 'client auth']);
/** A pod's addresses stand in its status a moment after it has started. */
const PATIENCE_MS = 60_000;
const NAMES_MAX = 16;

const claim = ({ spec }: RequestObject, key: string): string | null => {
  const values = spec.extra?.[key] ?? [];
  return values.length === 1 ? (values[0] ?? null) : null;
};

export const nodeOf = (request: RequestObject): string | null => claim(request, NODE_CLAIM);
export const podOf = (request: RequestObject): string | null => claim(request, POD_CLAIM);

export const isDecided = ({ status }: RequestObject): boolean =>
  (status?.conditions ?? []).some(
    ({ type, status: is }) => (type === 'Approved' || type === 'Denied' || type === 'Failed') && is === 'True',
  );
export const isApproved = ({ status }: RequestObject): boolean =>
  (status?.conditions ?? []).some(({ type, status: is }) => type === 'Approved' && is === 'True');

const deny = (message: string): Verdict => ({ kind: 'deny', message });

/** `contents`: what the request says, null: nothing that can be read. `pod`: the one that asks, null: it is not there. */
export function judge(
  request: RequestObject,
  contents: RequestContents | null,
  pod: PodObject | null,
  given: { user: string; ageMs: number },
): Verdict {
  const { spec } = request;
  const node = nodeOf(request);
  if (spec.username !== given.user) return deny(`${spec.username ?? 'nobody'} asks; only ${given.user} may have an agent's certificate`);
  if (node === null) return deny('the token that asks is not bound to a pod on a node, so nobody vouches for the node');
  if (contents === null) return deny('the request cannot be read, or is not signed by its own key');
  if (contents.commonName !== `agent:${node}`)
    return deny(
      `${contents.commonName ?? 'no single common name'} is asked for by an agent of node ${node}, which may be agent:${node} only`,
    );
  if (contents.others.length > 0) return deny(`${contents.others.join(', ').slice(0, 200)} may not stand in an agent's certificate`);
  const strange = (spec.usages ?? []).filter((usage) => !USAGES.has(usage));
  if (strange.length > 0) return deny(`an agent's certificate is not good for ${strange.join(', ').slice(0, 200)}`);
  return judgeNames(node, contents.names, pod, given.ageMs);
}

function judgeNames(node: string, names: readonly string[], pod: PodObject | null, ageMs: number): Verdict {
  if (names.length > NAMES_MAX) return deny(`more than ${NAMES_MAX} names`);
  if (pod !== null && pod.spec?.nodeName !== node)
    return deny(`the pod that asks is on ${pod.spec?.nodeName ?? 'no node'}, not on ${node}`);
  const own = new Set([node, ...[...(pod?.status?.podIPs ?? []), ...(pod?.status?.hostIPs ?? [])].map(({ ip }) => ip)]);
  const strange = names.filter((name) => !own.has(name));
  if (strange.length === 0) return { kind: 'grant', node, names };
  const message = `${strange.join(', ').slice(0, 200)} is neither ${node} nor an address of the pod that asks`;
  return ageMs < PATIENCE_MS ? { kind: 'wait', message } : deny(message);
}
