import { expect } from 'chai';
import { type Known, objectProblems, overlaid, wrongCode } from '../../../../tools/docs/code.ts';
import { wrongLinks } from '../../../../tools/docs/links.ts';
import { readPage } from '../../../../tools/docs/page.ts';
import { sitePage } from '../../../../tools/docs/site.ts';

const PAGE = `# The \`first\` page

## What it gives
[here](#what-it-gives) [there](other.md#two-words) ![picture](shots/one.png) [outside](https://example.org/x)

## What it gives
`;
const OTHER = readPage('docs/other.md', '# Two words');

const checkout = (files: readonly string[]) => ({
  exists: (file: string) => files.includes(file),
  page: (file: string) => (file === 'docs/other.md' ? OTHER : undefined),
});
const known: Known = {
  makeTargets: new Set(['demo']),
  commands: new Set(['status']),
  exists: (file) => file === 'examples/claim.yaml',
  values: { etcd: { replicas: 3 } },
  valuesSchema: {
    type: 'object',
    additionalProperties: false,
    properties: { etcd: { type: 'object', properties: { replicas: { type: 'integer' } } } },
  },
};
const problemsOf = (language: string, text: string): string[] =>
  wrongCode(readPage('docs/a.md', `# A\n\n\`\`\`${language}\n${text}\n\`\`\`\n`), known);

describe('a page of the documentation', () => {
  it('has the anchors that hosts of Markdown make: of what is shown, a second one of a name counted', () => {
    const page = readPage('docs/first.md', PAGE);
    expect(page.title).to.equal('The first page');
    expect([...page.anchors]).to.deep.equal(['the-first-page', 'what-it-gives', 'what-it-gives-1']);
  });

  it('leads only to what is there', () => {
    const page = readPage('docs/first.md', PAGE);
    expect(wrongLinks(page, checkout(['docs/other.md', 'docs/shots/one.png', 'docs/first.md']))).to.deep.equal([]);
    expect(wrongLinks(page, checkout(['docs/other.md', 'docs/first.md']))).to.deep.equal([
      'docs/first.md:4: shots/one.png: there is no docs/shots/one.png',
    ]);
  });

  it('leads only to headings that are there, in this page and in others', () => {
    const page = readPage('docs/first.md', '# A\n\n[x](#b) [y](other.md#three-words) [z](../../elsewhere.md)');
    expect(wrongLinks(page, checkout(['docs/other.md', 'docs/first.md']))).to.deep.equal([
      'docs/first.md:3: #b: docs/first.md has no heading of that name',
      'docs/first.md:3: other.md#three-words: docs/other.md has no heading of that name',
      'docs/first.md:3: ../../elsewhere.md: leads out of the checkout',
    ]);
  });

  it('becomes a page whose links lead to pages that were made, and to files as they are', () => {
    const page = readPage('docs/first.md', '# A & B\n\n[x](other.md#two-words) [y](../LICENSE) [z](missing.md)');
    const html = sitePage(page, [page, OTHER]);
    expect(html).to.include('href="other.html#two-words"').and.to.include('href="../LICENSE"').and.to.include('href="missing.md"');
    expect(html).to.include('<title>A &amp; B - Holdfast</title>');
  });
});

describe('what a page tells people to write', () => {
  it('objects of ours are as the API takes them', () => {
    const volume = (spec: unknown): unknown => ({ apiVersion: 'holdfast.dev/v1alpha1', kind: 'Volume', metadata: { name: 'a' }, spec });
    expect(objectProblems(volume({ size: '1Gi', replicas: 3 }))).to.deep.equal([]);
    expect(objectProblems(volume({ replicas: 3 }))).to.deep.equal(["/spec must have required property 'size'"]);
    expect(objectProblems(volume({ size: '1Gi', copies: 3 }))).to.deep.equal(['/spec must NOT have additional properties']);
    expect(objectProblems({ apiVersion: 'holdfast.dev/v1alpha1', kind: 'Disk' })).to.deep.equal(['there is no kind Disk of ours']);
  });

  it('classes are as the driver takes them', () => {
    const storageClass = (parameters: object): unknown => ({
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      provisioner: 'csi.holdfast.dev',
      parameters,
    });
    expect(objectProblems(storageClass({ replicas: '3', 'csi.storage.k8s.io/fstype': 'xfs' }))).to.deep.equal([]);
    expect(objectProblems(storageClass({ replicas: 3 }))).to.deep.equal(['parameters.replicas: must be text']);
    expect(objectProblems(storageClass({ copies: '3' }))[0]).to.match(/^parameters.copies: no such parameter/);
    const attributes = {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'VolumeAttributesClass',
      driverName: 'csi.holdfast.dev',
      parameters: { shards: '2' },
    };
    expect(objectProblems(attributes)[0]).to.match(/^mutableParameters.shards: no such parameter/);
  });

  it('values are as the chart takes them, laid over its own', () => {
    expect(overlaid({ a: { b: 1, c: 2 }, d: [1] }, { a: { b: 3 }, d: [2] })).to.deep.equal({ a: { b: 3, c: 2 }, d: [2] });
    expect(problemsOf('yaml', '# values.yaml\netcd: { replicas: 5 }')).to.deep.equal([]);
    expect(problemsOf('yaml', '# values.yaml\netcd: { replicas: five }')).to.deep.equal(['docs/a.md:3: /etcd/replicas must be integer']);
    expect(problemsOf('yaml', 'a: [')).to.have.length(1);
  });

  it('commands are there: of make, of the plugin, and files that are applied', () => {
    expect(problemsOf('sh', 'make demo NODES=3\nkubectl holdfast status --all\nkubectl apply -f examples/claim.yaml')).to.deep.equal([]);
    expect(
      problemsOf('sh', 'make coffee\nkubectl holdfast stats\nkubectl apply -f examples/clam.yaml\nhelm install x ./helm/y'),
    ).to.deep.equal([
      'docs/a.md:3: there is no make coffee',
      'docs/a.md:3: there is no kubectl holdfast stats',
      'docs/a.md:3: there is no examples/clam.yaml',
      'docs/a.md:3: there is no ./helm/y',
    ]);
    expect(problemsOf('console', 'make coffee')).to.deep.equal([]);
  });
});
