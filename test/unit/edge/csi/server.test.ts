/** The CSI server on a real socket with a real client, and the codes. */
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Client, credentials, makeClientConstructor, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { OperatingError, type OperatingErrorCode } from '../../../../core/errors.ts';
import { silentLog } from '../../../../core/log.ts';
import { answerOf, CODES, CsiError, invalid } from '../../../../edge/csi/codes.ts';
import { identity } from '../../../../edge/csi/identity.ts';
import { csiServices } from '../../../../edge/csi/proto.ts';
import { type CsiCall, type CsiServer, startCsiServer } from '../../../../edge/csi/server.ts';
import { createMetrics } from '../../../../edge/metrics.ts';
import { until } from '../../../support/until.ts';

type Answer = { code: string; details: string };

describe('edge/csi: codes', () => {
  it('are those of gRPC', () => {
    const numbers = Object.values(CODES).map((code) => status[code]);
    const names = Object.keys(CODES).map((name) => name.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase());
    expect(numbers).to.deep.equal(names);
  });

  const operating: Record<OperatingErrorCode, string> = {
    Unavailable: 'Unavailable',
    Conflict: 'Aborted',
    Fenced: 'Aborted',
    NotFound: 'NotFound',
    Timeout: 'DeadlineExceeded',
  };
  for (const [code, expected] of Object.entries(operating))
    it(`say ${expected} of what is ${code}`, () => {
      const { code: given, message } = answerOf(new OperatingError(code as OperatingErrorCode, 'ask', 'why'));
      expect([given, message]).to.deep.equal([expected, 'ask: why']);
    });

  it('tell nothing of what is unexpected', () => {
    for (const thrown of [new Error('secret'), 'secret', null, undefined, { message: 'secret' }])
      expect(answerOf(thrown)).to.deep.equal({ code: 'Internal', message: 'something went wrong here; the log has it under this trace' });
  });

  it('name all that is wrong', () => expect(answerOf(invalid(['a', 'b']))).to.deep.equal({ code: 'InvalidArgument', message: 'a; b' }));
});

describe('edge/csi: the server', () => {
  let directory: string;
  let socket: string;
  let server: CsiServer;
  let client: Client;
  let handler: (call: CsiCall) => Promise<object>;
  let metrics = createMetrics({ processMetrics: false });

  beforeEach(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'hf-csi-'));
    socket = path.join(directory, 'made', 'csi.sock');
    handler = async () => ({});
    await start();
    client = new (makeClientConstructor(csiServices().Node, 'Node'))(`unix:${socket}`, credentials.createInsecure());
  });
  afterEach(async () => {
    client.close();
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  async function start(): Promise<void> {
    metrics = createMetrics({ processMetrics: false });
    const handlers = { Identity: identity('1.2.3', () => null), Node: { nodeStageVolume: (_: unknown, call: CsiCall) => handler(call) } };
    server = await startCsiServer({ socket, handlers, metrics, log: silentLog });
  }
  const ask = (method = 'nodeStageVolume', deadlineMs = 5_000, request: object = {}): { answer: Promise<Answer>; cancel(): void } => {
    let cancel: () => void = () => undefined;
    const answer = new Promise<Answer>((resolve) => {
      const call = (client as unknown as Record<string, (...words: unknown[]) => { cancel(): void }>)[method];
      const sent = call?.call(client, request, { deadline: Date.now() + deadlineMs }, (error: ServiceError | null) =>
        resolve(error ? { code: status[error.code] ?? '', details: error.details } : { code: 'OK', details: '' }),
      );
      cancel = () => sent?.cancel();
    });
    return { answer, cancel };
  };

  it('answers, and root alone may ask', async () => {
    expect((await ask().answer).code).to.equal('OK');
    expect(statSync(socket).mode & 0o777).to.equal(0o600);
  });

  it('passes a refusal on with its code and words', async () => {
    handler = () => Promise.reject(new CsiError('FailedPrecondition', 'it is elsewhere — now'));
    expect(await ask().answer).to.deep.equal({ code: 'FAILED_PRECONDITION', details: 'it is elsewhere — now' });
  });

  it('keeps an unexpected error to itself, and names the trace', async () => {
    handler = () => Promise.reject(new Error('secret'));
    const { code, details } = await ask().answer;
    expect(code).to.equal('INTERNAL');
    expect(details)
      .to.match(/\(trace [0-9a-f]{32}\)$/)
      .and.not.contain('secret');
  });

  it('does not do what is not there', async () => {
    expect((await ask('nodeUnstageVolume').answer).code).to.equal('UNIMPLEMENTED');
  });

  it('refuses what is too long', async () => {
    expect((await ask('nodeStageVolume', 5_000, { volumeId: 'x'.repeat(5 * 2 ** 20) }).answer).code).to.equal('RESOURCE_EXHAUSTED');
  });

  const waiting = ({ signal }: CsiCall): Promise<object> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
  const ended = (code: string) =>
    until(
      `a call ended with ${code}`,
      async () => (await metrics.registry.metrics()).includes(`csi_call_seconds_count{method="Node/NodeStageVolume",code="${code}"} 1`),
      3_000,
    );

  it('tells a handler that its caller went away', async () => {
    const { promise: hasCome, resolve: come } = Promise.withResolvers<void>();
    const told = new Promise<unknown>((resolve) => {
      handler = (call) => {
        call.signal.addEventListener('abort', () => resolve(call.signal.reason), { once: true });
        come();
        return waiting(call);
      };
    });
    const { answer, cancel } = ask();
    await hasCome;
    cancel();
    expect((await answer).code).to.equal('CANCELLED');
    expect(((await told) as CsiError).code).to.equal('Cancelled');
  });

  it('ends a call whose time is over, also where the handler does not look', async () => {
    handler = () => new Promise(() => undefined);
    expect((await ask('nodeStageVolume', 200).answer).code).to.equal('DEADLINE_EXCEEDED');
    await ended('Cancelled');
  });

  it('tells whoever waits when it closes that he shall ask again, and leaves no socket', async () => {
    const { promise: hasCome, resolve: come } = Promise.withResolvers<void>();
    handler = (call) => {
      come();
      return waiting(call);
    };
    const { answer } = ask();
    await hasCome;
    await server.close();
    expect(await answer).to.deep.equal({ code: 'UNAVAILABLE', details: 'the driver is stopping; ask again' });
    expect(existsSync(socket)).to.equal(false);
  });

  it('takes over what a dead process left', async () => {
    await server.close();
    writeFileSync(socket, '');
    await start();
    expect((await ask().answer).code).to.equal('OK');
  });

  it('refuses a path that no socket can have', async () => {
    const long = path.join(directory, 'x'.repeat(108));
    const error = await startCsiServer({
      socket: long,
      handlers: { Identity: {} },
      metrics: createMetrics({ processMetrics: false }),
      log: silentLog,
    }).catch((thrown: unknown) => thrown);
    expect(String(error)).to.contain('at most 107 bytes');
    expect(existsSync(socket), 'the one that listens is left alone').to.equal(true);
  });
});
