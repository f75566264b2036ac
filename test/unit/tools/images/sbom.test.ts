import { expect } from 'chai';
import { billOfMaterials, licenseOf, parseDebianPackage } from '../../../../tools/images/sbom.ts';
import { parseImageSettings } from '../../../../tools/images/settings.ts';

const STANZA = `Package: libc6
Source: glibc
Version: 2.36-9+deb12u10
Architecture: amd64
Maintainer: GNU Libc Maintainers
Depends: libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)
`;

const MATERIALS = {
  image: 'holdfast.local/holdfast-operator:1.0.0',
  digest: `sha256:${'ab'.repeat(32)}`,
  version: '1.0.0',
  createdSeconds: 1_700_000_000,
  nodeVersion: '24.0.0',
  debian: [parseDebianPackage(STANZA)],
  npm: [
    { name: 'lru-cache', version: '11.0.0', license: 'ISC', path: 'node_modules/lru-cache' },
    { name: 'lru-cache', version: '11.0.0', license: 'ISC', path: 'node_modules/glob/node_modules/lru-cache' },
    { name: '@grpc/grpc-js', version: '1.14.0', license: '', path: 'node_modules/@grpc/grpc-js' },
  ],
};

describe('the bill of materials of an image', () => {
  it("takes a Debian package from dpkg's stanza, its source from there or from its name", () => {
    expect(parseDebianPackage(STANZA)).to.include({ name: 'libc6', version: '2.36-9+deb12u10', architecture: 'amd64', source: 'glibc' });
    expect(parseDebianPackage(STANZA.replace('Source: glibc\n', ''))).to.include({ source: 'libc6' });
    expect(parseDebianPackage(STANZA.replace('Source: glibc', 'Source: glibc (2.36-9)'))).to.include({ source: 'glibc' });
    expect(() => parseDebianPackage('nothing of it')).to.throw('not the stanza');
  });

  it('names each thing by an address that scanners know, and each place by a reference of its own', () => {
    const { components } = JSON.parse(billOfMaterials(MATERIALS)) as { components: { 'bom-ref': string; purl: string }[] };
    const addresses = components.map(({ purl }) => purl);
    expect(addresses).to.include('pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12&upstream=glibc');
    expect(addresses).to.include('pkg:npm/%40grpc/grpc-js@1.14.0');
    expect(addresses.filter((purl) => purl === 'pkg:npm/lru-cache@11.0.0')).to.have.length(2);
    expect(new Set(components.map((component) => component['bom-ref']))).to.have.property('size', components.length);
  });

  it('is the same text for the same image, in whatever order its parts were found', () => {
    const turned = { ...MATERIALS, npm: [...MATERIALS.npm].reverse() };
    expect(billOfMaterials(turned)).to.equal(billOfMaterials(MATERIALS));
    expect(billOfMaterials({ ...MATERIALS, digest: `sha256:${'cd'.repeat(32)}` })).to.not.equal(billOfMaterials(MATERIALS));
  });

  it('takes a license as packages have it now, and as old ones had it', () => {
    expect([licenseOf('MIT'), licenseOf({ type: 'BSD' }), licenseOf(undefined)]).to.deep.equal(['MIT', 'BSD', '']);
  });
});

describe('what `make images` is asked for', () => {
  it('builds both programs for amd64 under the version, unless told otherwise', () => {
    expect(parseImageSettings({ ARCH: '', TAG: '' }, '1.2.3')).to.deep.include({
      architectures: ['amd64'],
      programs: ['operator', 'agent'],
      tag: '1.2.3',
    });
    expect(parseImageSettings({ ARCH: 'arm64 amd64' }, '1.2.3').architectures).to.deep.equal(['amd64', 'arm64']);
  });

  it('tells every mistake at once', () => {
    const attempt = (): unknown =>
      parseImageSettings({ ARCH: 'sparc', PROGRAMS: 'operator,agents', TAG: 'a b', REGISTRY: 'UPPER' }, '1.2.3');
    expect(attempt).to.throw('4 problems, nothing was built');
    expect(attempt).to.throw('ARCH=sparc must be of amd64, arm64');
  });
});
