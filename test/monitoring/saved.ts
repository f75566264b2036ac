/** What `make test-monitoring SAVE=...` keeps, for pictures: each panel as it is shipped, with what was answered. */
import type { ShippedPanel } from './panels.ts';
import type { Sample } from './prometheus.ts';

export const PICTURE_STEP_SECONDS = 2;
export type SavedPanel = Omit<ShippedPanel, 'targets'> & { answers: { legend: string; samples: Sample[] }[] };
export type Saved = { title: string; description: string; file: string; sinceMs: number; untilMs: number; panels: SavedPanel[] }[];
