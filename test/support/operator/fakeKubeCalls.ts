/** The API server as the REST API asks it, answered by a function of the test. */
import type { KubeAnswer, KubeCalls, KubeRequest } from '../../../operator/api/ports.ts';
import type { WatchEvent } from '../../../operator/ports.ts';

type Answering = (token: string | null, request: KubeRequest) => KubeAnswer | Promise<KubeAnswer>;

export class FakeKubeCalls implements KubeCalls {
  readonly asked: { token: string | null; request: KubeRequest }[] = [];
  /** What a watch tells, before it ends. */
  events: WatchEvent[] = [];
  answering: Answering;

  constructor(answering: Answering) {
    this.answering = answering;
  }

  async call(token: string | null, request: KubeRequest): Promise<KubeAnswer> {
    this.asked.push({ token, request });
    return this.answering(token, request);
  }

  async watch(token: string, path: string, onEvent: (event: WatchEvent) => 'more' | 'enough'): Promise<void> {
    this.asked.push({ token, request: { method: 'GET', path } });
    for (const event of this.events) if (onEvent(event) === 'enough') return;
  }
}
