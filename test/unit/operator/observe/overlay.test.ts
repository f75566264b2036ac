import { expect } from 'chai';
import type { Entry } from '../../../../core/store.ts';
import { Overlay } from '../../../../operator/observe/overlay.ts';

const entry = (key: string, value: string, revision: string): [string, Entry] => [key, { key, value, revision }];
const view = (...entries: [string, Entry][]): Map<string, Entry> => new Map(entries);
const shown = (overlay: Overlay, entries: Map<string, Entry>, nowMs = 0): string[] =>
  [...overlay.over('/v/', entries, nowMs).values()].map(({ key, value, revision }) => `${key}=${value}@${revision}`);

describe('operator: our own changes over a view that is behind', () => {
  it('shows what was written before the view does, with the revision to compare', () => {
    const overlay = new Overlay();
    overlay.record(
      [{ put: '/v/a', value: 'new' }, { put: '/v/b', value: 'made' }, { delete: '/v/c' }, { put: '/other/x', value: '1' }],
      '10',
      0,
    );
    const behind = view(entry('/v/a', 'old', '3'), entry('/v/c', 'old', '4'), entry('/v/d', 'same', '5'));
    expect(shown(overlay, behind)).to.deep.equal(['/v/a=new@10', '/v/d=same@5', '/v/b=made@10']);
  });

  it('gives way to what is newer: somebody changed it since, or made it again', () => {
    const overlay = new Overlay();
    overlay.record([{ put: '/v/a', value: 'ours' }, { delete: '/v/b' }], '10', 0);
    expect(shown(overlay, view(entry('/v/a', 'theirs', '11'), entry('/v/b', 'again', '12')))).to.deep.equal([
      '/v/a=theirs@11',
      '/v/b=again@12',
    ]);
    expect(overlay.size).to.equal(0);
  });

  it('compares revisions as numbers', () => {
    const overlay = new Overlay();
    overlay.record([{ put: '/v/a', value: 'ours' }], '10', 0);
    expect(shown(overlay, view(entry('/v/a', 'older', '9')))).to.deep.equal(['/v/a=ours@10']);
  });

  it('forgets what the view has caught up with', () => {
    const overlay = new Overlay();
    overlay.record([{ put: '/v/a', value: 'ours' }, { delete: '/v/b' }], '10', 0);
    shown(overlay, view(entry('/v/a', 'ours', '10')));
    expect(overlay.size).to.equal(0);
  });

  it('believes a view that goes on without it', () => {
    const overlay = new Overlay();
    overlay.record([{ put: '/v/a', value: 'ours' }], '10', 0);
    expect(shown(overlay, view(), 10_000)).to.deep.equal(['/v/a=ours@10']);
    expect(shown(overlay, view(), 10_001)).to.deep.equal([]);
    expect(overlay.size).to.equal(0);
  });
});
