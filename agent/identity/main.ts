/** The identity of a node's agent: wiring in reading order, and nothing else. It alone in the agent's pod has a token of Kubernetes. */
import { systemClock } from '../../core/clock.ts';
import { runProgram } from '../../edge/program.ts';
import { sleep } from '../../edge/timers.ts';
import { IdentityCluster } from './edge/cluster.ts';
import { IdentityFiles } from './edge/files.ts';
import { IdentityKeeper } from './keeper.ts';
import { identitySettings } from './settings.ts';

await runProgram('holdfast-identity', 'NODE_NAME', async ({ environment, log, fail }) => {
  const parameters = identitySettings(environment);
  log.setLevel(parameters.logLevel);
  const cluster = new IdentityCluster(parameters);
  const files = new IdentityFiles(parameters.directory);
  const keeper = new IdentityKeeper(
    {
      log,
      sleep,
      nowMs: () => systemClock.wallMs(),
      trust: () => cluster.trust(),
      file: (request) => cluster.file(request),
      answer: (name) => cluster.answer(name),
      held: () => files.held(),
      keep: (held) => files.keep(held),
    },
    { node: parameters.nodeName, addresses: parameters.addresses, lookEveryMs: parameters.lookEveryMs },
  );
  const stopping = new AbortController();
  const running = keeper.run(stopping.signal).catch(fail);
  return {
    // The files stay: the agent beside it may outlive it.
    async stop() {
      stopping.abort();
      await running;
    },
  };
});
