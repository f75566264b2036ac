/**
 * `make fuzz`: each target in turn for its share of the time, from its seeds and the corpus. What reached something new is kept in test/fuzz/corpus with KEEP=1.
 * Exit code 0: nothing failed; 1: something did, and the input that shows it is printed and lies in the corpus as `<target>-failed-….hex`; 2: bad parameters.
 */

import { corpusOf, KEPT_BYTES_MAX, save } from './corpus.ts';
import { Fuzzer, type Target } from './engine.ts';
import { inputBytes } from './input.ts';
import { TARGETS } from './targets.ts';

const MINUTE_MS = 60_000;
const EXIT_FAILED = 1;
const EXIT_PARAMETERS = 2;
const SEED_MAX = 1_000_000;
function fuzz(target: Target, seed: number, durationMs: number, isKept: boolean): boolean {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const { runs, places, kept, failure } = new Fuzzer(target, corpusOf(target.name), seed).run(durationMs, say);
  say(`${target.name}: ${runs} runs, ${places} places in the sources reached, ${kept.length} inputs reached something new`);
  if (isKept) for (const input of kept) if (inputBytes(input) <= KEPT_BYTES_MAX) save(target.name, input);
  if (failure === null) return true;
  say(`${target.name}: FAILED, SEED=${seed}\n${failure.error instanceof Error ? failure.error.stack : String(failure.error)}`);
  say(`the input is in ${save(target.name, failure.input)}: it stays and is replayed by test/unit/fuzz from now on`);
  return false;
}

function main(environment: NodeJS.ProcessEnv): number {
  const minutes = Number(environment.MINUTES || 1);
  const seed = Number(environment.SEED || 1 + Math.floor(Math.random() * SEED_MAX));
  const names = (environment.TARGETS || TARGETS.map(({ name }) => name).join(',')).split(',');
  const targets = TARGETS.filter(({ name }) => names.includes(name));
  if (!(minutes > 0) || !Number.isInteger(seed) || targets.length !== names.length) {
    process.stderr.write(`MINUTES is a number above 0, SEED a whole one, TARGETS some of: ${TARGETS.map(({ name }) => name).join(',')}\n`);
    return EXIT_PARAMETERS;
  }
  process.stdout.write(`SEED=${seed} MINUTES=${minutes} TARGETS=${names.join(',')}\n`);
  const results = targets.map((target) => fuzz(target, seed, (minutes * MINUTE_MS) / targets.length, Boolean(environment.KEEP)));
  return results.every((isWell) => isWell) ? 0 : EXIT_FAILED;
}

process.exitCode = main(process.env);
