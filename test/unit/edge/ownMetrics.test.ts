/** A program tells its clock, and from when until when the certificate holds that it shows now. */
import { expect } from 'chai';
import { Issuer, makeAuthority } from '../../../edge/issuing.ts';
import { createMetrics } from '../../../edge/metrics.ts';
import { tellOfItself } from '../../../edge/ownMetrics.ts';
import type { Certificates } from '../../../edge/tls.ts';

const HOUR_MS = 3_600_000;

describe('edge: what every program tells of itself', () => {
  it('its clock, and the life of its certificate, also of a renewed one', async () => {
    const issuer = new Issuer(await makeAuthority('test', 100 * HOUR_MS));
    const pemOf = async (lifeMs: number): Promise<Buffer> => {
      const { certificate } = await issuer.issue({ subject: { commonName: 'agent:node-a', organizations: [] }, names: [], lifeMs });
      return Buffer.from(certificate);
    };
    const material = { ca: Buffer.alloc(0), cert: await pemOf(HOUR_MS), key: Buffer.alloc(0) };
    const metrics = createMetrics({ processMetrics: false });
    tellOfItself(metrics, { material } as unknown as Certificates);
    const shown = async (name: string): Promise<number> => {
      const [, value] = new RegExp(`^holdfast_${name} (\\S+)$`, 'm').exec(await metrics.render()) ?? [];
      return Number(value);
    };
    const nowSeconds = Date.now() / 1000;
    expect(await shown('clock_timestamp_seconds')).to.be.closeTo(nowSeconds, 60);
    expect(await shown('certificate_ends_timestamp_seconds')).to.be.closeTo(nowSeconds + 3600, 60);
    expect(await shown('certificate_begins_timestamp_seconds')).to.be.within(nowSeconds - 3600, nowSeconds);
    material.cert = await pemOf(10 * HOUR_MS);
    expect(await shown('certificate_ends_timestamp_seconds')).to.be.closeTo(nowSeconds + 36_000, 60);
  });
});
