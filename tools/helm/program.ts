/** Prints where Helm lies, built first where that was never done: for scripts. Must print nothing else on standard output. */
import { findHelm } from '../local/programs.ts';
import { printer } from '../local/progress.ts';

process.stdout.write(`${await findHelm(printer(process.stderr))}\n`);
