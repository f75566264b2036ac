/**
 * Starts a local cluster, says so, and then does nothing for ever: for tests that kill whoever started a cluster.
 * Usage: clusterHolder.ts DIRECTORY
 */
import { startCluster } from '../../tools/local/cluster.ts';

const directory = process.argv[2] ?? '';
await startCluster({ directory, nodes: 0, operators: 0 });
process.stdout.write('started\n');
setInterval(() => undefined, 1_000_000);
