/**
 * `make bench`: Holdfast beside qemu's quorum driver, GlusterFS and one plain copy, in one run on one machine; prints the page that is kept in RESULTS.md.
 * Judges by the goals, changes nothing, leaves nothing behind.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { SystemName } from './goals.ts';
import { measureIdle } from './idle.ts';
import { measureKill } from './kill.ts';
import { commit, load, machine, versionOf } from './machine.ts';
import { measure } from './measure.ts';
import { type Options, parseOptions } from './options.ts';
import { goalTable, type Line, lineTable, throughputTables } from './report.ts';
import { measureResync } from './resync.ts';
import { Gluster } from './systems/gluster.ts';
import { Holdfast, HoldfastVolume } from './systems/holdfast.ts';
import { Quorum } from './systems/quorum.ts';
import { SingleCopy } from './systems/single.ts';
import type { System } from './systems/system.ts';
import { measureVanish } from './vanish.ts';
import type { OtherWork } from './works.ts';

const say = (line: string): void => console.error(line);

/** Those of the wanted systems that this machine has; what it lacks is said. */
function makeSystems(directory: string, { systems, sizeBytes, agentEnvironment }: Options): System[] {
  const nbdkit = versionOf('nbdkit');
  const qemu = versionOf('qemu-nbd');
  const gluster = versionOf('glusterd');
  const volume = new HoldfastVolume(sizeBytes, agentEnvironment);
  const make: Record<SystemName, () => System | null> = {
    single: () => (nbdkit ? new SingleCopy(directory, sizeBytes, nbdkit) : null),
    quorum: () => (nbdkit && qemu ? new Quorum(directory, sizeBytes, `${qemu}, ${nbdkit}`) : null),
    gluster: () => (gluster ? new Gluster(directory, gluster) : null),
    holdfast: () => new Holdfast('holdfast', volume, 'this commit'),
    'holdfast-tls': () => new Holdfast('holdfast-tls', volume, 'this commit'),
  };
  return systems.flatMap((name) => {
    const system = make[name]();
    if (system === null) say(`${name} is not installed here, so it is not measured`);
    return system ?? [];
  });
}

async function fioWorks(directory: string, options: Options): Promise<string[]> {
  const systems = makeSystems(directory, options);
  try {
    const samples = await measure(systems, options, say);
    const names = systems.map(({ name }) => name);
    return [
      ...systems.map(({ name, version }) => `- ${name}: ${version}`),
      `- ${versionOf('fio')}: ${options.repetitions} repetitions of ${options.seconds} s, each behind ${options.warmUpSeconds} s of warm-up, volumes of ${options.sizeBytes / 2 ** 20} MiB, written once before`,
      '',
      throughputTables(options.works, names, samples),
      '',
      goalTable(options.works, samples),
    ];
  } finally {
    for (const system of systems) await system.remove();
  }
}

const OTHERS: Record<OtherWork, (options: Options) => Promise<Line[]>> = {
  resync: (options) => measureResync(options, say),
  kill: (options) => measureKill(options, say),
  vanish: () => measureVanish(say),
  idle: (options) => measureIdle(options, say),
};

async function otherWorks(options: Options): Promise<string[]> {
  const pages: string[] = [];
  for (const name of options.others) {
    say(name);
    pages.push('', `**${name}**`, '', lineTable(await OTHERS[name](options)));
  }
  return pages;
}

const options = parseOptions(process.env);
const directory = mkdtempSync(path.join(tmpdir(), 'hf-bench-'));
try {
  const head = [`Commit ${commit()}, ${new Date().toISOString()}, load before: ${load()}`, '', machine(directory), ''];
  const pages = options.works.length > 0 ? await fioWorks(directory, options) : [];
  console.log([...head, ...pages, ...(await otherWorks(options))].join('\n'));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
