/**
 * The bill of materials of an image, in CycloneDX: every Debian package and every npm package that lies in it, read from the image itself and not from
 * what was asked for. Pure; the same image gives the same text.
 */
import { createHash } from 'node:crypto';

export type DebianPackage = { name: string; version: string; architecture: string; source: string; maintainer: string };
export type NpmPackage = { name: string; version: string; license: string; path: string };

export type Materials = {
  image: string;
  /** The image's id. */
  digest: string;
  version: string;
  createdSeconds: number;
  nodeVersion: string;
  debian: readonly DebianPackage[];
  npm: readonly NpmPackage[];
};

type Component = {
  type: 'library' | 'application';
  'bom-ref': string;
  name: string;
  version: string;
  purl: string;
  licenses?: { license: { name: string } }[];
};

/** One stanza of dpkg, as it stands in var/lib/dpkg/status.d. */
export function parseDebianPackage(stanza: string): DebianPackage {
  const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(stanza)?.[1] ?? '';
  const found = {
    name: field('Package'),
    version: field('Version'),
    architecture: field('Architecture'),
    source: field('Source').split(' ')[0] ?? '',
    maintainer: field('Maintainer'),
  };
  if (found.name === '' || found.version === '') throw new Error(`not the stanza of a Debian package: ${stanza.slice(0, 80)}`);
  return { ...found, source: found.source === '' ? found.name : found.source };
}

/** Of package.json; in some it is an object. */
export const licenseOf = (license: unknown): string => {
  if (typeof license === 'string') return license;
  return typeof license === 'object' && license !== null && 'type' in license ? String(license.type) : '';
};

const escaped = (text: string): string => encodeURIComponent(text).replaceAll('%3A', ':');

const debianComponent = ({ name, version, architecture, source }: DebianPackage): Component => {
  const purl = `pkg:deb/debian/${escaped(name)}@${escaped(version)}?arch=${architecture}&distro=debian-12&upstream=${escaped(source)}`;
  return { type: 'library', 'bom-ref': purl, name, version, purl };
};

const npmComponent = ({ name, version, license, path }: NpmPackage): Component => {
  const purl = `pkg:npm/${name.startsWith('@') ? `%40${name.slice(1)}` : name}@${escaped(version)}`;
  // The same version may lie in several places, and each has a name of its own here.
  const reference = `${purl}#${path}`;
  return {
    type: 'library',
    'bom-ref': reference,
    name,
    version,
    purl,
    ...(license === '' ? {} : { licenses: [{ license: { name: license } }] }),
  };
};

const byReference = (left: Component, right: Component): number => (left['bom-ref'] < right['bom-ref'] ? -1 : 1);

export function billOfMaterials(materials: Materials): string {
  const { image, digest, version, createdSeconds, nodeVersion, debian, npm } = materials;
  const node: Component = {
    type: 'application',
    'bom-ref': `pkg:generic/node@${nodeVersion}`,
    name: 'node',
    version: nodeVersion,
    purl: `pkg:generic/node@${nodeVersion}`,
  };
  const components = [...debian.map(debianComponent), ...npm.map(npmComponent), node].sort(byReference);
  const hex = createHash('sha256').update(digest).digest('hex');
  const uuid = [hex.slice(0, 8), hex.slice(8, 12), `5${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
  const document = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    serialNumber: `urn:uuid:${uuid}`,
    version: 1,
    metadata: {
      timestamp: new Date(createdSeconds * 1_000).toISOString(),
      component: {
        type: 'container',
        'bom-ref': digest,
        name: image,
        version,
        hashes: [{ alg: 'SHA-256', content: digest.replace('sha256:', '') }],
      },
    },
    components,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
