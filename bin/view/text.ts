/** How facts become lines: durations, bytes, tables, bars. Pure. */

export type Tone = 'plain' | 'bad' | 'good' | 'faint';
/** A line, and how it feels where colours are shown. */
export type Line = { text: string; tone: Tone };

export const line = (text: string, tone: Tone = 'plain'): Line => ({ text, tone });

const CODES: Record<Exclude<Tone, 'plain'>, string> = { bad: '31', good: '32', faint: '2' };
export const painted = ({ text, tone }: Line, hasColours: boolean): string =>
  hasColours && tone !== 'plain' ? `\u001b[${CODES[tone]}m${text}\u001b[0m` : text;

const UNITS: readonly [name: string, seconds: number][] = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
];

/** The two largest units: 2m10s, 3d4h. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const at = UNITS.findIndex(([, size]) => whole >= size);
  if (at === -1) return '0s';
  const [first, second] = [UNITS[at], UNITS[at + 1]];
  if (first === undefined) return '0s';
  const rest = second === undefined ? 0 : Math.floor((whole % first[1]) / second[1]);
  return `${Math.floor(whole / first[1])}${first[0]}${rest > 0 && second !== undefined ? `${rest}${second[0]}` : ''}`;
}

/** Since a time that Kubernetes wrote; empty where there is none. */
export function since(time: string | undefined | null, nowMs: number): string {
  const ms = Date.parse(time ?? '');
  return Number.isNaN(ms) ? '' : duration((nowMs - ms) / 1_000);
}

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
/** Three digits at least: 23.1 GiB, 118 MiB. */
export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  while (value >= 1_024 && unit < SIZES.length - 1) {
    value /= 1_024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${SIZES[unit]}`;
}

const BAR_LENGTH = 20;
export function bar(done: number, total: number): string {
  const share = total === 0 ? 1 : Math.min(1, Math.max(0, done / total));
  const full = Math.floor(share * BAR_LENGTH);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR_LENGTH - full)}] ${String(Math.floor(share * 100)).padStart(3)} %`;
}

const GAP = '   ';
/** Columns as wide as they need; the last one as it is. */
export function table(rows: readonly (readonly string[])[], indent = ''): string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) => `${indent}${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(GAP)}`.trimEnd());
}

export const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;
