/** The agent's own NBD server over a file: `node server.ts NAME UID FILE SOCKET`. Stops at SIGTERM as an agent does, and may be killed at any moment. */
import { NbdServer } from '../../agent/edge/nbdServer.ts';
import type { NbdEvents } from '../../agent/nbd/ports.ts';
import { FileDevice } from './fileDevice.ts';

const nobody = (): void => undefined;
const events: NbdEvents = {
  requestCompleted: nobody,
  requestRefused: (rule) => console.log(`server: a request was refused: ${rule}`),
  connectionRefused: (rule) => console.log(`server: a connection was refused: ${rule}`),
  acceptFailed: (error) => console.log(`server: ${error.message}`),
  connectionOpened: nobody,
  connectionClosed: nobody,
};

const [name = '', uid = '', file = '', socketPath = ''] = process.argv.slice(2);
const server = await NbdServer.listen({ device: new FileDevice(name, uid, file), socketPath, events });
process.once('SIGTERM', () => void server.close().then(() => process.exit(0)));
