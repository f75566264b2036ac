/** Kubernetes quantities as bytes, and bytes as people compare them. Pure and exact: no floating point decides a size. */

const FACTORS: Record<string, bigint> = {
  Ki: 2n ** 10n,
  Mi: 2n ** 20n,
  Gi: 2n ** 30n,
  Ti: 2n ** 40n,
  Pi: 2n ** 50n,
  Ei: 2n ** 60n,
  k: 10n ** 3n,
  M: 10n ** 6n,
  G: 10n ** 9n,
  T: 10n ** 12n,
  P: 10n ** 15n,
  E: 10n ** 18n,
};
/** Parts of one: `1500m` bytes are 2. */
const DIVISORS: Record<string, bigint> = { n: 10n ** 9n, u: 10n ** 6n, m: 10n ** 3n };
/** The API server refuses longer ones. */
const QUANTITY_LENGTH_MAX = 32;
const EXPONENT_MAX = 18;
const QUANTITY = /^\+?(\d*)\.?(\d*)(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?\d{1,2}))?$/;

const ceilDivide = (dividend: bigint, divisor: bigint): bigint => (dividend + divisor - 1n) / divisor;

function scaleOf(suffix: string | undefined, exponent: string | undefined): [factor: bigint, divisor: bigint] | null {
  if (suffix !== undefined) return [FACTORS[suffix] ?? 1n, DIVISORS[suffix] ?? 1n];
  const power = Number(exponent ?? 0);
  if (Math.abs(power) > EXPONENT_MAX) return null;
  return power >= 0 ? [10n ** BigInt(power), 1n] : [1n, 10n ** BigInt(-power)];
}

/** Whole bytes, rounded up; null when it is no quantity, is negative, or is more than a number can hold exactly. */
export function parseQuantity(quantity: string | number): number | null {
  const text = String(quantity);
  const [matched, whole = '', fraction = '', suffix, exponent] = QUANTITY.exec(text) ?? [];
  if (matched === undefined || text.length > QUANTITY_LENGTH_MAX || whole + fraction === '') return null;
  const scale = scaleOf(suffix, exponent);
  if (scale === null) return null;
  const [factor, divisor] = scale;
  const bytes = ceilDivide(BigInt(whole + fraction) * factor, divisor * 10n ** BigInt(fraction.length));
  return bytes <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(bytes) : null;
}

const UNITS = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'] as const;

function format(bytes: number, round: (tenths: number) => number): string {
  let unit = 0;
  while (unit < UNITS.length - 1 && bytes >= 1024 ** (unit + 1)) unit++;
  const tenths = round((bytes / 1024 ** unit) * 10);
  // 1023.96Ki rounds up to 1024Ki, which people write as 1Mi.
  if (tenths >= 10_240 && unit < UNITS.length - 1) return format(1024 ** (unit + 1), round);
  return `${tenths / 10}${UNITS[unit]}`;
}

/** Never more than there is: for what is free. `1.9Ti`. */
export const formatFree = (bytes: number): string => format(bytes, Math.floor);
/** Never less than asked: for what is needed. So what is free and too little never reads like what is needed. */
export const formatNeeded = (bytes: number): string => format(bytes, Math.ceil);
/** Exactly as many, in the largest unit that has no fraction: for sizes that people compare with what they asked. */
export function formatExact(bytes: number): string {
  let unit = 0;
  while (unit < UNITS.length - 1 && bytes > 0 && bytes % 1024 ** (unit + 1) === 0) unit++;
  return `${bytes / 1024 ** unit}${UNITS[unit]}`;
}
export const formatBytes = (bytes: number): string => format(bytes, Math.round);
