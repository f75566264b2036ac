import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import * as programs from '../../../../agent/csi/programs.ts';
import { sourcesOf } from '../../../../tools/images/context.ts';
import { CHECKOUT } from '../../../../tools/local/layout.ts';
import { CALLED } from '../../../images/called.ts';

const textOf = (file: string): string => readFileSync(path.join(CHECKOUT, file), 'utf8');

/** Named where they are called, or in a list of what must be there. */
const NAMED = /\b(?:run|outcome|ended|spawn)\('([a-z0-9.]+)'|PROGRAMS = \[([^\]]*)\]/g;

function calledByAgent(): Set<string> {
  const found = new Set<string>();
  for (const text of sourcesOf('agent')
    .map(textOf)
    .filter((source) => /commands\.ts'|function ended/.test(source))) {
    for (const [, one, list] of text.matchAll(NAMED)) for (const name of list?.match(/[a-z0-9.]+/g) ?? [one ?? '']) found.add(name);
  }
  const { mkfsCommand, mountCommand, growCommand, probeCommand, alone, writeCommand, checkCommand } = programs;
  const grown = (['ext4', 'xfs'] as const).flatMap((type) => [
    mkfsCommand('/dev/a', type, []),
    growCommand('/dev/a', '/b', type),
    checkCommand('/dev/a', type),
  ]);
  const others = [
    mountCommand('/dev/a', '/b', 'ext4', []),
    probeCommand('/dev/a'),
    alone('/dev/a', ['true']),
    writeCommand('/dev/a', 1, 0),
  ];
  for (const command of [...grown, ...others]) if (command !== null) found.add(command[0]);
  return found;
}

describe('programs that the agent calls', () => {
  it('are those that `make test-images` looks for in its image', () => {
    expect([...calledByAgent()].sort()).to.deep.equal([...new Set(CALLED.map(([program]) => program))].sort());
  });

  it('are made by functions that this test knows', () => {
    const makers = Object.keys(programs).filter((name) => name.endsWith('Command') || name === 'alone');
    expect(makers).to.have.members(['mkfsCommand', 'mountCommand', 'growCommand', 'probeCommand', 'alone', 'writeCommand', 'checkCommand']);
  });
});
