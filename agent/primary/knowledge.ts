/**
 * What a primary knows of its volume's config: one object for all shards. No two of them may ever see different configs, or count by different
 * proposals, for one compare-and-set stands for the whole volume.
 */
import type { VolumeConfig } from '../../core/config.ts';

export class Knowledge {
  #known: VolumeConfig;
  #sizeBytes: number;
  /** The compare-and-set that is out, or of which nobody knows what became. At most one for the volume. */
  proposal: VolumeConfig | null = null;
  /** Whoever counts must have granted a lease. False where clocks may be stopped: there everybody is asked before each reply instead. */
  needsLeases = true;

  constructor(known: VolumeConfig) {
    this.#known = known;
    this.#sizeBytes = known.sizeBytes;
  }

  get known(): VolumeConfig {
    return this.#known;
  }

  /** How large the volume shall be: the most that any config has named, for none may name less than one before. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** A later config stands in etcd: whatever was proposed became that, or nothing. */
  adopt(config: VolumeConfig): void {
    this.#known = config;
    this.#sizeBytes = Math.max(this.#sizeBytes, config.sizeBytes);
    this.proposal = null;
  }
}
