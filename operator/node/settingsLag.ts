/**
 * Which agents do not run the settings that stand in etcd. All values change together or not at all, so a version says everything. An agent that has just registered, or
 * just heard, is not told of: only one that has run the same other version for longer than any agent needs that hears anything at all.
 */
import type { NodeName } from '../../core/ids.ts';
import type { MachineState } from '../../core/machine.ts';

export const SETTINGS_PATIENCE_MS = 60_000;

/** 0: the defaults, since it has seen none. */
export type SettingsLag = { runs: number; wanted: number };

/** One term of leadership. */
export class SettingsLags {
  /** Nodes whose agent runs another version than the latest: which, and since when. */
  readonly #behind = new Map<NodeName, { runs: number; sinceMs: number }>();

  /** By node. `wanted` null: there are none, or they cannot be read. */
  update(wanted: number | null, machines: ReadonlyMap<NodeName, MachineState>, nowMs: number): Map<NodeName, SettingsLag> {
    const lags = new Map<NodeName, SettingsLag>();
    for (const node of this.#behind.keys()) if (!machines.has(node)) this.#behind.delete(node);
    for (const [node, { settingsVersion: runs }] of machines) {
      const known = this.#behind.get(node);
      if (wanted === null || runs === wanted) this.#behind.delete(node);
      else if (known === undefined || known.runs !== runs) this.#behind.set(node, { runs, sinceMs: nowMs });
      else if (nowMs - known.sinceMs >= SETTINGS_PATIENCE_MS) lags.set(node, { runs, wanted });
    }
    return lags;
  }
}
