/** The holder: wiring in reading order, and nothing else. */
import { runProgram } from '../../edge/program.ts';
import { chooseBackend } from './choose.ts';
import { Devices } from './devices.ts';
import { FuseBackend } from './edge/fuse.ts';
import { KernelNbdBackend } from './edge/kernelNbd.ts';
import { FileRecords } from './edge/records.ts';
import { startHolderServer } from './edge/server.ts';
import { holderSettings } from './settings.ts';

await runProgram('holdfast-holder', 'NODE_NAME', async ({ environment, log }) => {
  const parameters = holderSettings(environment);
  log.setLevel(parameters.logLevel);
  const backends = [new KernelNbdBackend(parameters, log), new FuseBackend()];
  const { preferred, others } = await chooseBackend(parameters.way, backends, log);
  const devices = new Devices(preferred, others, new FileRecords(parameters.directory, log), log);
  await devices.open();
  const server = await startHolderServer(parameters.socket, devices, log);
  return {
    // What is attached goes on: it is in processes of its own, or in the kernel.
    stop: async () => {
      await server.close();
      for (const backend of backends) await backend.close();
    },
  };
});
