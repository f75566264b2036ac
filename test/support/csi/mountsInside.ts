/** The other side of mountNamespace.ts: does what its parent asks with the machine's mounts, one line of JSON a question and an answer, until its parent goes. */
import { createInterface } from 'node:readline';
import { MachineMounts } from '../../../agent/csi/edge/mounts.ts';
import type { Mounts } from '../../../agent/csi/ports.ts';
import { runWell } from '../nbdServed.ts';

const mounts: Mounts = new MachineMounts();
const methods = mounts as unknown as Record<string, (...values: unknown[]) => unknown>;

for await (const line of createInterface({ input: process.stdin })) {
  const [what, ...values] = JSON.parse(line) as [string, ...string[]];
  try {
    const result = what === 'run' ? await runWell(...(values as [string, ...string[]])) : await methods[what]?.call(mounts, ...values);
    process.stdout.write(`${JSON.stringify({ result: result ?? null })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: String(error) })}\n`);
  }
}
