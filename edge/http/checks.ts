/** Health and readiness: named checks, asked anew for each request; plain text for people, JSON for those who ask for it. */
import type { RequestHandler } from 'express';
import { messageOf } from '../../core/errors.ts';

export type Check = {
  name: string;
  /** Null when all is well, else a sentence that says what is not. */
  run(): string | null | Promise<string | null>;
};

export type CheckResult = { name: string; reason: string | null };

/** A check that hangs is one that fails: the kubelet waits no longer than this by default. */
const CHECK_MS_MAX = 1_000;

export async function runChecks(checks: readonly Check[]): Promise<CheckResult[]> {
  return Promise.all(checks.map(async (check) => ({ name: check.name, reason: await runCheck(check) })));
}

async function runCheck(check: Check): Promise<string | null> {
  let bound: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    bound = setTimeout(() => resolve(`gave no answer within ${CHECK_MS_MAX} ms`), CHECK_MS_MAX);
  });
  try {
    return await Promise.race([check.run(), late]);
  } catch (error) {
    return `failed: ${messageOf(error)}`;
  } finally {
    clearTimeout(bound);
  }
}

export function checkRoute(checks: readonly Check[]): RequestHandler {
  return async (_request, response) => {
    const results = await runChecks(checks);
    const failing = results.filter(({ reason }) => reason !== null);
    response.status(failing.length === 0 ? 200 : 503).set('Cache-Control', 'no-store');
    const text = failing.length === 0 ? 'ok\n' : failing.map(({ name, reason }) => `${name}: ${reason}\n`).join('');
    response.format({
      text: () => response.send(text),
      json: () =>
        response.json({ ok: failing.length === 0, checks: results.map(({ name, reason }) => ({ name, ok: reason === null, reason })) }),
    });
  };
}
