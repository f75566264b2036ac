/**
 * A TypeScript file as the room rules see it: its code with the contents of comments, strings and regular expressions blanked, and its imports.
 * Not a parser: just enough to never take a word in a comment or a string for code. Reads no files.
 */

export type Import = { specifier: string; line: number; typeOnly: boolean };

export type Source = {
  /** As long as the file, line by line and column by column. */
  code: string;
  imports: Import[];
};

type Literals = Map<number, string>;

/** After one of these a slash begins a regular expression; after anything else it divides. */
const BEFORE_REGULAR_EXPRESSION = /(?:^|[([{,;=:?!&|+\-*%~^<>]|\b(?:return|typeof|case|in|of|throw|await|yield|void|else|do))\s*$/;
const IMPORT = /\b(?:import|export)\b(?<what>[^;'"`()]*?)\bfrom\s*(?=['"])|\bimport\s*(?=['"])|\bimport\s*\(\s*(?=['"`])/g;

export function readSource(text: string): Source {
  const literals: Literals = new Map();
  const code = new Blanker(text, literals).run();
  return { code, imports: findImports(code, literals) };
}

export function lineAt(code: string, index: number): number {
  return code.slice(0, index).split('\n').length;
}

function findImports(code: string, literals: Literals): Import[] {
  return [...code.matchAll(IMPORT)].map((match) => ({
    specifier: literals.get(match.index + match[0].length) ?? '',
    line: lineAt(code, match.index + match[0].length),
    typeOnly: /^\s*type(?:\s+[\w$]|\s*[{*])/.test(match.groups?.what ?? ''),
  }));
}

/** Walks over the text once. `${` in a template begins code again, whose closing brace goes back into the template. */
class Blanker {
  readonly #text: string;
  readonly #literals: Literals;
  /** For each template that we are inside of the code of: how many braces are open in that code. */
  readonly #openBraces: number[] = [];
  #index = 0;
  #code = '';

  constructor(text: string, literals: Literals) {
    this.#text = text;
    this.#literals = literals;
  }

  run(): string {
    while (this.#index < this.#text.length) {
      this.#step();
    }
    return this.#code;
  }

  #step(): void {
    const rest = this.#text.slice(this.#index, this.#index + 2);
    const character = rest.charAt(0);
    if (rest === '//') {
      this.#blankTo(this.#find('\n', this.#index));
    } else if (rest === '/*') {
      this.#blankTo(this.#find('*/', this.#index + 2) + 2);
    } else if (character === "'" || character === '"') {
      this.#literal(character);
    } else if (character === '`') {
      this.#template();
    } else if (character === '/' && BEFORE_REGULAR_EXPRESSION.test(this.#code.slice(-200))) {
      this.#regularExpression();
    } else if (character === '}' && this.#openBraces.at(-1) === 0) {
      this.#openBraces.pop();
      this.#template();
    } else {
      this.#countBraces(character);
      this.#keep(1);
    }
  }

  #countBraces(character: string): void {
    const last = this.#openBraces.length - 1;
    const open = this.#openBraces[last];
    if (open !== undefined && (character === '{' || character === '}')) {
      this.#openBraces[last] = open + (character === '{' ? 1 : -1);
    }
  }

  #literal(quote: string): void {
    const start = this.#index;
    const end = this.#endOf(quote, start + 1);
    this.#literals.set(start, this.#text.slice(start + 1, end));
    this.#keep(1);
    this.#blankTo(end);
    this.#keep(1);
  }

  /** From a backtick, or the brace that ends code within, to the next code within or the closing backtick. */
  #template(): void {
    const start = this.#index;
    this.#keep(1);
    for (let index = start + 1; index < this.#text.length; index++) {
      if (this.#text[index] === '\\') {
        index++;
      } else if (this.#text[index] === '`') {
        this.#literals.set(start, this.#text.slice(start + 1, index));
        this.#blankTo(index);
        this.#keep(1);
        return;
      } else if (this.#text.startsWith('${', index)) {
        this.#blankTo(index);
        this.#keep(2);
        this.#openBraces.push(0);
        return;
      }
    }
    this.#blankTo(this.#text.length);
  }

  #regularExpression(): void {
    let inClass = false;
    let index = this.#index + 1;
    for (; index < this.#text.length && this.#text[index] !== '\n'; index++) {
      const character = this.#text[index];
      if (character === '\\') {
        index++;
      } else if (character === '[' || character === ']') {
        inClass = character === '[';
      } else if (character === '/' && !inClass) {
        break;
      }
    }
    this.#keep(1);
    this.#blankTo(index);
    this.#keep(1);
  }

  #endOf(quote: string, from: number): number {
    for (let index = from; index < this.#text.length; index++) {
      if (this.#text[index] === '\\') {
        index++;
      } else if (this.#text[index] === quote || this.#text[index] === '\n') {
        return index;
      }
    }
    return this.#text.length;
  }

  #find(what: string, from: number): number {
    const found = this.#text.indexOf(what, from);
    return found < 0 ? this.#text.length : found;
  }

  #keep(count: number): void {
    this.#code += this.#text.slice(this.#index, this.#index + count);
    this.#index += count;
  }

  #blankTo(end: number): void {
    this.#code += this.#text.slice(this.#index, end).replace(/[^\n]/g, ' ');
    this.#index = end;
  }
}
