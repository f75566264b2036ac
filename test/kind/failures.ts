/** Nodes that die and nodes that freeze, under a pod that writes. */
import { sleep } from '../../edge/timers.ts';
import { acknowledged, lines, power, runningPod, until } from './world.ts';
import { allWell, BOUND_SECONDS, removeWriter, seconds, writer } from './writer.ts';

/** At a grace period of 10 s for nodes (up.sh). */
const RETURN_SECONDS_MAX = 30;
const KILLS = Number(process.env.KILLS || '1');

/** Seconds until it writes on elsewhere; every acknowledged line must be there. */
async function lose(action: 'kill' | 'freeze'): Promise<{ node: string; seconds: number }> {
  const before = await runningPod('writer');
  if (before === null) throw new Error('nobody writes');
  const told = await acknowledged(before.name);
  await power(action, before.node);
  const took = await until(`the pod of ${before.node} runs elsewhere`, BOUND_SECONDS, async () => {
    const now = await runningPod('writer');
    return now !== null && now.node !== before.node && (await acknowledged(now.name)) > 0;
  });
  const now = await runningPod('writer');
  const found = await lines(now?.name ?? '');
  if (found < told) throw new Error(`${told} lines were acknowledged, ${found} are there`);
  return { node: before.node, seconds: took };
}

export async function kill(): Promise<string> {
  await writer();
  const times: number[] = [];
  for (let round = 0; round < KILLS; round++) {
    const lost = await lose('kill');
    times.push(lost.seconds);
    await power('start', lost.node);
    await allWell();
  }
  await removeWriter();
  const worst = Math.max(...times);
  if (worst > RETURN_SECONDS_MAX) throw new Error(`the pod was back after ${seconds(worst)}, ${RETURN_SECONDS_MAX} s are wanted`);
  return `${KILLS} nodes killed, the pod was back elsewhere after ${times.map(seconds).join(', ')}, every acknowledged line there`;
}

export async function freeze(): Promise<string> {
  await writer();
  const lost = await lose('freeze');
  await power('thaw', lost.node);
  // Its writer wakes with a volume that is elsewhere: what it still writes goes nowhere.
  await allWell();
  await sleep(5_000);
  const now = await runningPod('writer');
  const found = await lines(now?.name ?? '');
  await removeWriter();
  return `elsewhere after ${seconds(lost.seconds)}; thawed, ${found} lines of one writer alone`;
}
