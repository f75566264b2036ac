/** What a run measures, from the environment: all problems at once. Pure. */
import type { SystemName } from './goals.ts';
import { OTHER_WORKS, type OtherWork, WORKS, type Work } from './works.ts';

const SYSTEMS: readonly SystemName[] = ['single', 'quorum', 'gluster', 'holdfast', 'holdfast-tls'];
const MIB = 1024 * 1024;

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

export function parseOptions(environment: Readonly<Record<string, string | undefined>>): Options {
  const problems: string[] = [];
  const words = (name: string, allowed: readonly string[]): readonly string[] => {
    const asked = (environment[name] ?? '').split(/[\s,]+/).filter(Boolean);
    const unknown = asked.filter((word) => !allowed.includes(word));
    if (unknown.length > 0) problems.push(`${name}: there is no ${unknown.join(', ')}, only ${allowed.join(', ')}`);
    return asked.length === 0 ? allowed : asked;
  };
  const whole = (name: string, fallback: number): number => {
    const text = environment[name] || String(fallback);
    if (!/^[1-9]\d{0,5}$/.test(text)) problems.push(`${name}: ${text} is not a whole number from 1 to 999999`);
    return Number(text);
  };
  const asked = words('WORKS', [...WORKS.map(({ name }) => name), ...OTHER_WORKS]);
  const options: Options = {
    works: WORKS.filter(({ name }) => asked.includes(name)),
    others: OTHER_WORKS.filter((name) => asked.includes(name)),
    systems: words('SYSTEMS', SYSTEMS) as SystemName[],
    seconds: whole('SECONDS', 6),
    warmUpSeconds: whole('WARM_UP', 2),
    repetitions: whole('REPETITIONS', 3),
    sizeBytes: whole('SIZE_MIB', 1024) * MIB,
    resyncBytes: whole('RESYNC_MIB', 4096) * MIB,
    agentEnvironment: environment.AGENT_NODE_OPTIONS ? { NODE_OPTIONS: environment.AGENT_NODE_OPTIONS } : {},
  };
  if (problems.length > 0) throw new RangeError(problems.join('\n'));
  return options;
}
