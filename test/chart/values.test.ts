/** Every value is described, every description is of a value, and what cannot be meant is refused with a sentence before anything is installed. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { SETTINGS_TABLE } from '../../core/settings.ts';
import { CHART, render } from './chart.ts';

type Schema = {
  description?: string;
  type?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  items?: Schema;
  minimum?: number;
  maximum?: number;
};

const values = parse(readFileSync(path.join(CHART, 'values.yaml'), 'utf8')) as Record<string, unknown>;
const schema = JSON.parse(readFileSync(path.join(CHART, 'values.schema.json'), 'utf8')) as Schema;

/** What only other charts give, and what has no default because leaving it out is one. */
const WITHOUT_DEFAULT = ['global', ...SETTINGS_TABLE.map(({ key }) => `settings.${key}`)];

/** Each value that is one by itself: of a map that is closed its own, of one that is open the map. */
function* closed(schema: Schema, at = ''): Iterable<[name: string, schema: Schema]> {
  for (const [name, part] of Object.entries(schema.properties ?? {})) {
    const full = at === '' ? name : `${at}.${name}`;
    yield [full, part];
    yield* closed(part, full);
    if (part.items) yield* closed(part.items, `${full}[]`);
  }
}

const at = (name: string): unknown =>
  name.split('.').reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], values);

function undescribed(value: unknown, schema: Schema | undefined, name: string): string[] {
  if (schema === undefined) return [name];
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((one, index) => undescribed(one, schema.items, `${name}[${index}]`));
  if (schema.additionalProperties !== false) return [];
  return Object.entries(value).flatMap(([key, part]) => undescribed(part, schema.properties?.[key], `${name}.${key}`));
}

describe('the values of the chart', function () {
  this.timeout(60_000);

  it('are each described in the schema', () => expect(undescribed(values, schema, 'values')).to.deep.equal([]));

  it('are each in values.yaml, with what they are by default', () => {
    const missing = [...closed(schema)].map(([name]) => name).filter((name) => !name.includes('[]') && at(name) === undefined);
    expect(missing.sort()).to.deep.equal(WITHOUT_DEFAULT.sort());
  });

  it('are each described with a sentence, and maps are closed unless their keys are anybody’s', () => {
    for (const [name, part] of closed(schema)) {
      expect(part.description, name).to.match(/^[\s\S]{8,}\.$/);
      if (part.type === 'object') expect(part.additionalProperties, name).to.not.equal(undefined);
    }
  });

  it("have the agents' settings with their own bounds", () => {
    const settings = schema.properties?.settings?.properties ?? {};
    expect(Object.keys(settings)).to.deep.equal(SETTINGS_TABLE.map(({ key }) => key));
    for (const { key, min, max } of SETTINGS_TABLE) expect(settings[key], key).to.include({ minimum: min, maximum: max });
  });

  const refused: [what: string, values: string, sentence: RegExp][] = [
    ['a way to attach that there is not', 'attach: { way: ndb }', /at '\/attach\/way': value must be one of 'auto', 'nbd', 'fuse'/],
    ['a value that was misspelt', 'agent: { pool: [] }', /at '\/agent': additional properties 'pool' not allowed/],
    ['no pool', 'agent: { pools: [] }', /at '\/agent\/pools': minItems: got 0, want 1/],
    ['a pool without a path', 'agent: { pools: [{ name: fast }] }', /at '\/agent\/pools\/0': missing property 'path'/],
    ['a path that is none', 'agent: { pools: [{ name: fast, path: mnt }] }', /at '\/agent\/pools\/0\/path': 'mnt' does not match pattern/],
    ['two members of etcd', 'etcd: { replicas: 2 }', /at '\/etcd\/replicas': value must be one of 1, 3, 5/],
    [
      'etcd without TLS',
      "etcd: { external: { endpoints: ['http://etcd:2379'] } }",
      /at '\/etcd\/external\/endpoints\/0': .* does not match pattern/,
    ],
    ['no operator', 'operator: { replicas: 0 }', /at '\/operator\/replicas': minimum: got 0, want 1/],
    ['a number as a text', "operator: { replaceAfterSeconds: '600' }", /at '\/operator\/replaceAfterSeconds': got string, want integer/],
    ['on without quotes', 'operator: { rebalance: on }', /at '\/operator\/rebalance': got boolean, want string/],
    ['a setting that there is not', 'settings: { heartbeat: 5 }', /at '\/settings': additional properties 'heartbeat' not allowed/],
    ['a setting out of its bounds', 'settings: { heartbeatMs: 5 }', /at '\/settings\/heartbeatMs': minimum: got 5, want 20/],
    [
      'an authority that ends too soon',
      'certificates: { caSeconds: 3600 }',
      /certificates\.caSeconds must be at least 3 x \(leafSeconds \+ spreadSeconds\)/,
    ],
    [
      'a parameter that is a number',
      'storageClasses: [{ name: a, parameters: { replicas: 3 } }]',
      /at '\/storageClasses\/0\/parameters\/replicas': got number, want string/,
    ],
  ];
  for (const [what, given, sentence] of refused) {
    it(`refuse ${what}`, async () => {
      const said = await render({ values: given }).then(
        () => 'nothing',
        (error: Error) => error.message,
      );
      expect(said).to.match(sentence);
    });
  }
});
