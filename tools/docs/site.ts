/** Pages as files that a browser shows without a server: one style, a list of all pages, links to Markdown turned into links to what was made of it. Pure. */
import path from 'node:path';
import type { Page } from './page.ts';

const STYLE = `
  :root { color-scheme: light dark; }
  body { font: 16px/1.55 system-ui, sans-serif; margin: 0; display: grid; grid-template-columns: 15rem minmax(0, 60rem); }
  nav { padding: 2rem 1rem; font-size: .9rem; position: sticky; top: 0; height: 100vh; overflow: auto; box-sizing: border-box; }
  nav a { display: block; padding: .15rem .5rem; text-decoration: none; } nav a { overflow-wrap: anywhere; } nav a[aria-current] { font-weight: 600; }
  nav a.inner { padding-left: 1.5rem; }
  main { padding: 1rem 2rem 4rem; } img { max-width: 100%; }
  table { border-collapse: collapse; display: block; overflow-x: auto; } td, th { border: 1px solid #8884; padding: .3rem .6rem; text-align: left; vertical-align: top; }
  pre { background: #8882; padding: .8rem 1rem; overflow-x: auto; border-radius: .3rem; } code { font: .88em/1.45 ui-monospace, monospace; }
  @media (max-width: 50rem) { body { display: block; } nav { position: static; height: auto; } }
`;

export const siteName = (file: string): string => file.replace(/(^|\/)README\.md$/, '$1index.html').replace(/\.md$/, '.html');

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

/** Of the pages that are made, the others stay as they are: files of the checkout. */
const withSiteLinks = (page: Page, made: ReadonlySet<string>): string =>
  page.html.replaceAll(/href="([^"#:]+\.md|[^"#:]*\/)(#[^"]*)?"/g, (whole, way: string, anchor = '') => {
    const target = path.posix.join(path.posix.dirname(page.file), way.endsWith('/') ? `${way}README.md` : way);
    return made.has(target) ? `href="${siteName(way.endsWith('/') ? `${way}README.md` : way)}${anchor}"` : whole;
  });

export function sitePage(page: Page, pages: readonly Page[]): string {
  const made = new Set(pages.map(({ file }) => file));
  const here = path.posix.dirname(page.file);
  const list = pages.map(({ file, title }) => {
    const current = file === page.file ? ' aria-current="page"' : '';
    const inner = file.split('/').length > 2 && !file.endsWith('README.md') ? ' class="inner"' : '';
    return `<a href="${siteName(path.posix.relative(here, file))}"${inner}${current}>${escaped(title)}</a>`;
  });
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(page.title)} - Holdfast</title><style>${STYLE}</style></head>
<body>
<nav>${list.join('\n')}</nav>
<main>
${withSiteLinks(page, made)}
</main>
</body>
</html>
`;
}
