/** What the benchmark says of what it measured: a page that flatters would be worse than none. */
import { expect } from 'chai';
import { parseReport, parseTimes } from '../../bench/fio.ts';
import { type Goal, judge, type SystemName } from '../../bench/goals.ts';
import { parseOptions } from '../../bench/options.ts';
import { goalTable, type Sample, throughputTables } from '../../bench/report.ts';
import { quantileOf, rotated, spreadOf } from '../../bench/statistics.ts';
import { WORKS } from '../../bench/works.ts';

const sample = (perSecond: number): Sample => ({
  perSecond,
  bytesPerSecond: perSecond * 4096,
  p99Microseconds: 10,
  cpuMicrosecondsPerOperation: 5,
});

describe('bench: statistics', () => {
  it('takes the middle one, or the mean of the two in the middle', () => {
    expect(spreadOf([3, 1, 100])).to.deep.equal({ median: 3, least: 1, most: 100 });
    expect(spreadOf([4, 1, 2, 100])).to.deep.equal({ median: 3, least: 1, most: 100 });
    expect(() => spreadOf([])).to.throw(RangeError);
  });

  it('gives of few values the largest as the 99th percentile', () => {
    expect(quantileOf([5, 9, 7], 0.99)).to.equal(9);
    expect(quantileOf([5, 9, 7], 0.5)).to.equal(7);
  });

  it('lets each system be the first once', () => {
    expect([0, 1, 2, 3].map((by) => rotated(['a', 'b', 'c'], by)[0])).to.deep.equal(['a', 'b', 'c', 'a']);
  });
});

describe('bench: goals', () => {
  const goals: Goal[] = [{ work: 'w', system: 'holdfast', against: 'quorum', factor: 1.5 }];
  const medians = (values: Partial<Record<SystemName, number>>) => (_: string, system: SystemName) => values[system] ?? null;

  it('is met from the factor on, and missed below it', () => {
    expect(judge(goals, medians({ holdfast: 15, quorum: 10 }))[0]?.isMet).to.equal(true);
    expect(judge(goals, medians({ holdfast: 14.9, quorum: 10 }))[0]?.isMet).to.equal(false);
  });

  it('says of what was not measured neither', () => {
    expect(judge(goals, medians({ holdfast: 15 }))[0]).to.include({ ratio: null, isMet: null });
  });

  it('shows a missed goal as missed', () => {
    const samples = (_: string, system: SystemName) => (system === 'quorum' ? [sample(100)] : system === 'holdfast' ? [sample(90)] : []);
    const page = goalTable(
      WORKS.filter(({ name }) => name === 'randwrite-qd16'),
      samples,
    );
    expect(page).to.include('| 0.90 x | >= 1.5 x | **missed** |');
    expect(page).to.include('not measured');
  });

  it('shows median and spread of a system, and a dash for one that was not measured', () => {
    const samples = (_: string, system: SystemName) => (system === 'quorum' ? [sample(100), sample(300), sample(200)] : []);
    const page = throughputTables(WORKS.slice(0, 1), ['quorum', 'gluster'], samples);
    expect(page).to.include('| 200 (100..300) | - |');
  });
});

describe('bench: fio', () => {
  const direction = { total_ios: 7, iops: 3.5, bw_bytes: 4096, clat_ns: { max: 5_000_000, percentile: { '99.000000': 2_000 } } };
  const none = { total_ios: 0, iops: 0, bw_bytes: 0, clat_ns: { max: 0 } };

  it('finds the report behind what engines print', () => {
    const output = `the async interface is experimental\n${JSON.stringify({ jobs: [{ read: none, write: direction, error: 0 }] })}`;
    expect(parseReport(output, 'write')).to.deep.equal({
      operations: 7,
      perSecond: 3.5,
      bytesPerSecond: 4096,
      p99Microseconds: 2,
      longestMilliseconds: 5,
    });
  });

  it('takes a job that failed for no result', () => {
    const output = JSON.stringify({ jobs: [{ read: none, write: none, error: 5 }] });
    expect(() => parseReport(output, 'write')).to.throw('fio failed');
  });

  it("adds up the shell's times of its children", () => {
    expect(parseTimes('warning\n0m0.00s 0m0.01s\n1m1.50s 0m0.25s\n')).to.equal(61_750_000);
  });
});

describe('bench: options', () => {
  it('measures everything unless told otherwise', () => {
    const options = parseOptions({ WORKS: '', SECONDS: '' });
    expect(options.works).to.have.length(WORKS.length);
    expect(options).to.include({ seconds: 6, repetitions: 3 });
  });

  it('names all problems at once', () => {
    expect(() => parseOptions({ WORKS: 'randwrite-qd16, walk', REPETITIONS: '0' })).to.throw(/walk[\s\S]*REPETITIONS/);
  });
});
