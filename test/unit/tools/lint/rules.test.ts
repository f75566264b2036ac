/** Each rule of the lint fires where it must, and only there. */
import { expect } from 'chai';
import { check, format } from '../../../../tools/lint/rules.ts';
import { readSource } from '../../../../tools/lint/source.ts';

function rulesBroken(file: string, text: string): string[] {
  return check(file, readSource(text)).map(({ rule }) => rule);
}

describe('lint: the rules of the rooms', () => {
  const refused: [string, string, string][] = [
    ['operator/volume/decide.ts', "import { a } from '../../agent/ports.ts';", 'rooms'],
    ['agent/primary/write.ts', "import { a } from '../../operator/main.ts';", 'rooms'],
    ['agent/primary/write.ts', "import type { A } from '../../operator/ports.ts';", 'rooms'],
    ['operator/main.ts', "export * from '../agent/ports.ts';", 'rooms'],
    ['operator/main.ts', "await import('../agent/ports.ts');", 'rooms'],
    ['core/config.ts', "import { a } from '../edge/log.ts';", 'rooms'],
    ['core/wire/encode.ts', "import { a } from '../../agent/ports.ts';", 'rooms'],
    ['edge/log.ts', "import { a } from '../agent/settings.ts';", 'rooms'],
    ['agent/edge/disk.ts', "import { a } from '../../tools/local/cluster.ts';", 'rooms'],
    ['agent/edge/disk.ts', "import { a } from '../../test/support/disk.ts';", 'rooms'],
    ['tools/local/up.ts', "import { a } from '../../test/support/disk.ts';", 'rooms'],
    ['test/unit/core/a.test.ts', "import { a } from '../../../../elsewhere/b.ts';", 'rooms'],
    ['agent/main.ts', "import { a } from '/somewhere/b.ts';", 'rooms'],
    ['core/extent.ts', "import { open } from 'node:fs/promises';", 'core'],
    ['core/extent.ts', "import type { Socket } from 'node:net';", 'core'],
    ['core/extent.ts', "import { Worker } from 'node:worker_threads';", 'core'],
    ['core/extent.ts', "import fs from 'fs';", 'core'],
    ['core/extent.ts', "import winston from 'winston';", 'core'],
    ['agent/primary/write.ts', "import { connect } from 'node:net';", 'sockets'],
    ['operator/volume/observe.ts', "import { Etcd3 } from 'etcd3';", 'sockets'],
    ['operator/csi/server.ts', "import * as grpc from '@grpc/grpc-js';", 'sockets'],
    ['agent/pool/pool.ts', "import { scheduler } from 'node:timers/promises';", 'sockets'],
    ['operator/volume/decide.ts', 'const now = Date.now();', 'clock'],
    ['operator/volume/decide.ts', 'const now = Date . now();', 'clock'],
    ['core/task.ts', 'const read = Date.now;', 'clock'],
    ['core/task.ts', 'const now = new Date();', 'clock'],
    ['core/task.ts', 'const now = new Date;', 'clock'],
    ['agent/replica/lease.ts', 'const now = performance.now();', 'clock'],
    ['agent/replica/lease.ts', 'const now = process.hrtime.bigint();', 'clock'],
    ['agent/replica/lease.ts', 'setTimeout(f, 10);', 'timer'],
    ['agent/replica/lease.ts', 'globalThis.setInterval(f, 10);', 'timer'],
    ['core/place.ts', 'const x = Math.random();', 'randomness'],
    ['core/ids.ts', "import { randomUUID } from 'node:crypto';", 'randomness'],
    ['agent/replica/lease.ts', 'const x = crypto.getRandomValues(y);', 'randomness'],
    ['operator/election/elect.ts', 'const x = process.env.NAME;', 'environment'],
    ['operator/election/elect.ts', "const x = process['env'];", 'environment'],
    ['operator/election/elect.ts', 'const { env } = process;', 'environment'],
    ['agent/primary/settings.ts', 'const x = process.env.NAME;', 'environment'],
    ['core/settings.ts', 'const x = process.env.NAME;', 'environment'],
  ];
  for (const [file, text, rule] of refused) {
    it(`refuses in ${file}: ${text}`, () => {
      expect(rulesBroken(file, text)).to.deep.equal([rule]);
    });
  }

  const allowed: [string, string][] = [
    ['operator/volume/decide.ts', "import { a } from '../../core/config.ts';"],
    ['agent/primary/write.ts', "import { a } from '../ports.ts'; import type { Socket } from 'node:net';"],
    ['operator/edge/kube.ts', "import { KubeConfig } from '@kubernetes/client-node'; setTimeout(f, 1);"],
    ['agent/nbd/edge/server.ts', "import { createServer } from 'node:net'; const now = performance.now();"],
    ['edge/log.ts', "import winston from 'winston'; import { a } from '../core/log.ts';"],
    ['core/clock.ts', 'const now = Date.now();'],
    ['core/random.ts', "import { randomBytes } from 'node:crypto';"],
    ['core/wire/encode.ts', "import { crc32 } from 'node:zlib';"],
    ['agent/main.ts', 'const x = process.env; const now = Date.now();'],
    ['operator/settings.ts', 'const x = process.env.NAME;'],
    ['tools/local/up.ts', "import { a } from '../../edge/tls.ts'; const x = process.env.NODES; setTimeout(f, 1);"],
    ['test/unit/core/a.test.ts', "import { a } from '../../../core/a.ts'; import { b } from '../../../agent/b.ts'; Math.random();"],
    ['core/task.ts', 'const shown = new Date(nowMs).toISOString();'],
    ['core/task.ts', '// Date.now() is not for here\nconst text = "Math.random()";'],
    ['core/task.ts', 'type Timers = { setTimeout: (f: () => void) => void }; timers.setTimeout(f);'],
    ['operator/election/elect.ts', 'process.exitCode = 1;'],
  ];
  for (const [file, text] of allowed) {
    it(`allows in ${file}: ${text}`, () => {
      expect(rulesBroken(file, text)).to.deep.equal([]);
    });
  }

  it('names file, line, rule and what to do instead', () => {
    const [violation] = check('core/task.ts', readSource('\n\nconst now = Date.now();'));
    expect(violation && format(violation)).to.match(/^core\/task\.ts:3: clock: Date\.now may be used only in .+\. Instead: .+\.$/);
  });
});
