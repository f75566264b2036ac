/** One run: faults for so many events, then none until the volume is healthy, then no clients until all is at rest. */
import { messageOf } from '../../core/errors.ts';
import { checkEqualAtRest, unrest } from './checkers/atRest.ts';
import { HEALTHY_WITHIN_MS, illness, REST_WITHIN_MS } from './checkers/liveness.ts';
import type { SimOptions } from './options.ts';
import { type CheckerName, Violation } from './violation.ts';
import { World } from './world.ts';

export type Outcome = {
  options: SimOptions;
  traceHash: string;
  events: number;
  virtualMs: number;
  answered: number;
  epochs: number;
  /** Faults by kind. */
  faults: Record<string, number>;
  /** Blocks that the checker lost sight of. */
  blindBlocks: number;
  /** What was violated first; crash: something threw that no checker did. */
  violation: { checker: CheckerName | 'crash'; message: string; stack: string } | null;
};

/** Answers that each client must get once faults have ended. */
const ANSWERS_AT_LEAST = 3;

export function simulate(options: SimOptions, tell: ((line: string) => void) | null = null): Outcome {
  let world: World | null = null;
  let violation: Outcome['violation'] = null;
  try {
    world = new World(options, tell);
    runPhases(world);
  } catch (error) {
    const checker = error instanceof Violation ? error.checker : 'crash';
    violation = { checker, message: messageOf(error), stack: error instanceof Error ? (error.stack ?? '') : '' };
  }
  return {
    options,
    traceHash: world?.schedule.traceHash ?? '',
    events: world?.schedule.eventCount ?? 0,
    virtualMs: Math.round(world?.schedule.nowMs ?? 0),
    answered: world?.clientsOfVolume().reduce((sum, client) => sum + client.answered, 0) ?? 0,
    epochs: world?.register.config.epoch ?? 0,
    faults: world?.tally.counts ?? {},
    blindBlocks: [...(world?.clients.pieces.values() ?? [])].filter((register) => register.isBlind).length,
    violation,
  };
}

function runPhases(world: World): void {
  const { schedule, options } = world;
  while (schedule.eventCount < options.steps) schedule.runNext();
  schedule.trace('faults end');
  world.faults.end();
  world.leader.want = world.nodes()[0] ?? '';
  const before = world.clientsOfVolume().map((client) => client.answered);
  waitFor(world, HEALTHY_WITHIN_MS, () => {
    if (world.isBeyondHelp) return null;
    const { config } = world.register;
    const isAnswered = world.clientsOfVolume().every((client, index) => client.answered >= (before[index] ?? 0) + ANSWERS_AT_LEAST);
    const ill = illness(config, config.primary ? world.servingOn(config.primary.node) : null);
    return ill ?? world.rot?.unmended() ?? (isAnswered ? null : 'clients get no answers');
  });
  if (world.isBeyondHelp) return;
  for (const client of world.clientsOfVolume()) client.stop();
  schedule.trace('clients end');
  waitFor(world, REST_WITHIN_MS, () => {
    const open = world.clientsOfVolume().reduce((sum, client) => sum + client.openCount, 0);
    return open > 0 ? `${open} requests are open` : unrest(world.scene());
  });
  checkEqualAtRest(world.scene());
}

function waitFor(world: World, withinMs: number, missing: () => string | null): void {
  const { schedule } = world;
  const untilMs = schedule.nowMs + withinMs;
  for (let why = missing(); why !== null; why = missing()) {
    if (schedule.nowMs > untilMs) throw new Violation('liveness', `not after ${withinMs} ms: ${why}`);
    for (let events = 0; events < 50; events++) schedule.runNext();
  }
}
