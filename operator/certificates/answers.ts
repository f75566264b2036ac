/**
 * Agents' CertificateSigningRequests, answered. Must never sign what it does not itself judge good, whoever approved it, and never take a name from the request that
 * the judge did not grant.
 */

import { isOperatingError } from '../../core/errors.ts';
import { readRequest } from '../../edge/issuing.ts';
import type { AuthorityPorts, InOffice } from './keptAuthority.ts';
import { isApproved, isDecided, judge, type PodObject, podOf, type RequestObject, type Verdict } from './requests.ts';

export type AnswerPorts = AuthorityPorts & {
  /** Called before a node's first certificate is given out; must not reject. */
  readonly expect: (node: string) => Promise<void>;
};

const COLLECTION = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const PAGES_MAX = 100;
const PAGE_LENGTH = 500;
/** Who asked has read it by then; Kubernetes itself keeps them for an hour. */
const KEPT_MS = 600_000;

export async function answerRequests(ports: AnswerPorts, office: InOffice): Promise<void> {
  const selector = `fieldSelector=${encodeURIComponent(`spec.signerName=${ports.parameters.signerName}`)}`;
  let token = '';
  for (let page = 0; page < PAGES_MAX; page++) {
    const { items, next } = await ports.api.page<RequestObject>(COLLECTION, PAGE_LENGTH, token, selector);
    for (const request of items) {
      // The client of a listing leaves out kind and version of each.
      const whole = { ...request, apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest' };
      await answer(ports, office, whole);
    }
    token = next;
    if (token === '') return;
  }
}

async function answer(ports: AnswerPorts, office: InOffice, request: RequestObject): Promise<void> {
  const ageMs = ports.clock.wallMs() - Date.parse(request.metadata.creationTimestamp ?? '');
  const isEnded = (request.status?.certificate ?? '') !== '' || (isDecided(request) && !isApproved(request));
  try {
    if (!isEnded) await decide(ports, office, request, ageMs);
    else if (ageMs > KEPT_MS) await ports.api.remove(pathOf(request), request.metadata.uid ?? '');
  } catch (error) {
    // Another signer was first.
    if (!isOperatingError(error, 'Conflict')) throw error;
  }
}

const pathOf = ({ metadata }: RequestObject): string => `${COLLECTION}/${metadata.name}`;

async function decide(ports: AnswerPorts, office: InOffice, request: RequestObject, ageMs: number): Promise<void> {
  const { api, log, parameters } = ports;
  const verdict = await verdictOf(ports, request, ageMs);
  const fields = { request: request.metadata.name, user: request.spec.username ?? '' };
  if (verdict.kind === 'wait') return log.debug('request waits', { ...fields, reason: verdict.message });
  if (verdict.kind === 'deny') {
    if (isApproved(request)) return log.warn('request was approved by somebody, and is not signed', { ...fields, reason: verdict.message });
    await api.replace(`${pathOf(request)}/approval`, withCondition(request, 'Denied', 'NotItsOwn', verdict.message));
    return log.warn('request denied', { ...fields, reason: verdict.message });
  }
  const { node, names } = verdict;
  await ports.expect(node);
  // A crash between the two leaves an approved request without a certificate: the next look goes on here.
  const approved = isApproved(request)
    ? request
    : await api.replace(`${pathOf(request)}/approval`, withCondition(request, 'Approved', 'ItsOwn', `the API server vouches for ${node}`));
  if (approved === null) return;
  const leaf = {
    subject: { commonName: `agent:${node}`, organizations: [] },
    names: [...new Set([node, ...names])],
    lifeMs: parameters.leafSeconds * 1_000,
  };
  const certificate = await office.issuer.answer(Buffer.from(request.spec.request, 'base64').toString(), leaf);
  await api.replace(`${pathOf(request)}/status`, {
    ...approved,
    status: { ...approved.status, certificate: Buffer.from(certificate).toString('base64') },
  });
  log.info('certificate issued to an agent', { ...fields, node });
}

async function verdictOf({ api, parameters }: AnswerPorts, request: RequestObject, ageMs: number): Promise<Verdict> {
  const { namespace, agentServiceAccount } = parameters;
  const contents = await readRequest(Buffer.from(request.spec.request, 'base64').toString());
  const name = podOf(request);
  const pod = name === null ? null : await api.get<PodObject>(`/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(name)}`);
  return judge(request, contents, pod, { user: `system:serviceaccount:${namespace}:${agentServiceAccount}`, ageMs });
}

function withCondition(request: RequestObject, type: string, reason: string, message: string): RequestObject {
  const conditions = [...(request.status?.conditions ?? []), { type, status: 'True', reason, message }];
  return { ...request, status: { ...request.status, conditions } };
}
