/** What must hold of an image, whoever built it. Each check gives what is wrong with it, in words; nothing is an empty list. */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, lstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import path from 'node:path';
import type { Image } from '../../tools/images/archive.ts';
import { ROOMS_OF, sourcesOf } from '../../tools/images/context.ts';
import { debianPackages, npmPackages } from '../../tools/images/materials.ts';
import type { Architecture, ProgramName } from '../../tools/images/settings.ts';
import { CALLED } from './called.ts';
import { isOurs, run } from './container.ts';

export type Subject = { program: ProgramName; architecture: Architecture; image: Image; tree: string; materials: string };

const SHELLS = ['sh', 'bash', 'dash', 'busybox', 'perl', 'python3', 'apt-get', 'dpkg'];
const SET_ID = 0o6000;
const DIRECTORIES = ['usr/bin', 'usr/sbin', 'usr/local/bin'];

const filesOf = (tree: string, below: string): string[] =>
  existsSync(path.join(tree, below))
    ? readdirSync(path.join(tree, below), { recursive: true, encoding: 'utf8' })
        .map((file) => path.join(below, file))
        .filter((file) => lstatSync(path.join(tree, file)).isFile())
    : [];

export function configuration({ program, architecture, image }: Subject): string[] {
  const { config, architecture: told } = image.configuration;
  const wanted = program === 'operator' ? '65532:65532' : '';
  return [
    ...(told === architecture ? [] : [`its architecture is ${told}`]),
    ...((config.User ?? '') === wanted ? [] : [`it runs as "${config.User}"`]),
    ...(config.WorkingDir === '/app' ? [] : [`it starts in ${config.WorkingDir}`]),
    ...(config.Labels?.['org.opencontainers.image.version'] ? [] : ['it does not say its version']),
  ];
}

export const noShell = ({ tree }: Subject): string[] =>
  DIRECTORIES.flatMap((directory) => SHELLS.map((name) => path.join(directory, name))).filter((file) => existsSync(path.join(tree, file)));

export const nobodyBecomesRoot = ({ tree }: Subject): string[] =>
  ['usr', 'app', 'etc'].flatMap((below) => filesOf(tree, below).filter((file) => (lstatSync(path.join(tree, file)).mode & SET_ID) !== 0));

/** Sources that the programs read while they run, and no others: no test, no tool, nothing that somebody left in the checkout. */
export function sources({ tree, program }: Subject): string[] {
  const wanted = new Set([...ROOMS_OF[program].flatMap(sourcesOf), 'package.json', 'LICENSE'].map((file) => path.join('app', file)));
  const there = new Set(filesOf(tree, 'app').filter((file) => !file.startsWith('app/node_modules/')));
  return [
    ...[...wanted].filter((file) => !there.has(file)).map((file) => `${file} is missing`),
    ...[...there].filter((file) => !wanted.has(file)).map((file) => `${file} should not be there`),
  ];
}

function isElf(file: string): boolean {
  const head = Buffer.alloc(4);
  readSync(openSync(file, 'r'), head);
  return head.equals(Buffer.from('\x7fELF', 'latin1'));
}

/** Every library that any program or library asks for, for any architecture: what the loader of a cluster's node would look for. */
export function libraries({ tree }: Subject): string[] {
  const files = [...filesOf(tree, 'usr'), ...globSync('app/node_modules/**/*.node', { cwd: tree })].filter((file) =>
    isElf(path.join(tree, file)),
  );
  const names = new Set(
    ['usr/lib', 'usr/lib64'].flatMap((below) => globSync(`${below}/**/*.so*`, { cwd: tree })).map((file) => path.basename(file)),
  );
  return files.flatMap((file) => {
    const dynamic = execFileSync('readelf', ['--dynamic', '--wide', path.join(tree, file)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const needed = [...dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1] ?? '');
    return needed.filter((name) => !names.has(name)).map((name) => `${file} needs ${name}`);
  });
}

/** The bill says what lies there, each thing once, and nothing that does not. */
export function materials({ tree, materials: file, image }: Subject): string[] {
  const bill = JSON.parse(readFileSync(file, 'utf8')) as {
    metadata: { component: { hashes: { content: string }[] } };
    components: { 'bom-ref': string; name: string; version: string }[];
  };
  const told = bill.components.map(({ name, version }) => `${name} ${version}`).sort();
  const node = bill.components.find(({ name }) => name === 'node');
  const there = [...debianPackages(tree), ...npmPackages(tree), { name: 'node', version: node?.version }]
    .map(({ name, version }) => `${name} ${version}`)
    .sort();
  const references = new Set(bill.components.map((component) => component['bom-ref']));
  return [
    ...(JSON.stringify(told) === JSON.stringify(there) ? [] : [`it names ${told.length} things, ${there.length} are there`]),
    ...(references.size === bill.components.length ? [] : ['two things have one reference']),
    ...(image.id.endsWith(bill.metadata.component.hashes[0]?.content ?? '-') ? [] : ['it is of another image']),
  ];
}

/** With nothing configured each program tells all that is wrong and ends with 2: all its modules were found, as a user that may do nothing. */
const STARTS: Readonly<Record<ProgramName, readonly string[]>> = {
  operator: ['operator/main.ts', 'operator/certificates/main.ts'],
  agent: ['agent/main.ts', 'agent/holder/main.ts', 'agent/identity/main.ts'],
};

export async function starts({ program, tree, image }: Subject): Promise<string[]> {
  const wrong: string[] = [];
  for (const file of STARTS[program]) {
    const { code, output } = await run({
      tree,
      image: image.configuration,
      words: ['node', file],
      environment: { ETCD_ENDPOINTS: 'nonsense', HOLDER_SOCKET: 'nonsense' },
    });
    if (code !== 2 || !/problems? in the configuration, nothing started/.test(output)) wrong.push(`${file} ended with ${code}: ${output}`);
  }
  return wrong;
}

const ADDONS = `
  const koffi = require('koffi');
  const pid = koffi.load(null).func('int getpid()')();
  if (pid !== process.pid) throw new Error('koffi calls nothing');
  require('fs-native-extensions');
`;

/** What comes ready-made in packages, for the right processor. */
export async function addons({ tree, image, program }: Subject): Promise<string[]> {
  if (program === 'operator') return [];
  const { code, output } = await run({ tree, image: image.configuration, words: ['node', '--eval', ADDONS] });
  return code === 0 ? [] : [`ended with ${code}: ${output}`];
}

export async function calledPrograms({ tree, image, program, architecture }: Subject): Promise<string[]> {
  if (program === 'operator' || !isOurs(architecture)) return [];
  const wrong: string[] = [];
  for (const words of CALLED) {
    const { output } = await run({ tree, image: image.configuration, words });
    if (!/version|\d+\.\d+|usage/i.test(output) || /not found|error while loading|cannot open/.test(output))
      wrong.push(`${words.join(' ')}: ${output}`);
  }
  return wrong;
}

/** Nobody who broke in could leave anything, or ask for more than the program has. */
export async function rootIsReadOnly({ tree, image }: Subject): Promise<string[]> {
  const attempt = `try { require('fs').writeFileSync('/app/x', ''); console.log('wrote') } catch (error) { console.log(error.code) }`;
  if (!isOurs(image.configuration.architecture)) return [];
  const { output } = await run({ tree, image: image.configuration, words: ['node', '--eval', attempt] });
  return output.trim() === 'EROFS' ? [] : [output];
}
