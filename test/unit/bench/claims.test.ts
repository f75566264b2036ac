/** What is measured of claims: pgbench's own words, and the judgement by the medians. */
import { expect } from 'chai';
import { parseClaimOptions, parsePgbenchOptions } from '../../bench/options.ts';
import { parseTransactions, type TransactionSample, transactionGoal, transactionTable } from '../../bench/transactions.ts';

const OUTPUT = `pgbench (15.18 (Debian 15.18-0+deb12u1))
transaction type: <builtin: TPC-B (sort of)>
scaling factor: 10
query mode: simple
number of clients: 4
number of threads: 1
maximum number of tries: 1
duration: 8 s
number of transactions actually processed: 3210
number of failed transactions: 0 (0.000%)
latency average = 9.968 ms
initial connection time = 7.415 ms
tps = 401.284112 (without initial connection time)
`;

const sample = (perSecond: number): TransactionSample => ({
  perSecond,
  count: perSecond * 10,
  latencyMs: 4,
  systemCpuMicroseconds: perSecond * 5_000,
  deviceCpuMicroseconds: perSecond * 2_000,
});

describe('bench: pgbench', () => {
  it('takes transactions and latency from what pgbench says', () => {
    expect(parseTransactions(OUTPUT)).to.deep.equal({ count: 3210, perSecond: 401.284112, latencyMs: 9.968 });
  });

  it('takes failed transactions, or an output that breaks off, for no result', () => {
    expect(() => parseTransactions(OUTPUT.replace('transactions: 0 (', 'transactions: 3 ('))).to.throw('transactions failed');
    expect(() => parseTransactions(OUTPUT.split('tps')[0] ?? '')).to.throw('pgbench did not say');
  });

  it('shows median and spread, and processor time by the transaction', () => {
    const page = transactionTable(new Map([['quorum', [sample(100), sample(300), sample(200)]]]));
    expect(page).to.include('| transactions a second | 200 (100..300) |');
    expect(page).to.include('µs a transaction | 500 (500..500) |');
  });

  it('judges by the medians, and says nothing where one of both was not measured', () => {
    const page = (holdfast: number) =>
      transactionGoal(
        new Map([
          ['quorum', [sample(100), sample(900), sample(100)]],
          ['holdfast', [sample(holdfast), sample(1), sample(holdfast)]],
        ]),
      );
    expect(page(100)).to.include('| 1.00 x | >= 1 x | met |');
    expect(page(99)).to.include('| 0.99 x | >= 1 x | **missed** |');
    expect(transactionGoal(new Map([['holdfast', [sample(100)]]]))).not.to.include('x |');
  });
});

describe('bench: options of claims', () => {
  it('has a default for everything, and leaves TLS to who asks for it', () => {
    expect(parsePgbenchOptions({})).to.deep.include({ systems: ['single', 'quorum', 'holdfast'], clients: 4, scale: 10 });
    expect(parsePgbenchOptions({ SYSTEMS: 'holdfast-tls' }).systems).to.deep.equal(['holdfast-tls']);
    expect(parseClaimOptions({})).to.deep.equal({ claims: 20, sizeBytes: 10 * 2 ** 30, atOnce: 200, sizeAtOnceBytes: 2 ** 30 });
  });

  it('names all problems at once', () => {
    expect(() => parsePgbenchOptions({ SYSTEMS: 'gluster', CLIENTS: '0' })).to.throw(/there is no gluster.*\n.*CLIENTS/s);
  });
});
