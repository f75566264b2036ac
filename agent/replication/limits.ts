/** Every named maximum of a session's connection, in one table: key, default, reason. Those of the frames themselves are the protocol's (core/wire). */

export type ReplicationLimits = {
  /** From the first packet to the peer's certificate: a member that is down must not hold up its primary's next try. */
  readonly connectTimeoutMs: number;
  /** A connection that proves nothing and says nothing would hold one of `connectionsMax` for ever. For the handshake, and again for the Seal. */
  readonly sealTimeoutMs: number;
  /** How long a closed connection may take to bring its last message out. */
  readonly closeTimeoutMs: number;
  /** After so much silence the kernel begins to ask whether the peer's machine still lives. */
  readonly keepAliveMs: number;
  /** One a replica here, for each volume's primary; and as many again that are about to take their places. */
  readonly connectionsMax: number;
  /**
   * What was sent and not taken by the network. A primary drops a learner long before; above it the connection closes. A replica has no more than the
   * answers to what its primary asked; more, and the primary does not read.
   */
  readonly unsentBytesMax: number;
};

export const DEFAULT_LIMITS: ReplicationLimits = {
  connectTimeoutMs: 2_000,
  sealTimeoutMs: 5_000,
  closeTimeoutMs: 1_000,
  keepAliveMs: 10_000,
  connectionsMax: 4_096,
  unsentBytesMax: 512 * 1024 * 1024,
};
