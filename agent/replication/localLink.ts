/**
 * A session within one agent: the primary beside the replica. Messages are handed over as the objects that they are, in bursts, each of them later than the
 * calls that sent it; the same calls give the same order. Must never call a listener from within a method of a link.
 */
import type { FromReplica, Seal, ToReplica } from '../../core/wire/messages.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import type { Accept, Connect, PrimaryLink, PrimaryLinkListener, ReplicaLink, ReplicaSession } from './link.ts';
import { type Defer, type Ear, Pipe } from './pipe.ts';

export type LocalOptions = {
  /** Microtasks by default: between sending and hearing nothing else happens, and no turn of the event loop is lost. */
  readonly defer?: Defer;
  readonly unsentBytesMax?: number;
};

export function connectLocal(accept: Accept, options: LocalOptions = {}): Connect {
  return (_member, seal, listener) => new LocalSession(accept, seal, listener, options);
}

/** Both ends; itself it is the primary's. */
class LocalSession implements PrimaryLink {
  readonly #toReplica: Pipe<ToReplica>;
  readonly #toPrimary: Pipe<FromReplica>;
  readonly #unsentBytesMax: number;

  constructor(accept: Accept, seal: Seal, listener: PrimaryLinkListener, options: LocalOptions) {
    const defer = options.defer ?? queueMicrotask;
    this.#unsentBytesMax = options.unsentBytesMax ?? DEFAULT_LIMITS.unsentBytesMax;
    this.#toPrimary = new Pipe(listener, defer);
    this.#toReplica = new Pipe<ToReplica>(new ReplicaEar(accept, this.#replicaEnd(seal)), defer);
    this.#toReplica.send(seal);
  }

  get bufferedBytes(): number {
    return this.#toReplica.queuedBytes;
  }

  send(message: ToReplica): void {
    this.#toReplica.send(message);
    if (this.#toReplica.queuedBytes > this.#unsentBytesMax) this.#overflow();
  }

  close(): void {
    this.#toPrimary.deafen();
    this.#toReplica.end('the primary closed the session');
  }

  #replicaEnd(seal: Seal): ReplicaLink {
    return {
      peer: `agent:${seal.config.primary?.node ?? ''}`,
      send: (message) => {
        this.#toPrimary.send(message);
        if (this.#toPrimary.queuedBytes > this.#unsentBytesMax) this.#overflow();
      },
      close: (reason) => {
        this.#toReplica.deafen();
        this.#toPrimary.end(reason);
      },
    };
  }

  #overflow(): void {
    const reason = `more than ${this.#unsentBytesMax} bytes wait to be heard`;
    this.#toReplica.cut(reason);
    this.#toPrimary.cut(reason);
  }
}

/** The Seal comes first and finds the replica; what follows is the replica's session's. */
class ReplicaEar implements Ear<ToReplica> {
  readonly #accept: Accept;
  readonly #link: ReplicaLink;
  #session: ReplicaSession | null = null;

  constructor(accept: Accept, link: ReplicaLink) {
    this.#accept = accept;
    this.#link = link;
  }

  message(message: ToReplica): void {
    if (this.#session) this.#session.message(message);
    else if (message.type === 'seal') this.#session = this.#accept(message, this.#link);
  }

  burstEnd(): void {
    this.#session?.burstEnd();
  }

  closed(): void {
    this.#session?.closed();
  }
}
