/** What a run measures, from the environment: all problems at once. Pure. */
import type { SystemName } from './goals.ts';
import { OTHER_WORKS, type OtherWork, WORKS, type Work } from './works.ts';

const SYSTEMS: readonly SystemName[] = ['single', 'quorum', 'gluster', 'holdfast', 'holdfast-tls'];
const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

export type Options = {
  readonly works: readonly Work[];
  readonly others: readonly OtherWork[];
  readonly systems: readonly SystemName[];
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly repetitions: number;
  readonly sizeBytes: number;
  readonly resyncBytes: number;
  /** Of each agent: for profiles. */
  readonly agentEnvironment: Readonly<Record<string, string>>;
};

export type PgbenchOptions = Pick<Options, 'systems' | 'seconds' | 'warmUpSeconds' | 'repetitions' | 'sizeBytes' | 'agentEnvironment'> & {
  readonly clients: number;
  readonly scale: number;
};

export type ClaimOptions = {
  /** One after the other. */
  readonly claims: number;
  readonly sizeBytes: number;
  /** All at once. */
  readonly atOnce: number;
  readonly sizeAtOnceBytes: number;
};

type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment says, and all that is wrong with it. */
class Reader {
  readonly problems: string[] = [];
  readonly #environment: Environment;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  words<Word extends string>(name: string, allowed: readonly Word[], fallback = allowed): readonly Word[] {
    const asked = (this.#environment[name] ?? '').split(/[\s,]+/).filter(Boolean);
    const unknown = asked.filter((word) => !(allowed as readonly string[]).includes(word));
    if (unknown.length > 0) this.problems.push(`${name}: there is no ${unknown.join(', ')}, only ${allowed.join(', ')}`);
    return asked.length === 0 ? fallback : (asked as Word[]);
  }

  whole(name: string, fallback: number): number {
    const text = this.#environment[name] || String(fallback);
    if (!/^[1-9]\d{0,5}$/.test(text)) this.problems.push(`${name}: ${text} is not a whole number from 1 to 999999`);
    return Number(text);
  }

  get agentEnvironment(): Record<string, string> {
    const { AGENT_NODE_OPTIONS } = this.#environment;
    return AGENT_NODE_OPTIONS ? { NODE_OPTIONS: AGENT_NODE_OPTIONS } : {};
  }

  /** Throws all problems. */
  checked<Options>(options: Options): Options {
    if (this.problems.length > 0) throw new RangeError(this.problems.join('\n'));
    return options;
  }
}

export function parseOptions(environment: Environment): Options {
  const read = new Reader(environment);
  const asked = read.words<string>('WORKS', [...WORKS.map(({ name }) => name), ...OTHER_WORKS]);
  return read.checked({
    works: WORKS.filter(({ name }) => asked.includes(name)),
    others: OTHER_WORKS.filter((name) => asked.includes(name)),
    systems: read.words('SYSTEMS', SYSTEMS),
    seconds: read.whole('SECONDS', 6),
    warmUpSeconds: read.whole('WARM_UP', 2),
    repetitions: read.whole('REPETITIONS', 3),
    sizeBytes: read.whole('SIZE_MIB', 1024) * MIB,
    resyncBytes: read.whole('RESYNC_MIB', 4096) * MIB,
    agentEnvironment: read.agentEnvironment,
  });
}

export function parsePgbenchOptions(environment: Environment): PgbenchOptions {
  const read = new Reader(environment);
  return read.checked({
    systems: read.words('SYSTEMS', ['single', 'quorum', 'holdfast', 'holdfast-tls'], ['single', 'quorum', 'holdfast']),
    seconds: read.whole('SECONDS', 10),
    // What runs for days is measured as it is after a while: in its first 20 s V8 still compiles an agent's code.
    warmUpSeconds: read.whole('WARM_UP', 20),
    repetitions: read.whole('REPETITIONS', 5),
    clients: read.whole('CLIENTS', 4),
    scale: read.whole('SCALE', 10),
    sizeBytes: read.whole('SIZE_MIB', 2048) * MIB,
    agentEnvironment: read.agentEnvironment,
  });
}

export function parseClaimOptions(environment: Environment): ClaimOptions {
  const read = new Reader(environment);
  return read.checked({
    claims: read.whole('CLAIMS', 20),
    sizeBytes: read.whole('SIZE_GIB', 10) * GIB,
    atOnce: read.whole('AT_ONCE', 200),
    sizeAtOnceBytes: read.whole('SIZE_AT_ONCE_GIB', 1) * GIB,
  });
}
