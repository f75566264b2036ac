/** What every program tells of itself beside its work: its clock, and until when its certificate holds. Must never hold a key, nor show more of a certificate. */
import { X509Certificate } from 'node:crypto';
import type { Metrics } from './metrics.ts';
import type { Certificates } from './tls.ts';

const MS_PER_SECOND = 1000;

export function tellOfItself(metrics: Metrics, certificates: Certificates): void {
  metrics.gauge(
    'clock_timestamp_seconds',
    'The wall clock of its machine; beside the time of the scrape it shows one that is wrong',
    [],
    (gauge) => gauge.set(Date.now() / MS_PER_SECOND),
  );
  const life = lifeOf(certificates);
  metrics.gauge('certificate_begins_timestamp_seconds', 'Since when the certificate that it shows holds', [], (gauge) =>
    gauge.set(life().beginsAtMs / MS_PER_SECOND),
  );
  metrics.gauge('certificate_ends_timestamp_seconds', 'When the certificate that it shows ends', [], (gauge) =>
    gauge.set(life().endsAtMs / MS_PER_SECOND),
  );
}

/** Read anew only when it is another one: parsing it costs more than all the rest. */
function lifeOf(certificates: Certificates): () => { beginsAtMs: number; endsAtMs: number } {
  let known: { cert: Buffer; beginsAtMs: number; endsAtMs: number } | null = null;
  return () => {
    const { cert } = certificates.material;
    if (known?.cert === cert) return known;
    const { validFrom, validTo } = new X509Certificate(cert);
    known = { cert, beginsAtMs: Date.parse(validFrom), endsAtMs: Date.parse(validTo) };
    return known;
  };
}
