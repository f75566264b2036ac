/**
 * What every program does around its own work: start or say why not, stop when asked, end when something impossible happened. The only place
 * that ends a process. Must never go on after a fault that nobody understood: what is in memory may be wrong, what is on disk is not yet.
 */
import { messageOf } from '../core/errors.ts';
import { ConfigurationError, describeProblems, type Environment } from '../core/parameters.ts';
import { createLog, type ProgramLog } from './log.ts';

export type Program = {
  /** holdfast-agent. */
  readonly name: string;
  readonly environment: Environment;
  /** At level info until `setLevel`. */
  readonly log: ProgramLog;
  /** A fault that the program cannot go on with: written to the log, then exit with 1. */
  fail(error: unknown): never;
  /**
   * A thread of this process is stuck in the kernel, and an exit would wait for it: while that is so (null: no longer), however the program ends, it kills
   * itself instead. The log says so, and with which code it would have ended.
   */
  setStuck(reason: string | null): void;
};

export type Running = {
  /** Called once, at SIGTERM or SIGINT. The program ends when it is done, or after a bound. */
  stop(): Promise<void>;
};

export const EXIT_STOPPED = 0;
export const EXIT_FAULT = 1;
export const EXIT_CONFIGURATION = 2;
/** Shorter than the 30 s that Kubernetes gives a pod. */
const STOP_MS_MAX = 20_000;

/**
 * `instanceKey`: the variable that says which one of its kind, for the log: NODE_NAME. `start` throws ConfigurationError for a bad configuration: all problems are printed,
 * exit with 2. A signal while it still starts ends the process at once: nothing is served yet.
 */
export async function runProgram(name: string, instanceKey: string, start: (program: Program) => Promise<Running>): Promise<void> {
  const { env: environment } = process;
  const log = createLog(name, environment[instanceKey] ?? '', 'info');
  let stuck: string | null = null;
  const end: End = (code) => {
    if (stuck === null) process.exit(code);
    log.writeLast('program kills itself: a thread of it is stuck in the kernel', { code, reason: stuck });
    process.kill(process.pid, 'SIGKILL');
    throw new Error('unreachable: the process was killed');
  };
  const fail = (error: unknown): never => {
    log.writeLast('program failed', { error });
    return end(EXIT_FAULT);
  };
  const setStuck = (reason: string | null) => {
    stuck = reason;
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  // Who read the log went away: no reason to stop serving.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  try {
    const running = await start({ name, environment, log, fail, setStuck });
    stopOnSignal(running, log, end);
    log.info('program started', { pid: process.pid });
  } catch (error) {
    if (!(error instanceof ConfigurationError)) return fail(error);
    process.stderr.write(`${describeProblems(name, error.problems)}\n`, () => end(EXIT_CONFIGURATION));
  }
}

/**
 * A command: it ends by itself, with the code that `run` answers. Why it could not is said in one line, with 1; a bad configuration or command line, with 2.
 */
export async function runCommand(name: string, run: (environment: Environment) => Promise<number>): Promise<void> {
  try {
    process.exitCode = await run(process.env);
  } catch (error) {
    const isConfiguration = error instanceof ConfigurationError;
    const text = isConfiguration ? describeProblems(`holdfast-${name}`, error.problems) : `${name}: ${messageOf(error)}`;
    process.stderr.write(`${text}\n`);
    process.exitCode = isConfiguration || isUsage(error) ? EXIT_CONFIGURATION : EXIT_FAULT;
  }
}

/** Of `parseArgs`. */
const isUsage = (error: unknown): boolean => (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') ?? false;

type End = (code: number) => never;

function stopOnSignal(running: Running, log: ProgramLog, end: End): void {
  let isStopping = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (isStopping) {
      log.writeLast('program stopped at once: asked a second time', { signal });
      end(EXIT_FAULT);
    }
    isStopping = true;
    void stop(running, signal, log, end);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

async function stop(running: Running, signal: NodeJS.Signals, log: ProgramLog, end: End): Promise<void> {
  log.info('program stops', { signal });
  const bound = setTimeout(() => {
    log.writeLast(`program did not stop within ${STOP_MS_MAX} ms`);
    end(EXIT_FAULT);
  }, STOP_MS_MAX);
  try {
    await running.stop();
  } catch (error) {
    log.writeLast('program failed to stop', { error, reason: messageOf(error) });
    end(EXIT_FAULT);
  }
  clearTimeout(bound);
  log.info('program stopped');
  end(EXIT_STOPPED);
}
