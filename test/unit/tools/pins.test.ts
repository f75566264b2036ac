/** Versions that must be the same although each Go module pins its own. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { CHECKOUT } from '../../../tools/local/layout.ts';

function pinned(directory: string, module: string): string | undefined {
  const text = readFileSync(path.join(CHECKOUT, directory, 'go.mod'), 'utf8');
  return new RegExp(`^(?:require )?\\s*${module} (v\\S+)`, 'm').exec(text)?.[1];
}

describe('the versions of what is built', () => {
  it('Kubernetes: the local cluster and the one in containers have the same', () => {
    const local = pinned('tools/kube-apiserver', 'k8s.io/kubernetes');
    expect(local).to.match(/^v1\.\d+\.\d+$/);
    expect(pinned('test/kind/tools/kubernetes', 'k8s.io/kubernetes')).to.equal(local);
  });

  it('etcd: the local cluster and the one in containers have different ones, so that both are tested', () => {
    const [local, inContainers] = ['tools/etcd', 'test/kind/tools/etcd'].map((directory) => pinned(directory, 'go.etcd.io/etcd/server/v3'));
    expect([local, inContainers].map((version) => /^v3\.\d+/.exec(version ?? '')?.[0])).to.deep.equal(['v3.7', 'v3.6']);
  });
});
