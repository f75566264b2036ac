/**
 * `make dashboard-pictures`: docs/dashboards/*.png, drawn by a real browser from the answers that `make test-monitoring` saved. Without Grafana, which is in no package that the
 * other parts come from: these are not its pictures, and say so.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CHECKOUT } from '../../tools/local/layout.ts';
import { PAGE_WIDTH, pageHeight, pageOf } from './page.ts';
import type { Saved } from './saved.ts';
import { PICTURE_STEP_SECONDS } from './saved.ts';

const BROWSER_MS = 120_000;
const PICTURE_BYTES_MAX = 200_000;
const QUIET = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--hide-scrollbars',
  '--disable-lcd-text',
];

const [, , answers = ''] = process.argv;
const uplot = (file: string): string => readFileSync(path.join(CHECKOUT, 'node_modules/uplot/dist', file), 'utf8');
const library = { script: uplot('uPlot.iife.min.js'), style: uplot('uPlot.min.css') };
const target = path.join(CHECKOUT, 'docs/dashboards');
const work = mkdtempSync(path.join(tmpdir(), 'holdfast-pictures-'));
mkdirSync(target, { recursive: true });
try {
  for (const dashboard of JSON.parse(readFileSync(answers, 'utf8')) as Saved) {
    const page = path.join(work, 'page.html');
    const picture = path.join(target, dashboard.file.replace(/json$/, 'png'));
    writeFileSync(page, pageOf(dashboard, PICTURE_STEP_SECONDS, library));
    const size = `--window-size=${PAGE_WIDTH},${pageHeight(dashboard)}`;
    const words = [...QUIET, `--user-data-dir=${path.join(work, dashboard.file)}`, size, `--screenshot=${picture}`, `file://${page}`];
    execFileSync('chromium', words, { stdio: 'ignore', timeout: BROWSER_MS });
    const { size: bytes } = statSync(picture);
    if (bytes > PICTURE_BYTES_MAX) throw new Error(`${picture} has ${bytes} bytes, more than ${PICTURE_BYTES_MAX}`);
    process.stdout.write(`  ${path.relative(CHECKOUT, picture)}, ${Math.round(bytes / 1024)} KiB\n`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
