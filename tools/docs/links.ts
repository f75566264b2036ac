/** Where the links of pages lead: to what is there, and to a heading that is there. Addresses outside of the checkout are not asked for. Pure but for the two questions. */
import path from 'node:path';
import type { Page } from './page.ts';

export type Checkout = { exists(file: string): boolean; page(file: string): Page | undefined };

const OUTSIDE = /^(?:https?|mailto):/;

export function wrongLinks(page: Page, checkout: Checkout): string[] {
  return page.links.flatMap(({ target, line }) => {
    if (OUTSIDE.test(target)) return [];
    const [way = '', anchor] = target.split('#', 2);
    const file = way === '' ? page.file : path.posix.join(path.posix.dirname(page.file), decodeURI(way));
    const told = (what: string): string[] => [`${page.file}:${line}: ${target}: ${what}`];
    if (file.startsWith('..')) return told('leads out of the checkout');
    if (!checkout.exists(file)) return told(`there is no ${file}`);
    if (anchor === undefined) return [];
    const there = way === '' ? page : checkout.page(file);
    return there?.anchors.has(anchor) ? [] : told(`${file} has no heading of that name`);
  });
}
