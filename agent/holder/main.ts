/** The holder: wiring in reading order, and nothing else. */
import { ConfigurationError } from '../../core/parameters.ts';
import { runProgram } from '../../edge/program.ts';
import { Devices } from './devices.ts';
import { FuseBackend } from './edge/fuse.ts';
import { FileRecords } from './edge/records.ts';
import { startHolderServer } from './edge/server.ts';
import { holderSettings } from './settings.ts';

await runProgram('holdfast-holder', process.env.NODE_NAME ?? '', async ({ environment, log }) => {
  const parameters = holderSettings(environment);
  log.setLevel(parameters.logLevel);
  const backend = new FuseBackend();
  const unfit = backend.unfit();
  if (unfit !== null)
    throw new ConfigurationError([{ key: 'ATTACH_WAY', value: parameters.way, rule: `cannot be had on this machine: ${unfit}` }]);
  const devices = new Devices(backend, new FileRecords(parameters.directory, log), log);
  await devices.open();
  const server = await startHolderServer(parameters.socket, devices, log);
  // What is attached goes on: it is in processes of its own.
  return { stop: () => server.close() };
});
