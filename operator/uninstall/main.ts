/**
 * What the chart's hooks run before `helm uninstall` of a Holdfast that shall leave nothing: `node operator/uninstall/main.ts stop`, then, beside the cleaner on each node, `clean`.
 * Exit codes: 0 done, 1 refused or failed, 2 configuration or command line.
 */
import { messageOf } from '../../core/errors.ts';
import { ConfigurationError, describeProblems } from '../../core/parameters.ts';
import { uninstallPorts } from './edge/cluster.ts';
import { uninstallSettings } from './settings.ts';
import { stop, waitForCleaner } from './stop.ts';

const EXIT_CONFIGURATION = 2;
const PHASES = { stop, clean: waitForCleaner };

async function uninstall(phase: string): Promise<number> {
  const run = phase === 'stop' || phase === 'clean' ? PHASES[phase] : null;
  if (run === null) {
    process.stderr.write('usage: node operator/uninstall/main.ts stop|clean\n');
    return EXIT_CONFIGURATION;
  }
  const parameters = uninstallSettings(process.env);
  const ports = uninstallPorts(parameters.kubeconfig);
  try {
    await run(parameters, ports);
    return 0;
  } finally {
    await ports.close();
  }
}

try {
  process.exitCode = await uninstall(process.argv[2] ?? '');
} catch (error) {
  const isConfiguration = error instanceof ConfigurationError;
  process.stderr.write(`${isConfiguration ? describeProblems('holdfast-uninstall', error.problems) : `uninstall: ${messageOf(error)}`}\n`);
  process.exitCode = isConfiguration ? EXIT_CONFIGURATION : 1;
}
