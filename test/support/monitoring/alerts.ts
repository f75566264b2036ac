/** The alerts as they are shipped, read from their files. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { CHECKOUT } from '../../../tools/local/layout.ts';

export const RULES_DIRECTORY = path.join(CHECKOUT, 'helm/holdfast/rules');
export const RUNBOOKS_DIRECTORY = path.join(CHECKOUT, 'docs/runbooks');

export type Alert = {
  alert: string;
  expr: string;
  for: string;
  labels: { severity: string };
  annotations: { summary: string; runbook_url: string };
};
export type RuleFile = { groups: { name: string; rules: Alert[] }[] };

export const ruleFiles = (): string[] =>
  readdirSync(RULES_DIRECTORY)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => path.join(RULES_DIRECTORY, file));

export const readRules = (file: string): RuleFile => parse(readFileSync(file, 'utf8')) as RuleFile;
export const allAlerts = (): Alert[] => ruleFiles().flatMap((file) => readRules(file).groups.flatMap(({ rules }) => rules));

const MINUTES = { s: 1 / 60, m: 1, h: 60 } as const;

/** `1h` as Prometheus writes it. */
export function minutesOf(duration: string): number {
  const [, amount, unit] = /^(\d+)([smh])$/.exec(duration) ?? [];
  if (amount === undefined || unit === undefined) throw new Error(`not a duration: ${duration}`);
  return Number(amount) * MINUTES[unit as keyof typeof MINUTES];
}
