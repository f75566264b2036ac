/**
 * How fast the replication wire alone is: a primary's end and a replica's end in two processes on loopback, nothing behind them. Run:
 * `node test/bench/replicationWire.ts [plain|tls] [bytes a write] [writes in flight] [seconds]`
 */
import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectOverNetwork } from '../../agent/edge/replicationClient.ts';
import { ReplicationServer } from '../../agent/edge/replicationServer.ts';
import type { PrimaryLink } from '../../agent/replication/link.ts';
import { silentLog } from '../../core/log.ts';
import type { Seal } from '../../core/wire/messages.ts';
import { type Certificates, loadCertificates, type TlsFiles } from '../../edge/tls.ts';
import { Authority } from '../../tools/local/certificates.ts';
import { configWith, INSTANCE, member, UID } from '../support/configs.ts';

const HOST = '127.0.0.1';
const SEAL: Seal = { type: 'seal', volume: UID, replica: member(1).replica, epoch: 1, instance: INSTANCE, config: configWith() };

/** CPU time of this process so far. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const certificatesOf = async (files: TlsFiles | null): Promise<Certificates | null> => (files ? loadCertificates(files, silentLog) : null);

async function serve(files: TlsFiles | null): Promise<void> {
  let startCpuMs = 0;
  const server = await ReplicationServer.listen({
    host: HOST,
    port: 0,
    certificates: await certificatesOf(files),
    events: {
      connectionRefused: (refusal) => console.error(refusal),
      connectionOpened: () => undefined,
      connectionClosed: () => process.send?.({ cpuMs: cpuMs() - startCpuMs }, () => process.exit(0)),
      acceptFailed: (error) => console.error(error),
    },
    appointed: (_, answered) => answered(null),
    accept: (_, link) => {
      let applied = 0;
      let told = 0;
      startCpuMs = cpuMs();
      link.send({ type: 'sealed', suspect: false, sizeBytes: 1, leaseRemainingMs: 0, resync: null });
      return {
        message: (message) => {
          if (message.type === 'write') applied = message.sequence;
        },
        burstEnd: () => {
          if (applied > told) link.send({ type: 'applied', sequence: applied });
          told = applied;
        },
        closed: () => undefined,
      };
    },
  });
  process.send?.({ port: server.port });
}

type Load = { lengthBytes: number; inFlightMax: number; seconds: number };
type Result = { writes: number; acknowledgements: number; seconds: number; cpuMs: number };

function drive(port: number, certificates: Certificates | null, { lengthBytes, inFlightMax, seconds }: Load): Promise<Result> {
  const payload = Buffer.alloc(lengthBytes, 7);
  return new Promise((resolve, reject) => {
    let sequence = 0;
    let applied = 0;
    let acknowledgements = 0;
    let startMs = 0;
    let startCpuMs = 0;
    const fill = (): void => {
      while (sequence - applied < inFlightMax) {
        sequence++;
        const offsetBytes = (sequence % 1000) * lengthBytes;
        link.send({ type: 'write', sequence, settled: applied, version: 3, offsetBytes, lengthBytes, chunks: [payload] });
      }
    };
    const link: PrimaryLink = connectOverNetwork({
      resolve: () => ({ host: HOST, port }),
      certificates,
      events: { connectionRefused: (refusal) => console.error(refusal) },
    })(member(1), SEAL, {
      message: (message) => {
        if (message.type === 'sealed') {
          startMs = performance.now();
          startCpuMs = cpuMs();
        }
        if (message.type !== 'applied') return;
        applied = message.sequence;
        acknowledgements++;
      },
      burstEnd: () => {
        const elapsedMs = performance.now() - startMs;
        if (elapsedMs < seconds * 1000) return fill();
        if (applied < sequence) return;
        link.close();
        resolve({ writes: applied, acknowledgements, seconds: elapsedMs / 1000, cpuMs: cpuMs() - startCpuMs });
      },
      closed: (reason) => reject(new Error(reason)),
    });
  });
}

async function main(): Promise<void> {
  const [mode = 'tls', lengthText = '4096', inFlightText = '64', secondsText = '4'] = process.argv.slice(2);
  const directory = await mkdtemp(path.join(tmpdir(), 'holdfast-bench-'));
  const authority = mode === 'tls' ? await Authority.open(directory, 'bench') : null;
  const issue = (name: string): Promise<TlsFiles> | null =>
    authority?.issue(path.join(directory, name), { commonName: `agent:${name}`, organizations: [] }) ?? null;
  const replicaFiles = await issue('node-b');
  const child = fork(import.meta.filename, ['serve', JSON.stringify(replicaFiles)]);
  const message = <Value>(): Promise<Value> => new Promise((resolve) => child.once('message', (value) => resolve(value as Value)));
  const { port } = await message<{ port: number }>();
  const load = { lengthBytes: Number(lengthText), inFlightMax: Number(inFlightText), seconds: Number(secondsText) };
  const ended = message<{ cpuMs: number }>();
  const result = await drive(port, await certificatesOf(await issue('node-a')), load);
  const replica = await ended;
  const perWrite = (ms: number): string => `${((ms * 1000) / result.writes).toFixed(1)} us CPU a write`;
  const rate = result.writes / result.seconds;
  console.log(
    `${mode}, ${load.lengthBytes} B, ${load.inFlightMax} in flight: ${Math.round(rate)} writes/s, ${((rate * load.lengthBytes) / 2 ** 20).toFixed(0)} MiB/s, ` +
      `${(result.writes / result.acknowledgements).toFixed(1)} writes an acknowledgement; primary ${perWrite(result.cpuMs)}, replica ${perWrite(replica.cpuMs)}`,
  );
  await rm(directory, { recursive: true });
}

if (process.argv[2] === 'serve') await serve(JSON.parse(process.argv[3] ?? 'null') as TlsFiles | null);
else await main();
