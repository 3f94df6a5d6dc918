/**
 * A password on its way from the environment to the credential store. It shows itself only to who
 * asks by name: printing, logging, JSON and structured cloning of a record that holds one yield
 * nothing.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  reveal(): string {
    return this.#value
  }

  toString(): string {
    return '(hidden)'
  }

  toJSON(): string {
    return '(hidden)'
  }
}
