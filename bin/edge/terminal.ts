/** Standard output: colours and redrawing only where somebody looks. Must never colour what goes into a file or a pipe. */
import type { WriteStream } from 'node:tty';
import type { Terminal } from '../commands.ts';
import { type Line, painted } from '../view/text.ts';

/** Of a terminal that does not tell. */
const COLUMNS_DEFAULT = 80;
const ROWS_DEFAULT = 25;
const UP_AND_CLEAR = '\u001b[1A\u001b[2K';

/** Whoever reads may have enough (`| head`): then there is nobody left to tell anything. */
export function endWithReader(out: WriteStream, end: () => void): void {
  out.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    end();
  });
}

export function terminalOf(out: WriteStream, environment: Readonly<Record<string, string | undefined>>): Terminal {
  const isLive = out.isTTY === true;
  const hasColours = isLive && !environment.NO_COLOR && environment.TERM !== 'dumb';
  let drawn = 0;
  /** Longer lines would wrap, and more be drawn than is cleared. */
  const fitted = (one: Line): Line => ({ ...one, text: isLive ? one.text.slice(0, (out.columns || COLUMNS_DEFAULT) - 1) : one.text });
  const write = (lines: readonly Line[]): void => void out.write(lines.map((one) => `${painted(one, hasColours)}\n`).join(''));
  return {
    isLive,
    print(lines) {
      write(lines);
      drawn = 0;
    },
    redraw(lines) {
      const shown = lines.slice(0, Math.max(1, (out.rows || ROWS_DEFAULT) - 2)).map(fitted);
      out.write(UP_AND_CLEAR.repeat(drawn));
      write(shown);
      drawn = shown.length;
    },
    json: (value) => void out.write(`${JSON.stringify(value, null, 2)}\n`),
  };
}
