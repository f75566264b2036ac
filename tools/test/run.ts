/**
 * `make test`: all that must hold, in one run: says first what it needs, runs every part even when one fails, and ends with what
 * failed and the line `N passed, N failed` over all of them: where only the end of the output is kept, it is enough. Fails if anything did.
 */
import { formatDuration } from '../local/progress.ts';
import { installPackages, missingPackages } from './packages.ts';
import type { Counts } from './reporter.ts';
import { runStage, STAGES } from './stages.ts';

const EXIT_FAILED = 1;
const EXIT_INTERRUPTED = 130;

function providePackages(): void {
  const missing = missingPackages();
  process.stdout.write(
    missing.length === 0 ? 'All Debian packages that the tests need are here.\n' : `Missing packages: ${missing.join(' ')}\n`,
  );
  const problem = installPackages(missing);
  if (problem !== undefined) {
    process.stderr.write(`${problem}\n`);
    process.exit(EXIT_FAILED);
  }
}

async function runAll(): Promise<Counts> {
  const total: Counts = { passed: 0, failed: 0, failures: [] };
  const lines: string[] = [];
  for (const stage of STAGES) {
    process.stdout.write(`\n== ${stage.name}: ${stage.command.join(' ')}\n`);
    const startMs = performance.now();
    const counts = await runStage(stage);
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.failures.push(...counts.failures);
    lines.push(
      `${stage.name.padEnd(20)} ${counts.passed} passed, ${counts.failed} failed in ${formatDuration(performance.now() - startMs)}`,
    );
  }
  process.stdout.write(`\n${lines.join('\n')}\n`);
  return total;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(EXIT_INTERRUPTED)); // what runs ends with us
}
providePackages();
const { passed, failed, failures } = await runAll();
process.stdout.write(failures.map((failure) => `\nFailed: ${failure}\n`).join(''));
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 ? EXIT_FAILED : 0;
