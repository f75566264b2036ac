import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { ROOMS_OF, sourcesOf } from '../../../../tools/images/context.ts';
import { readSource } from '../../../../tools/lint/source.ts';
import { CHECKOUT } from '../../../../tools/local/layout.ts';

type Packages = {
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
};
type Lock = { packages: Record<string, { version: string; integrity?: string }> };

const json = (file: string): unknown => JSON.parse(readFileSync(path.join(CHECKOUT, file), 'utf8'));

/** `@scope/name` or `name` of what stands behind `from`. */
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

describe('what is installed into an image', () => {
  const { dependencies = {} } = json('package.json') as Packages;

  for (const [program, rooms] of Object.entries(ROOMS_OF)) {
    it(`${program}: no program imports a package that only tests and tools have`, () => {
      const missing = rooms.flatMap(sourcesOf).flatMap((file) =>
        file.endsWith('.ts')
          ? readSource(readFileSync(path.join(CHECKOUT, file), 'utf8'))
              .imports.map(({ specifier }) => specifier)
              .filter((specifier) => !/^(?:[./]|node:)/.test(specifier) && !(packageOf(specifier) in dependencies))
              .map((specifier) => `${file} imports ${specifier}`)
          : [],
      );
      expect(missing).to.deep.equal([]);
    });
  }

  it('has the Node that everything is tested with, for both architectures, each by its digest', () => {
    const tested = (json('package-lock.json') as Lock).packages['node_modules/node']?.version;
    const { packages } = json('images/node/package-lock.json') as Lock;
    for (const cpu of ['x64', 'arm64']) {
      expect(packages[`node_modules/node-linux-${cpu}`]).to.include({ version: tested });
      expect(packages[`node_modules/node-linux-${cpu}`]?.integrity).to.match(/^sha512-/);
    }
  });
});
