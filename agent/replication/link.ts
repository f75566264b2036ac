/**
 * The two ends of a session as ports: TCP with mutual TLS between agents, a queue within one, or the simulator's network. Interfaces only.
 *
 * Whose a message is: what was given to `send` never changes any more, neither the message nor a byte of its chunks, for it leaves later and may be heard as
 * the very same object. Who hears a message may keep it and its chunks, and must not change them either, for others may hear them too; a chunk that is kept
 * keeps the network's buffer of up to 64 KiB alive. The set in a `changedSet` is the hearer's own.
 */
import type { Member, VolumeConfig } from '../../core/config.ts';
import type { InstanceId } from '../../core/ids.ts';
import type { FromReplica, Seal, ToReplica } from '../../core/wire/messages.ts';

/** The primary's end. Messages sent before the connection stands are kept and sent first; after it has closed they are dropped. */
export interface PrimaryLink {
  send(message: ToReplica): void;
  /** Bytes accepted by `send` and not taken by the network yet. */
  readonly bufferedBytes: number;
  /** What was sent still leaves, if the network takes it soon. */
  close(): void;
}

/** Never called from within a method of the link; never after `closed`, nor after the owner called `close`. */
export interface PrimaryLinkListener {
  message(message: FromReplica): void;
  /** A burst of messages has been handed over: time to act on them together. */
  burstEnd(): void;
  closed(reason: string): void;
}

/** Opens a session's connection to a member; the Seal goes with it, as its first message. */
export type Connect = (member: Member, seal: Seal, listener: PrimaryLinkListener) => PrimaryLink;

/** The replica's end. */
export interface ReplicaLink {
  /** The peer, as its certificate says: for the log. */
  readonly peer: string;
  /** After the link has closed, messages are dropped. */
  send(message: FromReplica): void;
  /** Says that nobody reads these chunks, all that one message had, any more: their memory is used again. Not saying so is no mistake. */
  release?(chunks: readonly Buffer[]): void;
  /** What was sent still leaves, if the network takes it soon: so a refusal arrives. */
  close(reason: string): void;
}

/** What a replica's end hears after its Seal. Never called from within a method of the link; never after `closed`, nor after the owner called `close`. */
export interface ReplicaSession {
  message(message: ToReplica): void;
  /** A burst has been handed over: acknowledge it in one. */
  burstEnd(): void;
  /** Whether chunks of anything it heard are still to be read. Left out: they may be. */
  readonly holds?: boolean;
  closed(): void;
}

/** Gives the Seal to the replica it is for; answers on the link itself (refused, then close) if there is none. */
export type Accept = (seal: Seal, link: ReplicaLink) => ReplicaSession;

export type AppointmentRefusal = { readonly rule: 'appointment' | 'appointmentUnknown'; readonly message: string };

/**
 * Asked of every Seal before it is given to its replica, when it is known that it comes from the node that it names: whether the leader appointed that process under that
 * epoch. Answered once, perhaps from within the call. Null: the replica may have it.
 */
export type Appointed = (seal: Seal, answered: (refusal: AppointmentRefusal | null) => void) => void;

/** The primary's compare-and-set on its volume's config. */
export interface ConfigPort {
  /**
   * Tries to replace `known` by `next` until a config later than `known` is seen, and tells the primary that one (its own or another's) by
   * `observe`. An answer that got lost is no answer: it asks again. One at a time.
   */
  propose(known: VolumeConfig, next: VolumeConfig): void;
  /** Somebody claims to know a later config: read it again soon. */
  recheck(): void;
}

export type PrimaryIdentity = { epoch: number; instance: InstanceId };
