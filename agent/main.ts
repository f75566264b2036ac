/** The storage node program: what it is made of. Everything else is in `start.ts`, and in `edge/workerMain.ts` for its other threads. */
import './edge/threads.ts';

import { runProgram } from '../edge/program.ts';
import { threadWorkers } from './edge/workers.ts';
import { startAgent } from './start.ts';

await runProgram('holdfast-agent', process.env.NODE_NAME ?? '', (program) => startAgent(program, threadWorkers(program.fail)));
