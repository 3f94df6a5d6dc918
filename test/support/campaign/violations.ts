/** What a campaign found wrong, by kind; of each kind the first ones. */

/** Of one kind; more of the same tell nothing. */
const SHOWN_MAX = 8

export class Violations {
  readonly #shown = new Map<string, string[]>()
  readonly #counts = new Map<string, number>()

  add(kind: string, what: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1)
    const shown = this.#shown.get(kind) ?? []
    if (shown.length < SHOWN_MAX) this.#shown.set(kind, [...shown, what])
  }

  lines(): string[] {
    return [...this.#shown].flatMap(([kind, shown]) => [
      `${kind}: ${this.#counts.get(kind)} times`,
      ...shown.map((what) => `  ${what}`),
    ])
  }
}
