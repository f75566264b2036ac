/** Which code does what each route of the table says. */

import type { Resource } from '../api.ts';
import type { Access } from './access.ts';
import { LongPolls } from './longPoll.ts';
import { Objects } from './objects.ts';
import { openApiDocument } from './openapi.ts';
import type { ApiPorts, ApiRequest, Operation } from './ports.ts';
import type { OperationName } from './routes.ts';
import { SettingsOperations } from './settings.ts';
import { Tasks } from './tasks.ts';

export function operations(ports: ApiPorts, access: Access, version: string): Record<OperationName, Operation> {
  const polls = new LongPolls(ports);
  const tasks = new Tasks(ports, access);
  const settings = new SettingsOperations(ports, access);
  const document = openApiDocument(version);
  const of = (resource: Resource) => {
    const objects = new Objects(ports, resource);
    return {
      objects,
      list: (request: ApiRequest) =>
        request.parameters.watch === true ? polls.changes(resource, objects, request) : objects.list(request),
      get: (request: ApiRequest) => objects.get(request),
      create: (request: ApiRequest) => objects.create(request),
      patch: (request: ApiRequest) => objects.patch(request),
      remove: (request: ApiRequest) => objects.delete(request),
    };
  };
  const [volumes, nodes, snapshots] = [of('volumes'), of('storagenodes'), of('snapshots')];
  return {
    listVolumes: volumes.list,
    createVolume: volumes.create,
    getVolume: volumes.get,
    patchVolume: volumes.patch,
    deleteVolume: volumes.remove,
    waitForVolume: (request) => polls.phase(volumes.objects, request),
    listNodes: nodes.list,
    getNode: nodes.get,
    patchNode: nodes.patch,
    deleteNode: nodes.remove,
    listSnapshots: snapshots.list,
    createSnapshot: snapshots.create,
    getSnapshot: snapshots.get,
    patchSnapshot: snapshots.patch,
    deleteSnapshot: snapshots.remove,
    listTasks: (request) => tasks.list(request),
    getTask: (request) => tasks.get(request),
    getSettings: (request) => settings.get(request),
    replaceSettings: (request) => settings.replace(request),
    document: async () => ({ status: 200, body: document }),
  };
}
