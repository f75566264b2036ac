/** A program that does what its first argument says: the frame around it is what is tested. */
import { ConfigurationError } from '../../../../core/parameters.ts';
import { runProgram } from '../../../../edge/program.ts';

const [behaviour] = process.argv.slice(2);

await runProgram('holdfast-example', 'INSTANCE', async ({ log, fail }) => {
  const keepRunning = setInterval(() => undefined, 1_000);
  switch (behaviour) {
    case 'badConfiguration':
      throw new ConfigurationError([
        { key: 'REPLICA_TIMEOUT_MS', value: '50', rule: 'must be at least 4 x HEARTBEAT_MS (200)' },
        { key: 'POOLS', rule: '/var/lib/holdfast/fast does not exist' },
      ]);
    case 'failsToStart':
      throw new Error('no disk', { cause: Object.assign(new Error('gone'), { code: 'ENODEV' }) });
    case 'throwsLater':
      setImmediate(() => {
        throw new Error('an assertion');
      });
      break;
    case 'rejectsLater':
      setImmediate(() => void Promise.reject(new Error('a promise')));
      break;
    case 'fails':
      setImmediate(() => fail(new Error('displaced')));
      break;
  }
  log.setLevel('debug');
  return {
    async stop() {
      if (behaviour === 'neverStops') await new Promise(() => undefined);
      if (behaviour === 'failsToStop') throw new Error('stuck');
      clearInterval(keepRunning);
      log.debug('closed');
    },
  };
});
