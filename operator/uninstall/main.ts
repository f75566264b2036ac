/**
 * What the chart's hooks run before `helm uninstall` of a Holdfast that shall leave nothing: `node operator/uninstall/main.ts stop`, then, beside the cleaner on each node, `clean`.
 * Exit codes: 0 done, 1 refused or failed, 2 configuration or command line.
 */
import { EXIT_CONFIGURATION, runCommand } from '../../edge/program.ts';
import { uninstallPorts } from './edge/cluster.ts';
import { uninstallSettings } from './settings.ts';
import { stop, waitForCleaner } from './stop.ts';

const PHASES = new Map([
  ['stop', stop],
  ['clean', waitForCleaner],
]);

await runCommand('uninstall', async (environment) => {
  const run = PHASES.get(process.argv[2] ?? '');
  if (run === undefined) {
    process.stderr.write('usage: node operator/uninstall/main.ts stop|clean\n');
    return EXIT_CONFIGURATION;
  }
  const parameters = uninstallSettings(environment);
  const ports = uninstallPorts(parameters.kubeconfig);
  try {
    await run(parameters, ports);
    return 0;
  } finally {
    await ports.close();
  }
});
