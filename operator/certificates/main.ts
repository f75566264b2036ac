/** The signer: wiring in reading order, and nothing else. */
import { systemClock } from '../../core/clock.ts';
import { KubeConnection } from '../../edge/kube/connection.ts';
import { runProgram } from '../../edge/program.ts';
import { collectionPath, type StorageNodeObject } from '../api.ts';
import { HttpKubeApi } from '../edge/kubeApi.ts';
import { systemTimers } from '../edge/timers.ts';
import { KeptAccounts, SIGNER_USER } from './edge/accounts.ts';
import { KeptAuthority } from './keptAuthority.ts';
import type { PodObject } from './requests.ts';
import { signerSettings } from './settings.ts';
import { Signer } from './signer.ts';

await runProgram('holdfast-signer', 'NAME', async ({ environment, log, fail }) => {
  const parameters = signerSettings(environment);
  log.setLevel(parameters.logLevel);
  const connection = new KubeConnection(parameters.kubeconfig);
  const api = new HttpKubeApi(connection);
  const ports = { api, clock: systemClock, timers: systemTimers, log, parameters };

  const authority = new KeptAuthority(ports);
  const material = async () => {
    const office = await authority.look();
    if (office === null) return null;
    const subject = { commonName: SIGNER_USER, organizations: [] };
    const { certificate, key } = await office.issuer.issue({ subject, names: [], lifeMs: parameters.leafSeconds * 1_000 });
    return { ca: Buffer.from(office.trust), cert: Buffer.from(certificate), key: Buffer.from(key) };
  };
  const accounts = parameters.etcdAccounts === 'on' ? new KeptAccounts(parameters, log, material) : null;
  // Whoever runs an agent, and whoever is known: the account of a node goes with its StorageNode, and not while an agent of it is there.
  const nodes = async () => {
    const known = await api.list<StorageNodeObject>(collectionPath('storagenodes'));
    const pods = await api.list<PodObject & { spec?: { serviceAccountName?: string } }>(`/api/v1/namespaces/${parameters.namespace}/pods`);
    const agents = pods.items.filter(({ spec }) => spec?.serviceAccountName === parameters.agentServiceAccount);
    return [
      ...new Set([...known.items.map(({ metadata }) => metadata.name), ...agents.flatMap(({ spec }) => spec?.nodeName ?? [])]),
    ].sort();
  };
  const expect = async (node: string) => accounts?.expect(node);

  const signer = new Signer({ ...ports, authority, accounts, nodes, expect });
  const stopping = new AbortController();
  const running = signer.run(stopping.signal).catch(fail);
  return {
    async stop() {
      stopping.abort();
      await running;
      accounts?.close();
      await connection.close();
    },
  };
});
