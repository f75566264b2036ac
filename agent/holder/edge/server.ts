/** The holder's own HTTP on a unix socket, for the agent of this node alone. */
import { chmodSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import express, { type ErrorRequestHandler } from 'express';
import { isOperatingError, messageOf } from '../../../core/errors.ts';
import { isVolumeUid } from '../../../core/ids.ts';
import type { Log } from '../../../core/log.ts';
import { type Devices, HolderRefusal } from '../devices.ts';
import type { Wish } from '../ports.ts';
import { isName } from './records.ts';

const BODY_BYTES_MAX = 16 * 1024;
const STATUS: Record<HolderRefusal['code'], number> = { NotFound: 404, Different: 409, InUse: 409, TooMany: 429, Invalid: 400 };

export type HolderServer = { close(): Promise<void> };

export async function startHolderServer(socket: string, devices: Devices, log: Log): Promise<HolderServer> {
  const app = express();
  app.disable('x-powered-by');
  app.use(express.json({ limit: BODY_BYTES_MAX }));
  app.get('/healthz', (_request, response) => void response.json({ devices: devices.all.length }));
  app.get('/devices', (_request, response) => void response.json(devices.all));
  app.get('/devices/:name', (request, response) => void response.json(devices.get(request.params.name)));
  app.put(
    '/devices/:name',
    async (request, response) => void response.json(await devices.attach(wishOf(request.params.name, request.body))),
  );
  app.post('/devices/:name/size', async (request, response) => {
    response.json(await devices.resize(request.params.name, sizeOf(request.body)));
  });
  app.post('/devices/:name/fail', async (request, response) => void response.json(await devices.fail(request.params.name)));
  app.delete('/devices/:name', async (request, response) => {
    await devices.detach(request.params.name);
    response.status(204).end();
  });
  app.use(failed(log));
  rmSync(socket, { force: true });
  const server = createServer(app);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, resolve);
  });
  // Who may ask may have any volume that is served here.
  chmodSync(socket, 0o600);
  return {
    async close() {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      rmSync(socket, { force: true });
    },
  };
}

function sizeOf(body: unknown): number {
  const { sizeBytes } = (body ?? {}) as { sizeBytes?: unknown };
  if (typeof sizeBytes === 'number' && Number.isSafeInteger(sizeBytes) && sizeBytes > 0) return sizeBytes;
  throw new HolderRefusal('Invalid', 'sizeBytes must be a whole number above 0');
}

function wishOf(name: string, body: unknown): Wish {
  if (!isName(name)) throw new HolderRefusal('Invalid', `not the name of a volume: ${JSON.stringify(name)}`);
  const { uid, socket, readonly } = (body ?? {}) as { uid?: unknown; socket?: unknown; readonly?: unknown };
  if (typeof uid !== 'string' || !isVolumeUid(uid)) throw new HolderRefusal('Invalid', 'uid must be that of a volume');
  if (typeof socket !== 'string' || !socket.startsWith('/')) throw new HolderRefusal('Invalid', 'socket must be an absolute path');
  if (typeof readonly !== 'boolean') throw new HolderRefusal('Invalid', 'readonly must be true or false');
  return { name, uid, socket, sizeBytes: sizeOf(body), readonly };
}

function statusOf(error: unknown): number {
  if (error instanceof HolderRefusal) return STATUS[error.code];
  if (isOperatingError(error)) return 503;
  // Express says so of what was sent: no JSON, too long, no path.
  const { status } = (error ?? {}) as { status?: unknown };
  return typeof status === 'number' && status >= 400 && status < 500 ? status : 500;
}

function failed(log: Log): ErrorRequestHandler {
  return (error: unknown, request, response, _next) => {
    const status = statusOf(error);
    if (status >= 500) log.warn('device operation failed', { operation: `${request.method} ${request.path}`, error });
    response
      .status(status)
      .json({ error: error instanceof HolderRefusal ? error.code : status < 500 ? 'Invalid' : 'Failed', message: messageOf(error) });
  };
}
