/** What `make images` was asked for, from its environment; every problem is told at once. Looks at nothing and starts nothing. */
import path from 'node:path';
import { CHECKOUT } from '../local/layout.ts';

export const PROGRAMS = ['operator', 'agent'] as const;
export type ProgramName = (typeof PROGRAMS)[number];

export const ARCHITECTURES = ['amd64', 'arm64'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** What npm calls them. */
export const NPM_CPU: Readonly<Record<Architecture, string>> = { amd64: 'x64', arm64: 'arm64' };

export type ImageSettings = {
  readonly architectures: readonly Architecture[];
  readonly programs: readonly ProgramName[];
  /** `registry/` before `holdfast-operator`. */
  readonly prefix: string;
  readonly tag: string;
  /** The image of the first stage; empty: made here from Debian packages. */
  readonly base: string;
  /** Where Debian packages come from; empty: where the base, or this machine, takes its own. */
  readonly mirror: string;
  readonly output: string;
  readonly cache: string;
  /** What earlier builds left is used: quicker, but what Debian has mended since is not in it, and the bytes are not the same as elsewhere. */
  readonly useCached: boolean;
};

const words = (text: string): string[] => text.split(/[\s,]+/).filter((word) => word !== '');

export function parseImageSettings(environment: NodeJS.ProcessEnv, version: string): ImageSettings {
  const problems: string[] = [];
  const among = <Name extends string>(key: string, names: readonly Name[], fallback: string): Name[] => {
    const asked = words(environment[key] || fallback);
    for (const word of asked) {
      if (!names.some((name) => name === word)) problems.push(`${key}=${word} must be of ${names.join(', ')}`);
    }
    return names.filter((name) => asked.includes(name));
  };
  const architectures = among('ARCH', ARCHITECTURES, 'amd64');
  const programs = among('PROGRAMS', PROGRAMS, PROGRAMS.join(' '));
  const tag = environment.TAG || version;
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(tag)) problems.push(`TAG=${tag} must be letters, digits, dots and dashes`);
  const prefix = (environment.REGISTRY || 'holdfast.local').replace(/\/+$/, '');
  if (!/^[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?$/.test(prefix)) problems.push(`REGISTRY=${prefix} must be a registry and a path in it`);
  if (problems.length > 0) throw new Error(`${problems.length} problems, nothing was built:\n  ${problems.join('\n  ')}`);
  return {
    architectures,
    programs,
    prefix: `${prefix}/`,
    tag,
    base: environment.BASE ?? '',
    mirror: environment.MIRROR ?? '',
    output: path.resolve(environment.OUT || path.join(CHECKOUT, '.local/images')),
    cache: path.resolve(environment.HOLDFAST_IMAGES_CACHE || '/var/cache/holdfast-images'),
    useCached: environment.CACHED === '1',
  };
}

export const imageName = (settings: ImageSettings, program: ProgramName): string => `${settings.prefix}holdfast-${program}:${settings.tag}`;
