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
  // Read anew only when it is another one: parsing it costs more than all the rest.
  let known: { cert: Buffer; endsAtSeconds: number } | null = null;
  metrics.gauge('certificate_ends_timestamp_seconds', 'When the certificate that it shows ends', [], (gauge) => {
    const { cert } = certificates.material;
    if (known?.cert !== cert) known = { cert, endsAtSeconds: Date.parse(new X509Certificate(cert).validTo) / MS_PER_SECOND };
    gauge.set(known.endsAtSeconds);
  });
}
