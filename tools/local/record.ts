/**
 * What a local cluster remembers between two calls (`cluster.json`): how many nodes and operators it has, and which port is whose, so that a
 * process started again is found where it was. Knows nothing of processes; whether they live is asked of the system, never remembered.
 */
import path from 'node:path';
import { LocalClusterError } from './errors.ts';
import { readIfThere, writeWhole } from './files.ts';

const RECORD_VERSION = 1;

export type ClusterRecord = {
  version: typeof RECORD_VERSION;
  nodes: number;
  operators: number;
  /** `<program>/<name>/<use>` to port. */
  ports: Record<string, number>;
};

function recordFile(directory: string): string {
  return path.join(directory, 'cluster.json');
}

/** The record of a cluster that was started here, or that of an empty one. */
export function readRecord(directory: string): ClusterRecord {
  const text = readIfThere(recordFile(directory));
  if (text === undefined) {
    return { version: RECORD_VERSION, nodes: 0, operators: 0, ports: {} };
  }
  const record = JSON.parse(text) as ClusterRecord;
  if (record.version !== RECORD_VERSION) {
    throw new LocalClusterError(`${recordFile(directory)} was written by another version of this program: run make down, then make up.`);
  }
  return record;
}

export function writeRecord(directory: string, record: ClusterRecord): void {
  writeWhole(recordFile(directory), `${JSON.stringify(record, null, 2)}\n`);
}
