/**
 * What a volume's clients may do in a second, as token buckets: one of requests, one of bytes. Pure given the time.
 *
 * A bucket holds a tenth of a second's worth: twice as long as the time between two ticks, so that whoever waits for one misses nothing, and short enough
 * that nobody else on the node notices the burst. A request that is larger than a bucket goes when the bucket is full and leaves it in debt: it is never
 * impossible, and what comes after it pays.
 */
import type { VolumeLimits } from '../../core/config.ts';

const BURST_SECONDS = 0.1;

class Bucket {
  readonly #burstMin: number;
  /** 0: no limit. */
  #perSecond = 0;
  /** Below zero: in debt. */
  #tokens = 0;
  #atMs = 0;

  constructor(burstMin: number) {
    this.#burstMin = burstMin;
  }

  get #burst(): number {
    return Math.max(this.#perSecond * BURST_SECONDS, this.#burstMin);
  }

  /** From now on; what was saved or owed under another limit stays saved or owed. One that had no limit begins full. */
  set(perSecond: number, nowMs: number): void {
    this.#refill(nowMs);
    const hadNone = this.#perSecond === 0;
    this.#perSecond = perSecond;
    this.#tokens = hadNone ? this.#burst : Math.min(this.#tokens, this.#burst);
  }

  has(cost: number, nowMs: number): boolean {
    if (this.#perSecond === 0) return true;
    this.#refill(nowMs);
    return this.#tokens >= Math.min(cost, this.#burst);
  }

  take(cost: number): void {
    if (this.#perSecond > 0) this.#tokens -= cost;
  }

  #refill(nowMs: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) * this.#perSecond) / 1_000);
    this.#atMs = nowMs;
  }
}

export class Limits {
  readonly #requests = new Bucket(1);
  readonly #bytes = new Bucket(0);
  #isOff = true;

  get isOff(): boolean {
    return this.#isOff;
  }

  set(limits: VolumeLimits | undefined, nowMs: number): void {
    const { iops, bytesPerSecond } = limits ?? { iops: 0, bytesPerSecond: 0 };
    this.#isOff = iops === 0 && bytesPerSecond === 0;
    this.#requests.set(iops, nowMs);
    this.#bytes.set(bytesPerSecond, nowMs);
  }

  /** True: one request of so many bytes may go now, and is paid. */
  take(bytes: number, nowMs: number): boolean {
    if (!this.#requests.has(1, nowMs) || !this.#bytes.has(bytes, nowMs)) return false;
    this.#requests.take(1);
    this.#bytes.take(bytes);
    return true;
  }
}
