import { expect } from 'chai';
import fc from 'fast-check';
import { lineOf } from '../../../edge/log.ts';

describe('a line of the log', () => {
  it('begins with time, level and message, which no field can take the place of', () => {
    const line = lineOf('info', 'volume served', { message: 'forged', level: 'x', time: 'never', volume: 'v', epoch: 3 });
    expect(Object.keys(line)).to.deep.equal(['time', 'level', 'message', 'volume', 'epoch']);
    expect(line).to.include({ level: 'info', message: 'volume served' });
    expect(Date.parse(line.time)).to.be.greaterThan(0);
  });

  it('holds an error with its code and its causes, up to a bound', () => {
    const cause = Object.assign(new TypeError('inner'), { code: 'ENOSPC' });
    expect(lineOf('error', 'm', { error: new Error('outer', { cause }) }).error).to.deep.include({ name: 'Error', message: 'outer' });
    expect(lineOf('error', 'm', { error: new Error('outer', { cause }) })).to.have.nested.property('error.cause.code', 'ENOSPC');
    const loop = new Error('loop');
    loop.cause = loop;
    expect(JSON.stringify(lineOf('error', 'm', { error: loop })).length).to.be.below(100_000);
    expect(lineOf('error', 'm', { error: 'a string' }).error).to.equal('a string');
  });

  it('stays small and readable whatever is in a field', () => {
    const loop: Record<string, unknown> = {};
    loop.loop = loop;
    const line = lineOf('warn', 'm', {
      text: 'x'.repeat(10_000),
      big: 5n,
      bytes: Buffer.alloc(10),
      loop,
      map: new Map([['a', 1n]]),
      when: new Date(0),
    });
    expect(String(line.text)).to.match(/^x{8192}\.\.\. \(10000 characters\)$/);
    expect(line.big).to.equal('5');
    expect(line.bytes).to.equal('10 bytes');
    expect(line.map).to.deep.equal([['a', '1']]);
    expect(JSON.stringify(line)).to.not.contain('\n');
  });

  it('is JSON for anything at all', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.anything({ withBigInt: true, withMap: true, withDate: true, withTypedArray: true })),
        (fields) => {
          const text = JSON.stringify(lineOf('info', 'm', fields));
          return typeof text === 'string' && JSON.parse(text).message === 'm' && !text.includes('\n');
        },
      ),
    );
  });
});
