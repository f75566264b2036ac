/**
 * One line of a list, as the model checker's configuration: a name, and what differs from the defaults. Pure.
 *
 *     pair  Replica={a,b} MaxVer=4 small
 *
 * Besides the model's constants a line may say `inv` (which invariants), `expect` (holds, violated, or cut: nothing found when time was up), `walk`
 * (random walks so deep instead of every state), and `small` (quick enough for every change).
 */
export type Expectation = 'holds' | 'violated' | 'cut';
export type SpecLine = { name: string; configuration: string; expect: Expectation; walkDepth: number | null; isSmall: boolean };

const DEFAULTS = {
  Replica: '{a,b,c}',
  Block: '{x}',
  InSync0: '{a,b,c}',
  MaxEpoch: '2',
  MaxVer: '3',
  MaxWrites: '1',
  MaxOps: '2',
  MaxReseal: '0',
  MaxLearn: '1',
  MaxHeld: '0',
  MaxPower: '0',
  MaxFlush: '0',
  MinInSync: '1',
  MaxResume: '0',
  Mut: 'none',
};
const TOP = ['Inv1_OnePrimary', 'Inv3_Linearizable', 'Inv2_FlushedStays', 'Inv24_InSyncHolds', 'Inv6_EqualAtRest'];
const INVARIANTS: Record<string, readonly string[]> = {
  all: [...TOP, 'LogCovers', 'StampCovers'],
  top: TOP,
  client: TOP.slice(0, 2),
  linearizable: TOP.slice(1, 2),
};
const EXPECTATIONS: readonly string[] = ['holds', 'violated', 'cut'];

export function parseLine(line: string): SpecLine {
  const [name = '', ...words] = line.trim().split(/\s+/);
  const constants = new Map<string, string>(Object.entries(DEFAULTS));
  const extras = new Map([
    ['inv', 'all'],
    ['expect', 'holds'],
    ['walk', ''],
    ['small', ''],
  ]);
  for (const word of words) {
    const at = word.indexOf('=');
    const [key, value] = at < 0 ? [word, 'yes'] : [word.slice(0, at), word.slice(at + 1)];
    const target = [constants, extras].find((known) => known.has(key));
    if (!target) throw new Error(`${name}: ${key} is no constant of the model`);
    target.set(key, value);
  }
  const expect = extras.get('expect') ?? '';
  if (!EXPECTATIONS.includes(expect)) throw new Error(`${name}: nothing can be expected to be ${expect}`);
  const walk = extras.get('walk');
  return {
    name,
    configuration: configurationOf(constants, extras.get('inv') ?? ''),
    expect: expect as Expectation,
    walkDepth: walk ? Number(walk) : null,
    isSmall: extras.get('small') !== '',
  };
}

function configurationOf(constants: ReadonlyMap<string, string>, set: string): string {
  const invariants = INVARIANTS[set];
  if (!invariants) throw new Error(`no such invariants: ${set}`);
  const elements = new Set(`${constants.get('Replica')}${constants.get('Block')}`.match(/\w+/g));
  return [
    'SPECIFICATION Spec',
    'SYMMETRY Sym',
    `INVARIANTS ${invariants.join(' ')}`,
    ...(set === 'all' ? ['PROPERTY Inv5_Monotone'] : []),
    'CONSTANTS',
    ...[...elements].map((element) => `  ${element} = ${element}`),
    ...[...constants].map(([key, value]) => `  ${key} = ${key === 'Mut' ? `"${value}"` : value}`),
    '',
  ].join('\n');
}
