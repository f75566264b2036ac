/** Who may tell the kernel that others' writes wait for him: told by the kernel's own words of a process. */
import { expect } from 'chai';
import { mayFlush } from '../../../../agent/edge/ioFlusher.ts';

const status = (capabilities: string): string =>
  `Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t${capabilities}\nCapBnd:\t000001ffffffffff\n`;

describe('agent/edge: IO flusher', () => {
  it('needs CAP_SYS_RESOURCE among the capabilities in effect', () => {
    expect(mayFlush(status('000001ffffffffff'))).to.equal(true);
    expect(mayFlush(status('0000000001000000'))).to.equal(true);
    expect(mayFlush(status('000001fffeffffff'))).to.equal(false);
    expect(mayFlush(status('0000000000000000'))).to.equal(false);
    expect(mayFlush('Name:\tnode\n')).to.equal(false);
  });
});
