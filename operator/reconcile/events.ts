/** Tells people, as Events of events.k8s.io. Best effort: what cannot be told now is not told later, the status says it anyway. */
import type { Clock } from '../../core/clock.ts';
import { messageOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Random } from '../../core/random.ts';
import { API_VERSION, GROUP, type KIND_OF, type KubeObject } from '../api.ts';
import type { KubeApi } from '../ports.ts';
import type { ObjectEvent } from '../volume/events.ts';

/** Events about objects without a namespace lie in this one. */
const NAMESPACE_OF_OTHERS = 'default';
const pathIn = (namespace: string): string => `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/events`;
const IN_FLIGHT_MAX = 32;
const NAME_RANDOM_BYTES = 8;

type Kind = (typeof KIND_OF)[keyof typeof KIND_OF];

type EventObject = KubeObject & {
  eventTime: string;
  type: string;
  reason: string;
  action: string;
  note: string;
  reportingController: string;
  reportingInstance: string;
  regarding: Regarding;
};
/** What an Event is about. Left out namespace: it has none. */
export type Regarding = { apiVersion: string; kind: string; name: string; namespace?: string; uid?: string };

export type EventPorts = { api: KubeApi; clock: Clock; random: Random; log: Log; instance: string };

export class Events {
  readonly #ports: EventPorts;
  #inFlight = 0;

  constructor(ports: EventPorts) {
    this.#ports = ports;
  }

  /** `kind`: of the object, which may be as the API server lists it, without one. */
  tell(kind: Kind, object: KubeObject, event: ObjectEvent): void {
    const { name, uid } = object.metadata;
    this.tellOf({ apiVersion: API_VERSION, kind, name, uid }, event);
  }

  tellOf(regarding: Regarding, event: ObjectEvent): void {
    const { log } = this.#ports;
    const [object, { reason, note }] = [`${regarding.kind} ${regarding.name}`, event];
    log.info('event', { object, reason, note });
    if (this.#inFlight >= IN_FLIGHT_MAX) return log.warn('an event was not told: too many are on their way', { object, reason });
    void this.#send(regarding, event);
  }

  async #send(regarding: Regarding, event: ObjectEvent): Promise<void> {
    this.#inFlight++;
    try {
      await this.#ports.api.create(pathIn(regarding.namespace ?? NAMESPACE_OF_OTHERS), this.#objectOf(regarding, event));
    } catch (error) {
      const object = `${regarding.kind} ${regarding.name}`;
      this.#ports.log.warn('an event was not told', { object, reason: event.reason, error: messageOf(error) });
    } finally {
      this.#inFlight--;
    }
  }

  #objectOf(regarding: Regarding, { type, reason, action, note }: ObjectEvent): EventObject {
    const { clock, random, instance } = this.#ports;
    const namespace = regarding.namespace ?? NAMESPACE_OF_OTHERS;
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: `${regarding.name}.${random.hex(NAME_RANDOM_BYTES)}`, namespace, uid: '', resourceVersion: '' },
      eventTime: new Date(clock.wallMs()).toISOString().replace('Z', '000Z'),
      type,
      reason,
      action,
      note,
      reportingController: `${GROUP}/operator`,
      reportingInstance: instance,
      regarding,
    };
  }
}
