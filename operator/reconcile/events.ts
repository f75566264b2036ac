/**
 * Tells people, as Events of events.k8s.io. Best effort: what a caretaker did is told when it is none any more, with the time at which it was; what fails is not told
 * again, the status says it anyway.
 */
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
/** More are not worth keeping: the status says how things are. */
const HELD_MAX = 1_000;
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

const namesOf = ({ regarding, reason }: EventObject) => ({ object: `${regarding.kind} ${regarding.name}`, reason });

export type EventPorts = { api: KubeApi; clock: Clock; random: Random; log: Log; instance: string; mayTell(): boolean };

export class Events {
  readonly #ports: EventPorts;
  #inFlight = 0;
  #held: EventObject[] = [];

  constructor(ports: EventPorts) {
    this.#ports = ports;
  }

  /** `kind`: of the object, which may be as the API server lists it, without one. */
  tell(kind: Kind, object: KubeObject, event: ObjectEvent): void {
    const { name, uid } = object.metadata;
    this.tellOf({ apiVersion: API_VERSION, kind, name, uid }, event);
  }

  tellOf(regarding: Regarding, event: ObjectEvent): void {
    const { log, mayTell } = this.#ports;
    const told = this.#objectOf(regarding, event);
    log.info('event', { ...namesOf(told), note: event.note });
    const isHeldBack = !mayTell();
    if (isHeldBack ? this.#held.length >= HELD_MAX : this.#inFlight >= IN_FLIGHT_MAX)
      log.warn('an event was not told: too many are on their way', namesOf(told));
    else if (isHeldBack) this.#held.push(told);
    else void this.#send(told);
  }

  /** What was held back, as far as there is room; call it again. */
  tellHeld(): void {
    if (this.#held.length === 0 || !this.#ports.mayTell()) return;
    for (const event of this.#held.splice(0, IN_FLIGHT_MAX - this.#inFlight)) void this.#send(event);
  }

  async #send(event: EventObject): Promise<void> {
    this.#inFlight++;
    try {
      await this.#ports.api.create(pathIn(event.metadata.namespace ?? NAMESPACE_OF_OTHERS), event);
    } catch (error) {
      this.#ports.log.warn('an event was not told', { ...namesOf(event), error: messageOf(error) });
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
