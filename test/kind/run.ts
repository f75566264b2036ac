/**
 * `make e2e`: Kubernetes as people have it, with kubelets, sidecars and pods, on a cluster that lives in containers here. Exit code 0: all of it held. KEEP=1
 * leaves the cluster; ONLY: names of scenarios; KILLS: how often a node is killed.
 */
import { onCluster } from './cluster.ts';
import { scenarios } from './scenarios.ts';

function choose(): typeof scenarios {
  const only = (process.env.ONLY ?? '').split(' ').filter((name) => name !== '');
  const chosen = scenarios.filter(({ name }) => only.length === 0 || only.includes(name));
  if (chosen.length === 0) throw new Error(`no such scenario: there are ${scenarios.map(({ name }) => name).join(', ')}`);
  return chosen;
}

async function play(chosen: typeof scenarios): Promise<number> {
  let failures = 0;
  for (const { name, run } of chosen) {
    const begunMs = performance.now();
    try {
      const figures = await run();
      process.stdout.write(`ok     ${name}: ${figures} (${((performance.now() - begunMs) / 1_000).toFixed(0)} s)\n`);
    } catch (error) {
      failures++;
      process.stdout.write(`WRONG  ${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
  process.stdout.write(`${chosen.length - failures} passed, ${failures} failed\n`);
  return failures === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const chosen = choose();
  return onCluster([], () => play(chosen));
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  return 2;
});
