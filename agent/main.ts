/**
 * The storage node program: what it is made of. Everything else is in `start.ts`, and in `edge/workerMain.ts` for its other threads. The first two imports
 * must come before anything else is loaded.
 */
import './edge/threads.ts';
import { keepCompiled } from '../edge/compileCache.ts';
import { becomeIoFlusher } from './edge/ioFlusher.ts';

const refused = becomeIoFlusher();
const { runProgram } = await import('../edge/program.ts');
const { threadWorkers } = await import('./edge/workers.ts');
const { startAgent } = await import('./start.ts');

await runProgram('holdfast-agent', 'NODE_NAME', (program) => {
  if (refused !== null)
    program.log.info('the kernel may make this agent wait for memory that a volume on this machine holds', { reason: refused });
  return startAgent(program, threadWorkers(program.fail));
});
keepCompiled();
