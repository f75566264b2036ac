/** Objects of Kubernetes as the signer keeps them: made if absent, else replaced by resourceVersion. Must never overwrite what changed since it was read. */
import { isOperatingError } from '../../core/errors.ts';
import type { KubeObject } from '../api.ts';
import type { KubeApi } from '../ports.ts';

export type SecretObject = KubeObject & { type?: string; data?: Record<string, string> };
export type ConfigMapObject = KubeObject & { data?: Record<string, string> };

export const secretsPath = (namespace: string): string => `/api/v1/namespaces/${namespace}/secrets`;
export const configMapsPath = (namespace: string): string => `/api/v1/namespaces/${namespace}/configmaps`;

/** False: somebody else was first; the next look sees what they wrote. */
export async function write<Object extends KubeObject>(api: KubeApi, collection: string, object: Object): Promise<boolean> {
  const { name, resourceVersion } = object.metadata;
  try {
    if (resourceVersion === undefined) {
      await api.create(collection, object);
      return true;
    }
    return (await api.replace(`${collection}/${name}`, object)) !== null;
  } catch (error) {
    if (isOperatingError(error, 'Conflict')) return false;
    throw error;
  }
}
