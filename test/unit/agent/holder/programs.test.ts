/** The words that carry a FUSE device: to the very volume, for ever, as large as it is. */
import { expect } from 'chai';
import type { Wish } from '../../../../agent/holder/ports.ts';
import { isZombie, losetupWords, nbdfuseWords, nbdkitWords } from '../../../../agent/holder/programs.ts';

const WISH: Wish = { name: 'pgdata', uid: 'uid-1', socket: '/run/pgdata.sock', sizeBytes: 4096, readonly: false };
const READ_ONLY = { ...WISH, readonly: true };

describe('agent/holder: programs', () => {
  it('nbdkit asks for the volume by its uid, never by its name, and goes on for ever', () => {
    const words = nbdkitWords(WISH, '/between');
    expect(words).to.include.members(['socket=/run/pgdata.sock', 'export=uid-1@growing', 'retry-exponential=no', 'retry-delay=1']);
    expect(words.join(' ')).not.to.contain('export=pgdata');
    const retries = Number(words.find((word) => word.startsWith('retries='))?.slice('retries='.length));
    expect(retries / (365 * 86_400), 'years').to.be.within(50, 2 ** 31 / (365 * 86_400));
    expect(words.indexOf('--filter=retry'), 'options stand before the plugin').to.be.lessThan(words.indexOf('nbd'));
    expect(words.slice(words.indexOf('--unix'), words.indexOf('--unix') + 2)).to.deep.equal(['--unix', '/between']);
  });

  it('nbdfuse makes the file of what nbdkit has', () => {
    expect(nbdfuseWords(WISH, '/file', '/between')).to.deep.equal(['/file', '--unix', '/between']);
  });

  it('the loop device is as large as the volume, and keeps nothing back', () => {
    expect(losetupWords(WISH, '/file')).to.deep.equal(['--find', '--show', '--direct-io=on', '--sizelimit', '4096', '/file']);
    // No exponent: losetup would read 1 of 1e+21.
    expect(losetupWords({ ...WISH, sizeBytes: 16 * 1024 ** 4 }, '/file')).to.include('17592186044416');
  });

  it('all three know that it is read-only', () => {
    expect(nbdkitWords(READ_ONLY, '/between').indexOf('--readonly')).to.be.within(0, nbdkitWords(READ_ONLY, '/between').indexOf('nbd'));
    expect(nbdfuseWords(READ_ONLY, '/file', '/between')[0]).to.equal('--readonly');
    expect(losetupWords(READ_ONLY, '/file')).to.include('--read-only');
    for (const words of [nbdkitWords(WISH, '/b'), nbdfuseWords(WISH, '/f', '/b'), losetupWords(WISH, '/f')])
      expect(words.filter((word) => word.includes('read'))).to.deep.equal([]);
  });

  for (const [stat, expected] of [
    ['123 (nbdkit) S 1 123', false],
    ['123 (nbdkit) Z 1 123', true],
    ['123 (a) Z (b) S 1 123', false],
    ['123 (new\nline) Z 1 123', true],
    ['123 (nbdkit) D 1 123', false],
  ] as const)
    it(`${JSON.stringify(stat)} is ${expected ? '' : 'not '}of one that has ended`, () => {
      expect(isZombie(stat)).to.equal(expected);
    });
});
