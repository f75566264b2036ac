/**
 * Mocha's usual output for people, and the counts in a file for the program that adds them up: `--reporter-option result=<file>`.
 * Decides nothing about what passes.
 */
import { writeFileSync } from 'node:fs';
import Mocha from 'mocha';

export type Counts = { passed: number; failed: number };

export default class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const file = (options.reporterOptions as { result?: string } | undefined)?.result;
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      if (file !== undefined) {
        const counts: Counts = { passed: this.stats.passes, failed: this.stats.failures };
        writeFileSync(file, JSON.stringify(counts));
      }
    });
  }
}
