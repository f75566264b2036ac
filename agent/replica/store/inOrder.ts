/** Steps that follow one another, written as a list, so that every step can say what a crash right after it leaves behind. */
import { IoError } from '../../ports.ts';
import { StorageError } from './storageError.ts';

export type StoreError = IoError | StorageError;
export type StepDone = (error: StoreError | null) => void;
/** Calls `next` exactly once, at once or later; or throws. */
export type Step = (next: StepDone) => void;

const isStoreError = (error: unknown): error is StoreError => error instanceof StorageError || error instanceof IoError;

/** The first error ends it: no later step runs. */
export function inOrder(steps: readonly Step[], done: StepDone): void {
  const run = (index: number): void => {
    const step = steps[index];
    if (!step) return done(null);
    let called = false;
    const next: StepDone = (error) => {
      called = true;
      if (error) done(error);
      else run(index + 1);
    };
    try {
      step(next);
    } catch (error) {
      // What a later step or `done` threw is not this step's.
      if (called || !isStoreError(error)) throw error;
      done(error);
    }
  };
  run(0);
}

/** A step that is over when it returns. */
export const now =
  (act: () => void): Step =>
  (next) => {
    act();
    next(null);
  };

/** Both run at once; over when both are, with the first error. */
export function together(one: Step, other: Step, done: StepDone): void {
  let running = 2;
  let first: StoreError | null = null;
  const ended: StepDone = (error) => {
    first ??= error;
    if (--running === 0) done(first);
  };
  one(ended);
  other(ended);
}
