/** Reads what lies in an unpacked image, for its bill of materials. */
import { globSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { readJson } from './archive.ts';
import { type DebianPackage, licenseOf, type NpmPackage, parseDebianPackage } from './sbom.ts';

const DPKG = 'var/lib/dpkg/status.d';

export const debianPackages = (tree: string): DebianPackage[] =>
  readdirSync(path.join(tree, DPKG))
    .sort()
    .map((name) => parseDebianPackage(readFileSync(path.join(tree, DPKG, name), 'utf8')));

/** Directories of packages, not the package.json files that some have further down for other reasons. */
const PACKAGES = ['**/node_modules/*/package.json', '**/node_modules/@*/*/package.json'];

export function npmPackages(tree: string): NpmPackage[] {
  const app = path.join(tree, 'app');
  return globSync(PACKAGES, { cwd: app })
    .sort()
    .flatMap((file) => {
      const { name, version, license } = readJson(path.join(app, file)) as { name?: unknown; version?: unknown; license?: unknown };
      return typeof name === 'string' && typeof version === 'string'
        ? [{ name, version, license: licenseOf(license), path: path.dirname(file) }]
        : [];
    });
}
