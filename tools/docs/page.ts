/** One page of the documentation as people read it: its headings' anchors, its links, its blocks of code. Pure. */
import GithubSlugger from 'github-slugger';
import MarkdownIt, { type Token } from 'markdown-it';

export type Link = { target: string; line: number };
export type CodeBlock = { language: string; text: string; line: number };
export type Page = {
  /** In the checkout: `docs/concepts.md`. */
  file: string;
  title: string;
  anchors: ReadonlySet<string>;
  links: readonly Link[];
  code: readonly CodeBlock[];
  html: string;
};

const markdown = new MarkdownIt({ html: false, linkify: false });

/** As the text of a heading is shown, without its marks: anchors are made of that. */
const shown = (token: Token | undefined): string =>
  (token?.children ?? []).map(({ type, content }) => (type === 'text' || type === 'code_inline' ? content : '')).join('');

export function readPage(file: string, text: string): Page {
  const tokens = markdown.parse(text, {});
  const slugger = new GithubSlugger();
  const anchors = new Set<string>();
  let title = file;
  for (const [index, token] of tokens.entries()) {
    if (token.type !== 'heading_open') continue;
    const heading = shown(tokens[index + 1]);
    const anchor = slugger.slug(heading);
    token.attrSet('id', anchor);
    anchors.add(anchor);
    if (token.tag === 'h1') title = heading;
  }
  const links = tokens.flatMap(linksIn);
  const code = tokens
    .filter(({ type }) => type === 'fence' || type === 'code_block')
    .map(({ info, content, map }) => ({ language: info.trim(), text: content, line: (map?.[0] ?? 0) + 1 }));
  return { file, title, anchors, links, code, html: markdown.renderer.render(tokens, markdown.options, {}) };
}

function linksIn(token: Token): Link[] {
  const line = (token.map?.[0] ?? 0) + 1;
  return (token.children ?? []).flatMap((child) => {
    const target = child.type === 'link_open' ? child.attrGet('href') : child.type === 'image' ? child.attrGet('src') : null;
    return target === null ? [] : [{ target: String(target), line }];
  });
}
