/** A Volume as its user sees it: through kubectl, and nothing else. */

import type { Volume, VolumeSpec } from '../../operator/generated/volume.ts';
import { LocalClusterError } from '../local/errors.ts';
import type { Kubectl } from '../local/kubectl.ts';
import { waitFor } from '../local/wait.ts';

export type Status = NonNullable<Volume['status']>;

export class DemoVolume {
  readonly name: string;
  readonly #kubectl: Kubectl;

  constructor(kubectl: Kubectl, name: string) {
    this.#kubectl = kubectl;
    this.name = name;
  }

  async create(size: string, replicas: number, others: Partial<VolumeSpec> = {}): Promise<void> {
    const spec = { size, replicas, ...others };
    const volume = { apiVersion: 'holdfast.dev/v1alpha1', kind: 'Volume', metadata: { name: this.name }, spec };
    await this.#kubectl(['apply', '-f', '-'], JSON.stringify(volume));
  }

  async attachTo(node: string): Promise<void> {
    await this.#kubectl(['patch', 'volume', this.name, '--type', 'merge', '--patch', JSON.stringify({ spec: { attachTo: node } })]);
  }

  async delete(): Promise<void> {
    await this.#kubectl(['delete', 'volume', this.name, '--timeout', '30s']);
  }

  async status(): Promise<Status> {
    const volume = JSON.parse(await this.#kubectl(['get', 'volume', this.name, '--output', 'json'])) as Volume;
    return volume.status ?? {};
  }

  /** Asks until the status is as wanted; what it is instead is in the error. */
  async until<T>(what: string, boundMs: number, find: (status: Status) => T | null | false): Promise<T> {
    return waitFor(`${this.name} ${what}`, boundMs, async () => {
      const status = await this.status();
      if (status.phase === 'Failed') throw new LocalClusterError(`${this.name} has failed: ${JSON.stringify(status.conditions)}`);
      const found = find(status);
      return found === null || found === false ? { reason: `its status is ${JSON.stringify(status)}` } : { value: found };
    });
  }

  async untilHealthy(replicas: number, boundMs: number): Promise<Status> {
    return this.until('Healthy', boundMs, (status) => status.phase === 'Healthy' && status.inSync === `${replicas}/${replicas}` && status);
  }

  /** The socket, once that node serves the volume. */
  async untilServedBy(node: string, boundMs: number): Promise<string> {
    return this.until(`served by ${node}`, boundMs, ({ attachment }) => attachment?.node === node && attachment.socket);
  }
}
