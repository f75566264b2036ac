/** What the lint takes for code, and which imports it sees. */
import { expect } from 'chai';
import fc from 'fast-check';
import { lineAt, readSource } from '../../../../tools/lint/source.ts';

describe('lint: reading a source file', () => {
  const blanked: [string, string, string][] = [
    ['a line comment', 'a; // Date.now()\nb', 'a;              \nb'],
    ['a block comment over lines', 'a /* x\ny */ b', 'a     \n     b'],
    ['a string', "f('Date.now()')", "f('          ')"],
    ['a string with an escaped quote', "f('it\\'s') + g", "f('     ') + g"],
    ['a template, but not the code in it', '`a $' + '{b({c: `d`})} e` + f', '`  $' + '{b({c: ` `})}  ` + f'],
    ['a regular expression', 'x = /Date.now/.test(y) / 2', 'x = /        /.test(y) / 2'],
    ['a regular expression with a slash in a class', 'return /[/"]/u;', 'return /    /u;'],
    ['no division', 'a / b / c', 'a / b / c'],
    ['a comment mark in a string', "a('http://x'); b", "a('        '); b"],
  ];
  for (const [what, text, code] of blanked) {
    it(`blanks ${what}`, () => {
      expect(readSource(text).code).to.equal(code);
    });
  }

  const imports: [string, string, boolean][] = [
    ["import { a } from './b.ts';", './b.ts', false],
    ["import type { A } from './b.ts';", './b.ts', true],
    ["import type from './b.ts';", './b.ts', false],
    ["import './b.ts';", './b.ts', false],
    ["export * from './b.ts';", './b.ts', false],
    ["export type { A } from './b.ts';", './b.ts', true],
    ["import a, {\n  b,\n  type C,\n} from './b.ts';", './b.ts', false],
    ["const a = await import('./b.ts');", './b.ts', false],
    ['import a from "./b.ts";', './b.ts', false],
  ];
  for (const [text, specifier, typeOnly] of imports) {
    it(`sees ${JSON.stringify(text)}`, () => {
      expect(readSource(text).imports.map((one) => [one.specifier, one.typeOnly])).to.deep.equal([[specifier, typeOnly]]);
    });
  }

  it('sees no import in a comment or a string', () => {
    expect(readSource("// import 'a';\nconst x = \"import 'b'\"; /* export * from 'c' */").imports).to.deep.equal([]);
  });

  it('tells the line of an import, counted from 1', () => {
    expect(readSource("// first\n\nimport {\n  a,\n} from 'b';").imports.map(({ line }) => line)).to.deep.equal([5]);
    expect(lineAt('a\nb', 0)).to.equal(1);
  });

  it('keeps every line and column, whatever the text', () => {
    const pieces = fc.constantFrom("'", '"', '`', '${', '}', '{', '/', '*', '//', '/*', '*/', '\\', '\n', 'a', ' ', '[', ']', '(', ';');
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 60 }), (parts) => {
        const text = parts.join('');
        const { code } = readSource(text);
        expect(code).to.have.length(text.length);
        expect(code.split('\n').map((line) => line.length)).to.deep.equal(text.split('\n').map((line) => line.length));
      }),
    );
  });
});
