/** The operator as a process: what it says and how it ends when it cannot start. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect } from 'chai';

const CHECKOUT = path.join(import.meta.dirname, '..', '..', '..');

async function run(environment: Record<string, string>): Promise<{ code: number; said: string }> {
  const child = spawn(process.execPath, [path.join(CHECKOUT, 'operator', 'main.ts')], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const [code] = (await once(child, 'close')) as [number];
  return { code, said };
}

describe('operator: the process', function () {
  this.timeout(30_000);

  it('lists all that is wrong with its configuration, and ends with 2', async () => {
    const { code, said } = await run({ NAME: 'Operator 0', SETTINGS: '{"heartbeatMs":5,"speed":9}', TLS_CA: 'ca.crt' });
    expect(code).to.equal(2);
    expect(said).to.match(/^holdfast-operator: \d+ problems in the configuration, nothing started:\n/);
    for (const problem of [
      /ETCD_ENDPOINTS +must be set/,
      /NAME=Operator 0 +must be/,
      /TLS_CA=ca.crt +must be an absolute path/,
      /SETTINGS.heartbeatMs=5 +must be a whole number/,
      /SETTINGS.speed=9 +is not a setting/,
      /KUBECONFIG +must be set/,
    ]) {
      expect(said).to.match(problem);
    }
  });
});
