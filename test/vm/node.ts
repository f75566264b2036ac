/** The agent's own CSI node with the real holder and the real machine, of volumes that `controller.ts` serves. `node node.ts`. */
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { HolderClient } from '../../agent/csi/edge/holderClient.ts';
import { MachineMounts } from '../../agent/csi/edge/mounts.ts';
import { nodeService } from '../../agent/csi/node.ts';
import type { NodePorts, ServedVolume } from '../../agent/csi/ports.ts';
import { type VolumeUid, volumeUid } from '../../core/ids.ts';
import { silentLog } from '../../core/log.ts';
import { identity } from '../../edge/csi/identity.ts';
import { startCsiServer } from '../../edge/csi/server.ts';
import { createMetrics } from '../../edge/metrics.ts';
import { NODE_SOCKET, recordOf, socketOf } from './driver.ts';
import { HOLDER_SOCKET } from './processes.ts';

function find(name: string): ServedVolume | null {
  if (!existsSync(recordOf(name))) return null;
  const { uid, sizeBytes } = JSON.parse(readFileSync(recordOf(name), 'utf8')) as { uid: string; sizeBytes: number };
  return { uid: volumeUid(uid), socket: socketOf(name), sizeBytes, trouble: null };
}

const ports: NodePorts = {
  node: 'guest',
  zone: '',
  served: { find },
  whereabouts: async (uid: VolumeUid) => (find(uid.slice('uid-'.length)) === null ? 'elsewhere' : 'here'),
  holder: new HolderClient(HOLDER_SOCKET),
  mounts: new MachineMounts(),
  sleep: (forMs, signal) => sleep(forMs, undefined, { signal }).catch(() => undefined),
};
const handlers = { Identity: identity('vm', () => null), Node: nodeService(ports, () => undefined) };
await startCsiServer({ socket: NODE_SOCKET, handlers, metrics: createMetrics({ processMetrics: false }), log: silentLog });
