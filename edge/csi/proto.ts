/** How the Container Storage Interface is read from its own file: the one place where its names become ours (camelCase, numbers, names of enums). */
import { join } from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** Sizes are numbers: exact up to 8 PiB. What was not sent is its default, messages null. */
export const PROTO_OPTIONS = { longs: Number, enums: String, defaults: true, oneofs: true } as const;

export const SERVICES = ['Identity', 'Controller', 'Node'] as const;
export type ServiceName = (typeof SERVICES)[number];

/** Reads the file; throws when it is not there. */
export function csiServices(): Record<ServiceName, ServiceDefinition> {
  const definition = loadSync(join(import.meta.dirname, 'csi.proto'), PROTO_OPTIONS);
  const [Identity, Controller, Node] = SERVICES.map((name) => definition[`csi.v1.${name}`] as ServiceDefinition);
  if (!Identity || !Controller || !Node) throw new Error('csi.proto lacks a service');
  return { Identity, Controller, Node };
}
