/**
 * SQLite at work, as a process of its own: `node commits.ts DATABASE FIRST` commits rows one by one from number FIRST on, and after each commit
 * that SQLite has acknowledged (synchronous=FULL: it is flushed) prints its number and the digest of its content. Ends when it cannot go on.
 */
import { createHash, randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

const PAYLOAD_BYTES = 600;

export const digestOf = (payload: Uint8Array): string => createHash('sha256').update(payload).digest('hex');

function commitForEver(file: string, first: number): never {
  const database = new DatabaseSync(file);
  database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;');
  database.exec('CREATE TABLE IF NOT EXISTS ledger (number INTEGER PRIMARY KEY, payload BLOB NOT NULL)');
  // Or replace: the last commit before a failover may be there although nobody was told; it was never promised, and its number comes again.
  const insert = database.prepare('INSERT OR REPLACE INTO ledger VALUES (?, ?)');
  for (let number = first; ; number++) {
    const payload = randomBytes(PAYLOAD_BYTES);
    insert.run(number, payload);
    writeSync(1, `${number} ${digestOf(payload)}\n`);
  }
}

/** What is in the database: whether SQLite finds it sound, and the digest of each row. */
export function readLedger(file: string): { verdict: string; digests: Map<number, string> } {
  const database = new DatabaseSync(file);
  try {
    const verdict = String(database.prepare('PRAGMA integrity_check').get()?.integrity_check);
    const rows = database.prepare('SELECT number, payload FROM ledger').all();
    return { verdict, digests: new Map(rows.map((row) => [Number(row.number), digestOf(row.payload as Uint8Array)])) };
  } finally {
    database.close();
  }
}

if (process.argv[1] === import.meta.filename) {
  const [, , file = '', first = '1'] = process.argv;
  commitForEver(file, Number(first));
}
