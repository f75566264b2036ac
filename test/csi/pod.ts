/** What Kubernetes does with a claim's volume, call by call: one pod's life on one node. */
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Loose, VolumeCapability } from '../../edge/csi/generated/csi.ts';
import { type CsiClient, CsiRefusal } from './client.ts';

/** As sidecars and the kubelet do with what is to be asked for again. */
const AGAIN: readonly string[] = ['ABORTED', 'UNAVAILABLE', 'DEADLINE_EXCEEDED'];
const PAUSE_MS = 250;
const PATIENCE_MS = 60_000;

export async function again<Answer>(call: () => Promise<Answer>, forMs = PATIENCE_MS): Promise<Answer> {
  const endMs = performance.now() + forMs;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof CsiRefusal) || !AGAIN.includes(error.code) || performance.now() > endMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

export class Pod {
  readonly #client: CsiClient;
  readonly #node: string;
  readonly #capability: Loose<VolumeCapability>;
  readonly volumeId: string;
  readonly staging: string;
  /** Where the pod has it: a directory, or a device. */
  readonly target: string;

  constructor(client: CsiClient, node: string, volumeId: string, capability: Loose<VolumeCapability>, directory: string) {
    this.#client = client;
    this.#node = node;
    this.#capability = capability;
    this.volumeId = volumeId;
    const own = path.join(directory, node, volumeId);
    this.staging = path.join(own, 'staging');
    this.target = path.join(own, 'pod', 'mount');
    mkdirSync(this.staging, { recursive: true });
    mkdirSync(path.dirname(this.target), { recursive: true });
  }

  async start(options: { readonly?: boolean } = {}): Promise<void> {
    await this.stage(await this.attach());
    await this.publish({ readonly: options.readonly ?? false });
  }

  /** What the node is to be told of it. */
  async attach(): Promise<Record<string, string>> {
    const request = { volumeId: this.volumeId, nodeId: this.#node, volumeCapability: this.#capability, readonly: false };
    const { publishContext = {} } = await again(() => this.#client.controller.controllerPublishVolume(request));
    return publishContext;
  }

  stage(publishContext: Record<string, string> = {}): Promise<unknown> {
    const { volumeId, staging: stagingTargetPath } = this;
    return again(() =>
      this.#client.node.nodeStageVolume({ volumeId, stagingTargetPath, publishContext, volumeCapability: this.#capability }),
    );
  }

  publish({ readonly }: { readonly: boolean }): Promise<unknown> {
    const { volumeId, staging: stagingTargetPath, target: targetPath } = this;
    return this.#client.node.nodePublishVolume({ volumeId, stagingTargetPath, targetPath, volumeCapability: this.#capability, readonly });
  }

  async leave(): Promise<void> {
    const { volumeId } = this;
    await again(() => this.#client.node.nodeUnpublishVolume({ volumeId, targetPath: this.target }));
    await again(() => this.#client.node.nodeUnstageVolume({ volumeId, stagingTargetPath: this.staging }));
  }

  detach(): Promise<unknown> {
    const { volumeId } = this;
    return again(() => this.#client.controller.controllerUnpublishVolume({ volumeId, nodeId: this.#node }));
  }

  async stop(): Promise<void> {
    await this.leave();
    await this.detach();
    rmSync(path.dirname(path.dirname(this.target)), { recursive: true, force: true });
  }
}
