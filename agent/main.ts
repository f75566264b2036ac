/** The storage node program: what it is made of. Everything else is in `start.ts`. */
import './edge/threads.ts';

import { runProgram } from '../edge/program.ts';
import { Primary } from './primary/primary.ts';
import { Replica } from './replica/replica.ts';
import { startAgent } from './start.ts';

await runProgram('holdfast-agent', process.env.NODE_NAME ?? '', (program) =>
  startAgent(program, {
    makeReplica: (options) => new Replica(options),
    makePrimary: (options) => new Primary(options),
  }),
);
