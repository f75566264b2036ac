import { expect } from 'chai';
import type { Etcd3, IRangeRequest } from 'etcd3';
import { isOperatingError, OperatingError } from '../../../core/errors.ts';
import { endOf, listEntries, type Reads } from '../../../edge/etcd/store.ts';

const COMPACTED = '11 OUT_OF_RANGE: etcdserver: mvcc: required revision has been compacted';

/** An etcd that always has more, up to so many pages; its revision rises with every read that names none. */
function pagesOf(pages: number, failAt: (request: number) => boolean = () => false) {
  const requests: IRangeRequest[] = [];
  let revision = 100;
  const range = async (request: IRangeRequest) => {
    requests.push(request);
    if (failAt(requests.length)) throw new Error(COMPACTED);
    const after = /(\d+)\0$/.exec(String(request.key))?.[1];
    const page = after === undefined ? 0 : Number(after) + 1;
    const key = Buffer.from(`/v/${page}`);
    if (request.revision === undefined) revision++;
    return { header: { revision: `${revision}` }, more: page < pages - 1, kvs: [{ key, value: Buffer.from('x'), mod_revision: '7' }] };
  };
  const reads: Reads = {
    read: async (attempted, run) => {
      try {
        return await run({ kv: { range } } as unknown as Etcd3, { deadline: 0 });
      } catch (cause) {
        throw new OperatingError('Unavailable', attempted, 'refused', { cause });
      }
    },
  };
  return { reads, requests };
}

describe('a listing', () => {
  it("of several pages is of the first one's revision, each page after the last key", async () => {
    const { reads, requests } = pagesOf(3);
    const { entries, revision } = await listEntries(reads, '/v/');
    expect(entries.map(({ key }) => key)).to.deep.equal(['/v/0', '/v/1', '/v/2']);
    expect(revision).to.equal('101');
    expect(requests.map((request) => [String(request.key), request.revision])).to.deep.equal([
      ['/v/', undefined],
      ['/v/0\0', '101'],
      ['/v/1\0', '101'],
    ]);
    expect(requests.map(({ range_end }) => String(range_end))).to.deep.equal(['/v0', '/v0', '/v0']);
  });

  it('begins again, once, when its revision was compacted away meanwhile', async () => {
    const { reads, requests } = pagesOf(2, (request) => request === 2);
    const { revision } = await listEntries(reads, '/v/');
    expect(revision).to.equal('102');
    expect(requests[2]?.revision).to.equal(undefined);
    const always = pagesOf(2, (request) => request % 2 === 0);
    const error = await listEntries(always.reads, '/v/').catch((reason: unknown) => reason);
    expect(isOperatingError(error, 'Unavailable')).to.equal(true);
    expect(always.requests).to.have.length(4);
  });

  it('needs a prefix', () => {
    expect(() => endOf('')).to.throw('not a prefix');
    expect(endOf('/v/').toString()).to.equal('/v0');
  });
});
