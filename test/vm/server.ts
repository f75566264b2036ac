/** The agent's own NBD server over a file: `node server.ts NAME UID FILE SOCKET`. Stops at SIGTERM as an agent does, and may be killed at any moment; from SIGUSR2 on it is slow. */
import { NbdServer } from '../../agent/edge/nbdServer.ts';
import { quietEvents } from './events.ts';
import { FileDevice } from './fileDevice.ts';

const [name = '', uid = '', file = '', socketPath = ''] = process.argv.slice(2);
const SLOW_MS = 2_000;
const device = new FileDevice(name, uid, file);
process.on('SIGUSR2', () => {
  device.answerAfterMs = SLOW_MS;
});
const server = await NbdServer.listen({ device, socketPath, events: quietEvents });
process.once('SIGTERM', () => void server.close().then(() => process.exit(0)));
