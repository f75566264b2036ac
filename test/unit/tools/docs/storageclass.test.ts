import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { CLASS_NAMES, FILE_SYSTEMS, MUTABLE_NAMES, parseClass } from '../../../../operator/csi/parameters.ts';
import { CHECKOUT } from '../../../../tools/local/layout.ts';

/** `| \`replicas\` | \`3\` | yes | ... |` of the table of parameters. */
const ROW = /^\| `(\w+)` \|\s*(?:`([^`]*)`)?([^|]*)\| (yes|no) \| (.*) \|$/gm;

describe('docs/storageclass.md', () => {
  const text = readFileSync(path.join(CHECKOUT, 'docs/storageclass.md'), 'utf8');
  const rows = [...text.matchAll(ROW)].map(([, name = '', fallback = '', words = '', live = '', meaning = '']) => ({
    name,
    fallback,
    words: words.trim(),
    live,
    meaning,
  }));
  const row = (name: string) => rows.find((one) => one.name === name);

  it('has every parameter that the driver takes, each once, and no other', () => {
    expect(rows.map(({ name }) => name)).to.have.members(CLASS_NAMES);
  });

  it('calls live what a VolumeAttributesClass may change, and nothing else', () => {
    expect(rows.filter(({ live }) => live === 'yes').map(({ name }) => name)).to.have.members(MUTABLE_NAMES);
  });

  it('tells the defaults that a class without parameters has', () => {
    const spec = parseClass({}, {}).value?.spec;
    for (const name of ['replicas', 'shards'] as const) expect(row(name)?.fallback).to.equal(String(spec?.[name]));
    for (const name of ['iops', 'bytesPerSecond'] as const) expect(row(name)?.fallback).to.equal(String(spec?.limits?.[name]));
    expect(row('zones')?.fallback).to.equal(spec?.placement?.zones);
    expect(row('minInSync')).to.include({ fallback: '', words: 'more than half' });
    expect(spec).to.not.have.property('minInSync');
    expect(row('fsType')?.fallback).to.be.oneOf([...FILE_SYSTEMS]);
  });

  it('tells the ranges that are refused beyond', () => {
    for (const [name, most] of [
      ['replicas', 9],
      ['shards', 64],
    ] as const) {
      expect(row(name)?.meaning).to.include(`1 to ${most}`);
      expect(parseClass({ [name]: String(most) }, {}).problems).to.deep.equal([]);
      expect(parseClass({ [name]: String(most + 1) }, {}).problems).to.have.length(1);
    }
  });
});
