/**
 * Devices of volumes that are used elsewhere by now, after this node was away: their I/O would wait for ever, and no process in it could be killed. They are told
 * to fail. Must never fail one whose volume shall still be here: the agent may only have restarted, and that pauses I/O and never errors it.
 */
import { messageOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Device, NodePorts } from './ports.ts';

/** Nobody waits for it but processes that hang. */
const LOOK_EVERY_MS = 2_000;

export class Abandoned {
  readonly #ports: NodePorts;
  readonly #log: Log;
  /** Null: the holder is to be asked. */
  #devices: Device[] | null = null;
  #changes = 0;

  constructor(ports: NodePorts, log: Log) {
    this.#ports = ports;
    this.#log = log;
  }

  /** The holder may have other devices now. */
  changed(): void {
    this.#devices = null;
    this.#changes++;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look().catch((error: unknown) => this.#log.debug('devices could not be looked at', { reason: messageOf(error) }));
      await this.#ports.sleep(LOOK_EVERY_MS, signal);
    }
  }

  async look(): Promise<void> {
    const { holder, served, whereabouts } = this.#ports;
    const devices = this.#devices ?? (await this.#ask());
    for (const { name, uid, failed } of devices) {
      if (failed) continue;
      const here = served.find(name);
      // Another volume of its name has its socket: what is still unwritten must never come to that one.
      const isReplaced = here !== null && here.uid !== uid;
      if (!isReplaced && (here !== null || (await whereabouts(uid)) !== 'elsewhere')) continue;
      this.#log.warn('the volume is used elsewhere: its device here fails', { volume: name });
      // Before it is done: where the device is gone by now that is to be seen, too.
      this.changed();
      await holder.fail(name);
    }
  }

  /** Kept only when nothing has changed since it was asked for. */
  async #ask(): Promise<Device[]> {
    const changes = this.#changes;
    const devices = await this.#ports.holder.all();
    if (changes === this.#changes) this.#devices = devices;
    return devices;
  }
}
