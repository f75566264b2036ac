/**
 * What a primary knows of its volume's config: one object for all shards. No two of them may ever see different configs, or count by different
 * proposals, for one compare-and-set stands for the whole volume.
 */
import type { VolumeConfig } from '../../core/config.ts';

export class Knowledge {
  #known: VolumeConfig;
  /** The compare-and-set that is out, or of which nobody knows what became. At most one for the volume. */
  proposal: VolumeConfig | null = null;

  constructor(known: VolumeConfig) {
    this.#known = known;
  }

  get known(): VolumeConfig {
    return this.#known;
  }

  /** A later config stands in etcd: whatever was proposed became that, or nothing. */
  adopt(config: VolumeConfig): void {
    this.#known = config;
    this.proposal = null;
  }
}
