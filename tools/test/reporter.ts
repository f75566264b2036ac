/**
 * Mocha's usual output for people, and the counts with what failed in a file for the program that adds them up: `--reporter-option result=<file>`.
 * Decides nothing about what passes.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import Mocha from 'mocha';

/** `failures`: a few lines for each test that failed, its file first. */
export type Counts = { passed: number; failed: number; failures: string[] };

const STACK_LINES = 6;

export default class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const failures: string[] = [];
    runner.on(Mocha.Runner.constants.EVENT_TEST_FAIL, (test: Mocha.Test, error: Error) => failures.push(told(test, error)));
    const file = (options.reporterOptions as { result?: string } | undefined)?.result;
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      if (file !== undefined) {
        const counts: Counts = { passed: this.stats.passes, failed: this.stats.failures, failures };
        writeFileSync(file, JSON.stringify(counts));
      }
    });
  }
}

function told(test: Mocha.Test, error: Error): string {
  const stack = (error.stack ?? String(error)).split('\n').slice(0, STACK_LINES).join('\n');
  return `${path.relative(process.cwd(), test.file ?? '')}: ${test.fullTitle()}\n${stack}`;
}
