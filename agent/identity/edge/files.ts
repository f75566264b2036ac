/**
 * The three files of an identity, exchanged together: they are links through one link to a directory, and that one is renamed. Must never leave a mixture of two
 * identities, whatever is killed when.
 */
import { chmod, mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { systemRandom } from '../../../core/random.ts';
import type { Held } from '../keeper.ts';

const FILES = ['ca.crt', 'tls.crt', 'tls.key'] as const;
const CURRENT = '..current';
const GENERATION = /^\.\.generation-[0-9a-f]+$/;
const SECRET = 0o600;

export class IdentityFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Null: not all of it is there. */
  async held(): Promise<Held | null> {
    try {
      const [ca, certificate, key] = await Promise.all(FILES.map((file) => readFile(path.join(this.#directory, file), 'utf8')));
      return ca === undefined || certificate === undefined || key === undefined ? null : { ca, certificate, key };
    } catch {
      return null;
    }
  }

  /** A crash behind any step leaves the old identity whole, or the new one; what is left over goes at the next. */
  async keep({ ca, certificate, key }: Held): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    const generation = `..generation-${systemRandom.hex(8)}`;
    const place = path.join(this.#directory, generation);
    await mkdir(place, { mode: 0o700 });
    await writeFile(path.join(place, 'ca.crt'), ca);
    await writeFile(path.join(place, 'tls.crt'), certificate);
    await writeFile(path.join(place, 'tls.key'), key, { mode: SECRET });
    await chmod(path.join(place, 'tls.key'), SECRET);
    const fresh = path.join(this.#directory, `${CURRENT}.${generation}`);
    await symlink(generation, fresh);
    await rename(fresh, path.join(this.#directory, CURRENT));
    // The certificate's name last: where it is, the other two are.
    for (const file of ['ca.crt', 'tls.key', 'tls.crt']) await this.#link(file);
    await this.#tidy();
  }

  async #link(file: string): Promise<void> {
    const target = path.join(CURRENT, file);
    const place = path.join(this.#directory, file);
    if ((await readlink(place).catch(() => null)) === target) return;
    await rm(`${place}.new`, { force: true });
    await symlink(target, `${place}.new`);
    await rename(`${place}.new`, place);
  }

  async #tidy(): Promise<void> {
    const current = await readlink(path.join(this.#directory, CURRENT));
    for (const name of await readdir(this.#directory)) {
      if (GENERATION.test(name) && name !== current) await rm(path.join(this.#directory, name), { recursive: true, force: true });
      if (name.startsWith(`${CURRENT}.`)) await rm(path.join(this.#directory, name), { force: true });
    }
  }
}
