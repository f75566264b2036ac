/** Certificates for a test, in a directory of its own that the test removes. Made as those of the local cluster are. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TlsFiles } from '../../edge/tls.ts';
import { Authority } from '../../tools/local/certificates.ts';

const LOOPBACK = ['localhost', '127.0.0.1', '::1'];

export type TestAuthority = {
  /** A certificate for this common name, good on the loopback addresses; a new one at each call. */
  issue(commonName: string): Promise<TlsFiles>;
  remove(): Promise<void>;
};

export async function createAuthority(commonName = 'holdfast-test'): Promise<TestAuthority> {
  const directory = await mkdtemp(path.join(tmpdir(), 'holdfast-certificates-'));
  const authority = await Authority.open(directory, commonName);
  let issued = 0;
  return {
    async issue(name) {
      const place = path.join(directory, `${issued++}`);
      await mkdir(place);
      return authority.issue(place, { commonName: name, organizations: [] }, LOOPBACK);
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
