/**
 * What the API server must know before operators and agents can work: the namespace, the operators' roles, the kinds of holdfast.dev.
 * Applied as a whole each time: what is there already does not change.
 */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Kubectl } from './kubectl.ts';
import { CHECKOUT } from './layout.ts';
import { waitFor } from './wait.ts';

const ESTABLISHED_BOUND_S = 30;
const STORAGE_NODES_BOUND_MS = 60_000;
const STORAGE_NODES_INTERVAL_MS = 300;

/** The definitions of our kinds. Empty while there are none in `crds/`. */
export function definitionFiles(): string[] {
  const directory = path.join(CHECKOUT, 'crds');
  return readdirSync(directory)
    .filter((file) => /\.ya?ml$/.test(file))
    .sort()
    .map((file) => path.join(directory, file));
}

/** In an order that works: a role in a namespace needs the namespace. */
export async function applyApi(kubectl: Kubectl, definitions: string[]): Promise<void> {
  const roles = path.join(CHECKOUT, 'helm/rbac.yaml');
  const files = [path.join(import.meta.dirname, 'namespace.yaml'), roles, path.join(import.meta.dirname, 'bindings.yaml'), ...definitions];
  const words = (list: string[]): string[] => list.filter((file) => existsSync(file)).flatMap((file) => ['-f', file]);
  await kubectl(['apply', '--server-side', '--force-conflicts', '--field-manager=holdfast-local', ...words(files)]);
  if (definitions.length > 0) {
    await kubectl(['wait', '--for=condition=Established', `--timeout=${ESTABLISHED_BOUND_S}s`, ...words(definitions)]);
  }
}

type StorageNodeList = {
  items: { metadata: { name: string }; status?: { conditions?: { type: string; status: string; message?: string }[] } }[];
};

/** Until the operators have made a StorageNode of every agent, and call it ready. */
export async function waitForStorageNodes(kubectl: Kubectl, names: string[]): Promise<void> {
  await waitFor(
    'Every StorageNode Ready',
    STORAGE_NODES_BOUND_MS,
    async () => {
      const { items } = JSON.parse(await kubectl(['get', 'storagenodes.holdfast.dev', '-o', 'json'])) as StorageNodeList;
      const notReady = names.map((name) => whyNotReady(items, name)).filter((reason) => reason !== undefined);
      return notReady.length === 0 ? { value: true } : { reason: notReady.join(', ') };
    },
    STORAGE_NODES_INTERVAL_MS,
  );
}

function whyNotReady(items: StorageNodeList['items'], name: string): string | undefined {
  const node = items.find((item) => item.metadata.name === name);
  if (node === undefined) {
    return `${name} does not exist`;
  }
  const ready = node.status?.conditions?.find((condition) => condition.type === 'Ready');
  return ready?.status === 'True' ? undefined : `${name} is not Ready (${ready?.message ?? 'no condition Ready'})`;
}
