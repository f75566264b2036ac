/** The certificates of a cluster for tests, as Secrets: one authority, one certificate for etcd, one for the operators, one for each node's agent. Usage: secrets.ts DIRECTORY NODE... */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { TlsFiles } from '../../edge/tls.ts';
import { Authority } from '../../tools/local/certificates.ts';

const NAMESPACE = 'holdfast-system';
const [directory = '', ...nodes] = process.argv.slice(2);

const kubectl = (words: string[], input?: string): string => execFileSync('kubectl', words, { input, encoding: 'utf8' });

function secret(name: string, files: Record<string, string>): void {
  const from = Object.entries(files).map(([key, file]) => `--from-file=${key}=${file}`);
  kubectl(
    ['apply', '-f', '-'],
    kubectl(['create', 'secret', 'generic', name, `--namespace=${NAMESPACE}`, '--dry-run=client', '--output=yaml', ...from]),
  );
}

const authority = await Authority.open(path.join(directory, 'authority'), 'holdfast kind');
const issue = (name: string, subject: string, group: string, names: string[]): Promise<TlsFiles> => {
  const own = path.join(directory, name);
  mkdirSync(own, { recursive: true });
  return authority.issue(own, { commonName: subject, organizations: [`holdfast:${group}`] }, names);
};

const etcdNames = [0, 1, 2].map((member) => `etcd-${member}.etcd.${NAMESPACE}.svc`);
const etcd = await issue('etcd', 'etcd', 'etcd', ['127.0.0.1', 'localhost', 'etcd', ...etcdNames]);
secret('etcd-tls', { 'ca.crt': etcd.ca, 'tls.crt': etcd.cert, 'tls.key': etcd.key });
const operator = await issue('operator', 'operator:operator', 'operators', ['localhost']);
secret('operator-tls', { 'ca.crt': operator.ca, 'tls.crt': operator.cert, 'tls.key': operator.key });
const agents: Record<string, string> = {};
for (const node of nodes) {
  const { ca, cert, key } = await issue(node, `agent:${node}`, 'agents', [node, 'localhost']);
  Object.assign(agents, { 'ca.crt': ca, [`${node}.crt`]: cert, [`${node}.key`]: key });
}
secret('agent-tls', agents);
