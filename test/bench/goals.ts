/** What Holdfast is to reach, each as a ratio within one run. Pure: medians in, sentences for the table out. */
import { WORKS } from './works.ts';

export type SystemName = 'single' | 'quorum' | 'gluster' | 'holdfast' | 'holdfast-tls';

export type Goal = { readonly work: string; readonly system: SystemName; readonly against: SystemName; readonly factor: number };

const against = (against: SystemName, works: Record<string, number>): Goal[] =>
  Object.entries(works).map(([work, factor]) => ({ work, system: 'holdfast', against, factor }));

const GLUSTER_FACTOR = 3;
const TLS_FACTOR = 0.6;

export const GOALS: readonly Goal[] = [
  ...against('quorum', { 'randwrite-qd16': 1.5, 'randwrite-qd1': 1, 'fsync-qd1': 1, 'randwrite-qd64': 1.8, 'write-1m': 1.2 }),
  ...against('single', { 'randread-qd16': 0.9, 'read-1m': 0.9 }),
  ...WORKS.map(({ name }): Goal => ({ work: name, system: 'holdfast-tls', against: 'holdfast', factor: TLS_FACTOR })),
  ...against('gluster', Object.fromEntries(WORKS.map(({ name }) => [name, GLUSTER_FACTOR]))),
];

export type Medians = (work: string, system: SystemName) => number | null;
export type Judged = Goal & { readonly ratio: number | null; readonly isMet: boolean | null };

/** Null: one of the two was not measured. */
export function judge(goals: readonly Goal[], medians: Medians): Judged[] {
  return goals.map((goal) => {
    const mine = medians(goal.work, goal.system);
    const other = medians(goal.work, goal.against);
    const ratio = mine === null || other === null || other === 0 ? null : mine / other;
    return { ...goal, ratio, isMet: ratio === null ? null : ratio >= goal.factor };
  });
}
