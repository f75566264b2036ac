/**
 * What a long piece of work is doing, told to whoever wants to show it: a line that lives on a terminal, a line now and then elsewhere.
 * Decides nothing; nothing waits for it.
 */
import { LocalClusterError } from './errors.ts';

export type Progress = {
  /** The thing worked on: `etcd`, `agents`, … */
  step: string;
  /** What is known or happening right now: a version, names, how far a build is. */
  detail: string;
  state: 'working' | 'done' | 'failed';
  elapsedMs: number;
};

export type OnProgress = (progress: Progress) => void;

const STEP_COLUMNS = 16;
const DETAIL_COLUMNS = 62;
/** Of a terminal that does not tell its width. */
const COLUMNS_DEFAULT = 79;
/** How often a line is written of work that goes on, where there is no terminal. */
const PLAIN_INTERVAL_MS = 15_000;
/** How often a step that runs is told of again, so that its seconds count. */
const LIVE_INTERVAL_MS = 500;

/** Runs one step and tells of its beginning, its course (through the function it is given) and its end. */
export async function step<T>(
  onProgress: OnProgress,
  name: string,
  detail: string,
  work: (tell: (detail: string) => void) => Promise<T>,
): Promise<T> {
  const startMs = performance.now();
  let latest = detail;
  const report = (state: Progress['state']): void => {
    onProgress({ step: name, detail: latest, state, elapsedMs: performance.now() - startMs });
  };
  report('working');
  const timer = setInterval(() => report('working'), LIVE_INTERVAL_MS);
  try {
    const result = await work((text) => {
      latest = text;
      report('working');
    });
    report('done');
    return result;
  } catch (error) {
    report('failed');
    throw error;
  } finally {
    clearInterval(timer);
  }
}

export function formatDuration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 60) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, '0')}s`;
}

export function formatLine(progress: Progress): string {
  const failed = progress.state === 'failed' ? '  failed' : '';
  return `${progress.step.padEnd(STEP_COLUMNS)} ${progress.detail.padEnd(DETAIL_COLUMNS)} ${formatDuration(progress.elapsedMs).padStart(8)}${failed}`;
}

/** What is shown goes to `stream`: standard error for programs whose output is read by others. */
export function printer(stream: NodeJS.WriteStream): OnProgress {
  return stream.isTTY ? liveLine(stream) : plainLines(stream);
}

function liveLine(stream: NodeJS.WriteStream): OnProgress {
  return (progress) => {
    const line = formatLine(progress).slice(0, stream.columns > 0 ? stream.columns - 1 : COLUMNS_DEFAULT);
    stream.write(`\r\u001b[2K${line}${progress.state === 'working' ? '' : '\n'}`);
  };
}

function plainLines(stream: NodeJS.WriteStream): OnProgress {
  let nextMs = PLAIN_INTERVAL_MS;
  return (progress) => {
    if (progress.state !== 'working') {
      nextMs = PLAIN_INTERVAL_MS;
      stream.write(`${formatLine(progress)}\n`);
    } else if (progress.elapsedMs >= nextMs) {
      nextMs += PLAIN_INTERVAL_MS;
      stream.write(`${formatLine(progress)} so far\n`);
    }
  };
}

/** How a program of ours ends that could not do its work. */
export function printFailure(error: unknown): void {
  if (error instanceof LocalClusterError) {
    process.stderr.write(`${error.details}${error.message}\n`);
  } else {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  }
}
