/** What the demo does with a volume, whichever way the machine allows. */
import type { ChildProcess } from 'node:child_process';

const SAID_CHARACTERS = 2_000;

export type Verdict = {
  /** Acknowledged pieces of work that are not there as they were acknowledged. */
  lost: number[];
  /** What the program says of its own data: `the database is sound`. Throws rather than say that it is not. */
  soundness: string;
};

export interface Work {
  /** In a word or two: `commits`. */
  readonly unit: string;
  /** How it is done, for the reader. */
  readonly description: string;
  /** Digest of each piece of work that was acknowledged, by its number. */
  readonly acknowledged: ReadonlyMap<number, string>;
  /** What the writer said when it ended by itself; null while it works. */
  readonly trouble: string | null;
  /** Prepares a new volume: a file system, data to begin with. */
  prepare(socket: string): Promise<void>;
  /** Works until stopped, or until it cannot go on. */
  begin(socket: string): Promise<void>;
  /** Ends the work, whatever became of the volume, and lets go of the socket. */
  end(): Promise<void>;
  /** Reads everything acknowledged so far back through the socket. */
  check(socket: string): Promise<Verdict>;
}

/** What a process says on its standard error, once it has ended. */
export function troubleOf(writer: ChildProcess): () => string | null {
  let said = '';
  writer.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-SAID_CHARACTERS);
  });
  return () => (writer.exitCode === null && writer.signalCode === null ? null : said.trim() || 'it ended without a word');
}

/** Calls `line` for each whole line of a stream: a line cut short by a death acknowledges nothing. */
export function onLines(stream: NodeJS.ReadableStream, line: (text: string) => void): void {
  let rest = '';
  stream.on('data', (chunk: Buffer | string) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const each of lines) line(each);
  });
}
