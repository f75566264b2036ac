/** What this agent serves, as the CSI node sees it: by a volume's name, from what is told to etcd. Pure. */
import { join } from 'node:path';
import type { ServingReport } from '../../core/machine.ts';
import type { ServedVolumes } from './ports.ts';

export const servedBy = (reports: { at(socket: string): ServingReport | null }, runDirectory: string): ServedVolumes => ({
  find(name) {
    const socket = join(runDirectory, `${name}.sock`);
    const report = reports.at(socket);
    if (report === null || report.sizeBytes === undefined) return null;
    const trouble = report.state === 'serving' ? null : `I/O waits: ${report.reason ?? report.state}`;
    return { uid: report.uid, socket, sizeBytes: report.sizeBytes, trouble };
  },
});
