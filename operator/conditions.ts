/** Conditions in the Kubernetes form. Pure. */
import type { Condition } from './api.ts';

export type Judgement = { type: string; holds: boolean | 'unknown'; reason: string; message: string };

const statusOf = (holds: Judgement['holds']): Condition['status'] => (holds === 'unknown' ? 'Unknown' : holds ? 'True' : 'False');

/** `lastTransitionTime` stays as long as the status does, whatever becomes of reason and message. */
export function conditionsOf(
  judgements: readonly Judgement[],
  before: readonly Condition[],
  wallMs: number,
  generation: number | undefined,
): Condition[] {
  return judgements.map(({ type, holds, reason, message }) => {
    const status = statusOf(holds);
    const previous = before.find((condition) => condition.type === type);
    const lastTransitionTime = previous?.status === status ? previous.lastTransitionTime : toSeconds(wallMs);
    return { type, status, reason, message, lastTransitionTime, ...(generation === undefined ? {} : { observedGeneration: generation }) };
  });
}

/** Kubernetes times have no fractions. */
export const toSeconds = (wallMs: number): string => new Date(wallMs).toISOString().replace(/\.\d+Z$/, 'Z');

export const conditionOf = (conditions: readonly Condition[] | undefined, type: string): Condition | undefined =>
  conditions?.find((condition) => condition.type === type);

export const isTrue = (conditions: readonly Condition[] | undefined, type: string): boolean =>
  conditionOf(conditions, type)?.status === 'True';
