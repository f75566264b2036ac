/** Which way devices are made. */
import { expect } from 'chai';
import { chooseBackend } from '../../../../agent/holder/choose.ts';
import type { Backend, Way } from '../../../../agent/holder/ports.ts';
import { holderSettings } from '../../../../agent/holder/settings.ts';
import { silentLog } from '../../../../core/log.ts';
import { ConfigurationError } from '../../../../core/parameters.ts';

const backend = (way: Way, reason: string | null): Backend => ({ way, unfit: async () => reason }) as unknown as Backend;
const ways = (nbd: string | null, fuse: string | null): Backend[] => [backend('nbd', nbd), backend('fuse', fuse)];
const chosen = (wanted: Way | 'auto', of: Backend[]): Promise<string> =>
  chooseBackend(wanted, of, silentLog).then(
    ({ preferred, others }) => [preferred, ...others].map(({ way }) => way).join(' '),
    (error: unknown) => (error instanceof ConfigurationError ? error.message : `unexpected: ${error}`),
  );

describe('agent/holder: which way', () => {
  it("takes the kernel's nbd where there is one, else FUSE, and keeps the other for what it made", async () => {
    expect(await chosen('auto', ways(null, null))).to.equal('nbd fuse');
    expect(await chosen('auto', ways('no module', null))).to.equal('fuse nbd');
  });

  it('takes what was asked for, or says why it cannot', async () => {
    expect(await chosen('fuse', ways(null, null))).to.equal('fuse nbd');
    expect(await chosen('nbd', ways('no module', null))).to.match(/ATTACH_WAY.*no module/s);
    expect(await chosen('auto', ways('no module', 'no /dev/fuse'))).to.match(/nbd: no module; fuse: no \/dev\/fuse/);
  });

  it('is set by words, and a connection may be dead for a day', () => {
    const settings = (more: Record<string, string>) => holderSettings({ NODE_NAME: 'a', ...more });
    expect(settings({})).to.include({ way: 'auto', deadConnectionSeconds: 86_400 });
    expect(settings({ ATTACH_WAY: 'nbd', DEAD_CONNECTION_SECONDS: '600' })).to.include({ way: 'nbd', deadConnectionSeconds: 600 });
    expect(() => settings({ ATTACH_WAY: 'iscsi', DEAD_CONNECTION_SECONDS: '0' })).to.throw(ConfigurationError, /iscsi|0/);
  });
});
