/** What the chart gives to each program is what that program takes: every variable known, every value good. */
import { expect } from 'chai';
import { CLEANUP_PARAMETERS, cleanupSettings } from '../../agent/cleanup/settings.ts';
import { HOLDER_PARAMETERS, holderSettings } from '../../agent/holder/settings.ts';
import { IDENTITY_PARAMETERS, identitySettings } from '../../agent/identity/settings.ts';
import { AGENT_PARAMETERS, parseAgentSettings } from '../../agent/settings.ts';
import type { ParameterTable } from '../../core/parameters.ts';
import { SIGNER_PARAMETERS, signerSettings } from '../../operator/certificates/settings.ts';
import { OPERATOR_PARAMETERS, operatorSettings } from '../../operator/settings.ts';
import { UNINSTALL_PARAMETERS, uninstallSettings } from '../../operator/uninstall/settings.ts';
import { objectsOf, type Rendered, renderSet, SETS } from './chart.ts';

type Variable = { name: string; value?: string; valueFrom?: { fieldRef: { fieldPath: string } } };
type Container = { name: string; command?: string[]; env?: Variable[]; securityContext?: Record<string, unknown> };
type Workload = Rendered & {
  spec: { template: { spec: { initContainers?: Container[]; containers: Container[]; hostNetwork?: boolean } } };
};

/** As Kubernetes fills them in. */
const FIELDS: Record<string, string> = {
  'metadata.name': 'holdfast-operator-7d9c5-x2v4b',
  'metadata.namespace': 'holdfast-system',
  'spec.nodeName': 'worker-1',
  'status.hostIP': '10.1.2.3',
  'status.podIPs': '10.1.2.3,fd00::3',
  "metadata.labels['topology.kubernetes.io/zone']": 'zone-a',
};
/** What the kubelet tells every container. */
const EVERY_POD = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };
/** Node's own, or of whoever looks at the environment before the table: of a log's lines, where they are from. */
const OTHERS = ['NODE_COMPILE_CACHE', 'NODE_NAME'];

const everyFile = { directory: () => null, file: () => null };
const PROGRAMS: Record<string, { table: ParameterTable; parse: (environment: Record<string, string>) => unknown }> = {
  'operator/main.ts': {
    table: OPERATOR_PARAMETERS,
    parse: (environment) => operatorSettings({ ...environment, ...EVERY_POD }, () => ''),
  },
  'operator/certificates/main.ts': { table: SIGNER_PARAMETERS, parse: signerSettings },
  'agent/main.ts': { table: AGENT_PARAMETERS, parse: (environment) => parseAgentSettings(environment, everyFile) },
  'agent/identity/main.ts': {
    table: IDENTITY_PARAMETERS,
    parse: (environment) => identitySettings({ ...environment, ...EVERY_POD }),
  },
  'agent/holder/main.ts': { table: HOLDER_PARAMETERS, parse: holderSettings },
};
/** Of the hooks that uninstall, where nothing is kept. */
const UNINSTALLING = {
  'operator/uninstall/main.ts': { table: UNINSTALL_PARAMETERS, parse: uninstallSettings },
  'agent/cleanup/main.ts': { table: CLEANUP_PARAMETERS, parse: cleanupSettings },
};
const ALL: typeof PROGRAMS = {
  ...PROGRAMS,
  ...UNINSTALLING,
};

const containersOf = (objects: Rendered[]): Container[] =>
  (objects.filter(({ kind }) => ['Deployment', 'DaemonSet', 'StatefulSet', 'Job'].includes(kind)) as Workload[]).flatMap(({ spec }) => [
    ...(spec.template.spec.initContainers ?? []),
    ...spec.template.spec.containers,
  ]);

function environmentOf({ env = [] }: Container): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const { name, value, valueFrom } of env) {
    const text = value ?? FIELDS[valueFrom?.fieldRef.fieldPath ?? ''];
    if (text === undefined) throw new Error(`${name}: no such field: ${valueFrom?.fieldRef.fieldPath}`);
    environment[name] = text.replaceAll(/\$\((\w+)\)/g, (_, other: string) => environment[other] ?? '');
  }
  return environment;
}

describe('the programs of the chart', function () {
  this.timeout(60_000);

  for (const set of SETS) {
    it(`take what values/${set.name}.yaml makes of their environment`, async () => {
      const found = containersOf(objectsOf(await renderSet(set))).filter(({ command }) => command?.[0] === 'node');
      const programs = found.map(({ command }) => command?.[1] ?? '');
      const wanted = set.name === 'given' ? ['operator/main.ts', 'agent/main.ts', 'agent/holder/main.ts'] : Object.keys(PROGRAMS);
      const removing = set.name === 'small' ? Object.keys(UNINSTALLING) : [];
      expect([...new Set(programs)].sort()).to.deep.equal([...wanted, ...removing].sort());
      for (const container of found) {
        const program = ALL[container.command?.[1] ?? ''];
        const environment = environmentOf(container);
        const known = [...Object.values(program?.table ?? {}).map(({ key }) => key), ...OTHERS];
        expect(
          Object.keys(environment).filter((name) => !known.includes(name)),
          container.name,
        ).to.deep.equal([]);
        expect(() => program?.parse(environment), container.name).not.to.throw();
      }
    });

    it(`have no more rights than they need with values/${set.name}.yaml`, async () => {
      for (const { name, securityContext } of containersOf(objectsOf(await renderSet(set)))) {
        if (name === 'agent' || name === 'holder') expect(securityContext, name).to.deep.equal({ privileged: true });
        else if (name === 'cleaner')
          expect(securityContext, name).to.deep.include({ capabilities: { drop: ['ALL'], add: ['DAC_OVERRIDE'] } });
        else
          expect(securityContext, name).to.deep.include({
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          });
      }
    });
  }

  it('are looked at by their probes with what is in their images: HTTP, or Node', async () => {
    for (const set of SETS) {
      const commands = [...(await renderSet(set)).matchAll(/exec: \{ command: \[([^,\]]*)/g)].map(([, program]) => program);
      expect([...new Set(commands)], set.name).to.deep.equal(set.name === 'given' ? [] : ['node']);
    }
  });

  it("give no token to an agent or a holder, and the authority's Secret to the signer alone", async () => {
    for (const set of SETS) {
      const objects = objectsOf(await renderSet(set));
      const text = (kind: string, component: string) =>
        JSON.stringify(
          objects.find((one) => one.kind === kind && one.metadata.labels?.['app.kubernetes.io/component'] === component) ?? null,
        );
      expect(text('DaemonSet', 'agent')).to.include('"automountServiceAccountToken":false');
      expect(text('DaemonSet', 'holder')).to.include('"automountServiceAccountToken":false').and.not.include('serviceAccountToken"');
      const mounts = objects.filter(
        (one) => /"secretName":"[a-z]+-ca"/.test(JSON.stringify(one)) && one.kind !== 'Certificate' && one.kind !== 'Issuer',
      );
      expect(mounts).to.deep.equal([]);
      const readers = objects.filter((one) => /Role$/.test(one.kind) && /"secrets"/.test(JSON.stringify(one)));
      // What uninstalls may take Secrets away, and read none.
      const expected = { given: [], small: ['signer', 'uninstall'] }[set.name] ?? ['signer'];
      expect(readers.map(({ metadata }) => metadata.name.replace(/^(holdfast|blocks)-/, ''))).to.deep.equal(expected);
    }
  });
});
