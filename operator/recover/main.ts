/**
 * The command that rebuilds a lost store, with the operator's environment: `node operator/recover/main.ts [--yes] [--amend] [--without NODE]...
 * [--accept-loss VOLUME]... [--output text|json]`. People run it as `kubectl holdfast recover`. Wiring in reading order. Without --yes nothing is written; what is written
 * are configs (with their pointers) and snapshots' records that are not there, each in a transaction that compares what the plan was made of. A crash in between
 * leaves some of them, and the command is run again, with --amend.
 *
 * Exit codes: 0 all is rebuilt or sound, 1 something is refused or missing (or, without --yes, would be written), 2 configuration or command line.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { snapshotUid } from '../../core/ids.ts';
import { type Keys, keysOf } from '../../core/keys.ts';
import { silentLog } from '../../core/log.ts';
import type { Environment } from '../../core/parameters.ts';
import { schemaProblem } from '../../core/schema.ts';
import type { Store } from '../../core/store.ts';
import { connectStore } from '../../edge/etcd/connect.ts';
import { KubeConnection } from '../../edge/kube/connection.ts';
import { runCommand } from '../../edge/program.ts';
import { loadCertificates } from '../../edge/tls.ts';
import { HttpKubeApi } from '../edge/kubeApi.ts';
import { operatorSettings } from '../settings.ts';
import { configPart } from '../volume/decision.ts';
import { gatherEvidence } from './gather.ts';
import { describePlan, isIncomplete, isNothingToDo, mayBeWritten, type Plan, planRecovery, planReport } from './plan.ts';

const ETCD_LEASE_SECONDS = 10;

/** What could not be written, in words. */
async function apply(plan: Plan, store: Store, keys: Keys): Promise<string[]> {
  const problems: string[] = [];
  for (const { verdict, stored, name } of plan.volumes) {
    if (verdict.kind !== 'rebuilt') continue;
    const { conditions, changes } = configPart(keys, stored, verdict.config);
    const { committed } = await store.commit(conditions, changes);
    if (!committed) problems.push(`${name}: somebody else wrote its config meanwhile; run this again`);
  }
  for (const { verdict, object } of plan.snapshots) {
    if (verdict.kind !== 'rebuilt') continue;
    const key = keys.snapshot(verdict.volume, snapshotUid(object.metadata.uid));
    await store.commit([{ key, is: 'absent' }], [{ put: key, value: JSON.stringify(verdict.record) }]);
  }
  return problems;
}

const argumentsOf = () =>
  parseArgs({
    options: {
      yes: { type: 'boolean', default: false },
      amend: { type: 'boolean', default: false },
      without: { type: 'string', multiple: true, default: [] },
      'accept-loss': { type: 'string', multiple: true, default: [] },
      output: { type: 'string', default: 'text' },
    },
  }).values;

function print(plan: Plan, isWritten: boolean, problems: readonly string[], isJson: boolean): void {
  if (isJson) return void process.stdout.write(`${JSON.stringify({ written: isWritten, problems, ...planReport(plan) }, null, 2)}\n`);
  const title = isWritten ? 'recover: this is written' : 'recover: nothing is written, this would be';
  const lines = [`${title}:`, ...describePlan(plan), ...problems.map((problem) => `  ${problem}`)];
  process.stdout.write(`${lines.join('\n')}\n`);
}

async function recover(environment: Environment): Promise<number> {
  const values = argumentsOf();
  const { parameters } = operatorSettings(environment, (path) => readFileSync(path, 'utf8'));
  const certificates = await loadCertificates({ ca: parameters.tlsCa, cert: parameters.tlsCert, key: parameters.tlsKey }, silentLog);
  const connection = connectStore({ endpoints: parameters.etcdEndpoints, certificates, leaseTtlSeconds: ETCD_LEASE_SECONDS }, silentLog);
  const kube = new KubeConnection(parameters.kubeconfig);
  const keys = keysOf(parameters.cluster);
  try {
    const refusal = schemaProblem((await connection.store.get(keys.schema))?.value ?? null);
    if (refusal !== null) throw new Error(refusal);
    const evidence = await gatherEvidence(connection.store, keys, new HttpKubeApi(kube), certificates);
    const choices = { without: new Set(values.without), acceptLoss: new Set(values['accept-loss']), amends: values.amend };
    const plan = planRecovery(evidence, choices);
    const isWritten = values.yes && mayBeWritten(plan);
    const problems = isWritten ? await apply(plan, connection.store, keys) : [];
    print(plan, isWritten, problems, values.output === 'json');
    if (!isWritten) return isNothingToDo(plan) ? 0 : 1;
    return problems.length > 0 || isIncomplete(plan) ? 1 : 0;
  } finally {
    await kube.close();
    await connection.close();
    certificates.close();
  }
}

await runCommand('recover', recover);
