import { expect } from 'chai';
import type { KubeConnection } from '../../../../edge/kube/connection.ts';
import { HttpKubeApi } from '../../../../operator/edge/kubeApi.ts';

describe('operator: calls of the API server', () => {
  it('takes a deadline that is a fraction: what is left of a Lease is never whole', async () => {
    const asked: string[] = [];
    const connection = {
      send: async (method: string, path: string) => {
        asked.push(`${method} ${path}`);
        return { httpStatusCode: 200, body: { text: async () => '{"metadata":{"name":"a"}}' } };
      },
    };
    const api = new HttpKubeApi(connection as unknown as KubeConnection);
    expect(await api.get('/one', 410.64840299999923)).to.deep.equal({ metadata: { name: 'a' } });
    expect(await api.replace('/two', { metadata: { name: 'a', uid: '', resourceVersion: '' } }, 0.5)).to.deep.equal({
      metadata: { name: 'a' },
    });
    expect(asked).to.deep.equal(['GET /one', 'PUT /two']);
  });
});
