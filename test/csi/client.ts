/** A CSI client, as sidecars and the kubelet are one: the calls of both services, typed, each with a deadline; a refusal is an error with its gRPC code's name. */
import { type Client, credentials, makeClientConstructor, type ServiceError, status } from '@grpc/grpc-js';
import type { ControllerService, Loose, NodeService, VolumeCapability } from '../../edge/csi/generated/csi.ts';
import { csiServices } from '../../edge/csi/proto.ts';

const CALL_MS_MAX = 60_000;

/** Every call of a service, with requests in which what is not said is left out. */
type Calls<Service> = {
  [Name in keyof Service]: Service[Name] extends (request: infer Request, call: never) => Promise<infer Response>
    ? (request: Loose<Request>) => Promise<Response>
    : never;
};
export type CsiClient = { controller: Calls<ControllerService<never>>; node: Calls<NodeService<never>>; close(): void };

export class CsiRefusal extends Error {
  override readonly name = 'CsiRefusal';
  readonly code: keyof typeof status;
  constructor(method: string, { code, details }: ServiceError) {
    super(`${method}: ${status[code]}: ${details}`);
    this.code = status[code] as keyof typeof status;
  }
}

function calls<Service>(name: 'Controller' | 'Node', address: string): { calls: Calls<Service>; client: Client } {
  const Constructor = makeClientConstructor(csiServices()[name], name);
  const client = new Constructor(address, credentials.createInsecure());
  const proxy = new Proxy({} as Calls<Service>, {
    get: (_, method: string) => (request: object) =>
      new Promise((resolve, reject) => {
        const call = (client as unknown as Record<string, (...words: unknown[]) => void>)[method];
        if (call === undefined) return reject(new Error(`there is no call ${method}`));
        const answered = (error: ServiceError | null, response: unknown) =>
          error ? reject(new CsiRefusal(method, error)) : resolve(response);
        return call.call(client, request, { deadline: Date.now() + CALL_MS_MAX }, answered);
      }),
  });
  return { calls: proxy, client };
}

/** `unix:///path` of each. */
export function csiClient(controllerAddress: string, nodeAddress: string): CsiClient {
  const controller = calls<ControllerService<never>>('Controller', controllerAddress);
  const node = calls<NodeService<never>>('Node', nodeAddress);
  return {
    controller: controller.calls,
    node: node.calls,
    close() {
      controller.client.close();
      node.client.close();
    },
  };
}

type Mode = NonNullable<VolumeCapability['accessMode']>['mode'];
export const mounted = (fsType = 'xfs', mode: Mode = 'SINGLE_NODE_WRITER'): Loose<VolumeCapability> => ({
  mount: { fsType },
  accessMode: { mode },
});
export const block = (mode: Mode = 'SINGLE_NODE_WRITER'): Loose<VolumeCapability> => ({ block: {}, accessMode: { mode } });
