/** What primaries wrote beside the leader's configs: what the leader takes of it, what it says of it, and what it removes. */
import { expect } from 'chai';
import { withInSync } from '../../../../core/config.ts';
import type { Entry } from '../../../../core/store.ts';
import { gatherStoredConfigs } from '../../../../operator/observe/gather.ts';
import { configPart, removedConfigPart } from '../../../../operator/volume/decision.ts';
import { config, KEYS, replica, UID } from '../../../support/operator/builders.ts';
import { primary } from '../../../support/operator/decisions.ts';

const LEADERS = config({ primary: primary('a') });
const MADE = withInSync(LEADERS, 0, [...'ab'].map(replica));
const entries = (values: Record<string, unknown>): Map<string, Entry> =>
  new Map(
    Object.entries(values).map(
      ([key, value], index) => [key, { key, value: JSON.stringify(value), revision: String(index + 70) }] as const,
    ),
  );

const stored = (primaries: Record<string, unknown>, leaders = LEADERS) => {
  const found = gatherStoredConfigs(KEYS, { volumes: entries({ [KEYS.volume(UID)]: leaders }), primaries: entries(primaries) }).get(UID);
  if (!found) throw new Error('no config');
  return found;
};
const deleted = (changes: readonly object[]) => changes.flatMap((change) => ('delete' in change ? [change.delete] : []));

describe('operator: what primaries wrote', () => {
  it('is taken over by the next change, which compares and removes it', () => {
    const found = stored({ [KEYS.primary('node-a', UID)]: { base: LEADERS.version, config: MADE } });
    expect(found.value).to.deep.equal(MADE);
    const { conditions, changes } = configPart(KEYS, found, { ...MADE, version: MADE.version + 1 });
    expect(conditions).to.deep.equal([
      { key: KEYS.volume(UID), is: 'revision', revision: '70' },
      { key: KEYS.primary('node-a', UID), is: 'revision', revision: '70' },
    ]);
    expect(deleted(changes)).to.deep.equal([KEYS.primary('node-a', UID)]);
  });

  it('is looked out for also where nothing was written yet', () => {
    const { conditions, changes } = configPart(KEYS, stored({}), { ...LEADERS, version: LEADERS.version + 1 });
    expect(conditions).to.deep.include({ key: KEYS.primary('node-a', UID), is: 'absent' });
    expect(deleted(changes)).to.deep.equal([]);
    expect(configPart(KEYS, stored({}, config()), config({ version: 6 })).conditions.length, 'nobody is named').to.equal(1);
  });

  it('counts for nothing from a node that is not named, and is removed', () => {
    const found = stored({ [KEYS.primary('node-x', UID)]: { base: LEADERS.version, config: MADE } });
    expect(found.value).to.deep.equal(LEADERS);
    expect(deleted(configPart(KEYS, found, { ...LEADERS, version: 6 }).changes)).to.deep.equal([KEYS.primary('node-x', UID)]);
    expect(deleted(removedConfigPart(KEYS, found).changes)).to.include(KEYS.primary('node-x', UID));
  });

  it('when it let go: the pointer of its node, without a replica, goes with the next change', () => {
    const leaders = config({ primary: primary('e') });
    const found = stored({ [KEYS.primary('node-e', UID)]: { base: 5, config: { ...leaders, version: 6, primary: null } } }, leaders);
    expect(found.value.primary).to.equal(null);
    const { changes } = configPart(KEYS, found, { ...found.value, version: 7, epoch: 2, primary: primary('a') });
    expect(deleted(changes)).to.have.members([KEYS.primary('node-e', UID), KEYS.pointer('node-e', UID), KEYS.bell('node-e', UID)]);
    expect(deleted(removedConfigPart(KEYS, found).changes)).to.include.members([KEYS.primary('node-e', UID), KEYS.pointer('node-e', UID)]);
  });
});
