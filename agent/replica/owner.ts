/** A replica as its sessions see it. Types only. */
import type { Done, IoError, ReplicaMeta, SnapshotRequest } from '../ports.ts';
import type { PrimaryIdentity as Holder } from '../replication/link.ts';
import type { Session } from './session.ts';

/** What a session needs of its replica. */
export interface Owner {
  /** Calls back when the lease is granted. */
  grantLease(session: Session, holder: Holder, leaseMs: number, granted: () => void): void;
  voidLease(session: Session): void;
  holderOf(session: Session): Holder | null;
  sessionClosed(session: Session, reason: string): void;
  ioFailed(session: Session, error: IoError): void;
  keep(request: SnapshotRequest, done: Done): void;
  /** Durable when it calls back. */
  changeMeta(change: (meta: ReplicaMeta) => ReplicaMeta, done: Done): void;
}
