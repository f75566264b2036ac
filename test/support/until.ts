/** Waiting in tests: for a condition, never for a time. */

const LOOK_EVERY_MS = 10;

/** Resolves with the first value that is neither false, null nor undefined; fails with `what` when none comes within the bound. */
export async function until<Value>(
  what: string,
  look: () => Value | Promise<Value>,
  boundMs = 20_000,
): Promise<Exclude<Value, false | null | undefined>> {
  const endMs = performance.now() + boundMs;
  for (;;) {
    const value = await look();
    if (value !== false && value !== null && value !== undefined) return value as Exclude<Value, false | null | undefined>;
    if (performance.now() > endMs) throw new Error(`not within ${boundMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
