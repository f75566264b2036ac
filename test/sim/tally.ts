/** What went wrong in a run, counted by kind: a fault that a seed's options allow and that never happened shows nothing. */
export class Tally {
  readonly #counts = new Map<string, number>();

  count(kind: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }

  add(other: Readonly<Record<string, number>>): void {
    for (const [kind, count] of Object.entries(other)) this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + count);
  }

  get counts(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([one], [other]) => (one < other ? -1 : 1)));
  }
}
