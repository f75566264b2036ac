/** What the servers of the emulated machine say of themselves: only what must not be. */
import type { NbdEvents } from '../../agent/nbd/ports.ts';

const nothing = (): void => undefined;

export const quietEvents: NbdEvents = {
  requestCompleted: nothing,
  requestRefused: (rule) => console.log(`server: a request was refused: ${rule}`),
  connectionRefused: (rule) => console.log(`server: a connection was refused: ${rule}`),
  acceptFailed: (error) => console.log(`server: ${error.message}`),
  connectionOpened: nothing,
  connectionClosed: nothing,
};
