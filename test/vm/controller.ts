/**
 * The other half of a CSI driver, as much of it as the standard tests of nodes need: volumes that are files, each served as soon as it is made. A process of its own:
 * the node's may read a device, and would wait for itself. `node controller.ts`.
 */
import { closeSync, ftruncateSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { NbdServer } from '../../agent/edge/nbdServer.ts';
import { silentLog } from '../../core/log.ts';
import { CsiError } from '../../edge/csi/codes.ts';
import type { ControllerService, ControllerServiceCapabilityRPCType } from '../../edge/csi/generated/csi.ts';
import { identity } from '../../edge/csi/identity.ts';
import { type CsiCall, startCsiServer } from '../../edge/csi/server.ts';
import { createMetrics } from '../../edge/metrics.ts';
import { CONTROLLER_SOCKET, fileOf, recordOf, socketOf } from './driver.ts';
import { quietEvents } from './events.ts';
import { FileDevice } from './fileDevice.ts';

const ABILITIES: readonly ControllerServiceCapabilityRPCType[] = [
  'CREATE_DELETE_VOLUME',
  'PUBLISH_UNPUBLISH_VOLUME',
  'EXPAND_VOLUME',
  'SINGLE_NODE_MULTI_WRITER',
];
const SIZE_BYTES = 64 * 1024 ** 2;

type Made = { id: string; server: NbdServer };

/** By the names that CSI gives. */
const volumes = new Map<string, Made>();
let made = 0;

const nameOf = (id: string): string | undefined => [...volumes].find(([, volume]) => volume.id === id)?.[0];

function resize(id: string, sizeBytes: number): void {
  const file = openSync(fileOf(id), 'a');
  ftruncateSync(file, sizeBytes);
  closeSync(file);
  writeFileSync(recordOf(id), JSON.stringify({ uid: `uid-${id}`, sizeBytes }));
}

const controller: Partial<ControllerService<CsiCall>> = {
  controllerGetCapabilities: async () => ({ capabilities: ABILITIES.map((type) => ({ rpc: { type } })) }),
  createVolume: async ({ name, capacityRange }) => {
    const sizeBytes = capacityRange?.requiredBytes || SIZE_BYTES;
    const id = volumes.get(name)?.id ?? `pvc-${++made}`;
    if (!volumes.has(name)) {
      resize(id, sizeBytes);
      const device = new FileDevice(id, `uid-${id}`, fileOf(id));
      volumes.set(name, { id, server: await NbdServer.listen({ device, socketPath: socketOf(id), events: quietEvents }) });
    }
    return { volume: { volumeId: id, capacityBytes: sizeBytes } };
  },
  deleteVolume: async ({ volumeId: id }) => {
    const name = nameOf(id);
    if (name === undefined) return {};
    await volumes.get(name)?.server.close();
    volumes.delete(name);
    for (const file of [recordOf(id), fileOf(id)]) rmSync(file);
    return {};
  },
  controllerPublishVolume: async ({ volumeId }) => {
    if (nameOf(volumeId) === undefined) throw new CsiError('NotFound', `there is no volume ${volumeId}`);
    return {};
  },
  controllerUnpublishVolume: async () => ({}),
  controllerExpandVolume: async ({ volumeId, capacityRange }) => {
    const sizeBytes = capacityRange?.requiredBytes ?? 0;
    resize(volumeId, sizeBytes);
    return { capacityBytes: sizeBytes, nodeExpansionRequired: true };
  },
};

const handlers = { Identity: identity('vm', () => null), Controller: controller };
await startCsiServer({ socket: CONTROLLER_SOCKET, handlers, metrics: createMetrics({ processMetrics: false }), log: silentLog });
