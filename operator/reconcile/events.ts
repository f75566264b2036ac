/** Tells people, as Events of events.k8s.io. Best effort: what cannot be told now is not told later, the status says it anyway. */
import type { Clock } from '../../core/clock.ts';
import { messageOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Random } from '../../core/random.ts';
import { API_VERSION, GROUP, type KubeObject, type VolumeObject } from '../api.ts';
import type { KubeApi } from '../ports.ts';
import type { VolumeEvent } from '../volume/events.ts';

/** Events about objects without a namespace lie in this one. */
const EVENTS_PATH = '/apis/events.k8s.io/v1/namespaces/default/events';
const IN_FLIGHT_MAX = 32;
const NAME_RANDOM_BYTES = 8;

type EventObject = KubeObject & {
  eventTime: string;
  type: string;
  reason: string;
  action: string;
  note: string;
  reportingController: string;
  reportingInstance: string;
  regarding: { apiVersion: string; kind: string; name: string; uid: string };
};

export type EventPorts = { api: KubeApi; clock: Clock; random: Random; log: Log; instance: string };

export class Events {
  readonly #ports: EventPorts;
  #inFlight = 0;

  constructor(ports: EventPorts) {
    this.#ports = ports;
  }

  tell(volume: VolumeObject, event: VolumeEvent): void {
    const { log } = this.#ports;
    log.info('event', { volume: volume.metadata.name, reason: event.reason, note: event.note });
    if (this.#inFlight >= IN_FLIGHT_MAX)
      return log.warn('an event was not told: too many are on their way', { volume: volume.metadata.name, reason: event.reason });
    void this.#send(volume, event);
  }

  async #send(volume: VolumeObject, event: VolumeEvent): Promise<void> {
    this.#inFlight++;
    try {
      await this.#ports.api.create(EVENTS_PATH, this.#objectOf(volume, event));
    } catch (error) {
      this.#ports.log.warn('an event was not told', { volume: volume.metadata.name, reason: event.reason, error: messageOf(error) });
    } finally {
      this.#inFlight--;
    }
  }

  #objectOf({ metadata }: VolumeObject, { type, reason, action, note }: VolumeEvent): EventObject {
    const { clock, random, instance } = this.#ports;
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: `${metadata.name}.${random.hex(NAME_RANDOM_BYTES)}`, namespace: 'default', uid: '', resourceVersion: '' },
      eventTime: new Date(clock.wallMs()).toISOString().replace('Z', '000Z'),
      type,
      reason,
      action,
      note,
      reportingController: `${GROUP}/operator`,
      reportingInstance: instance,
      regarding: { apiVersion: API_VERSION, kind: 'Volume', name: metadata.name, uid: metadata.uid },
    };
  }
}
