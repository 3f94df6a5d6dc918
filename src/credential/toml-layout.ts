/**
 * Where things stand in a TOML text: its table headers and assignments with their offsets and
 * lines. The parser gives values without positions; error messages need the line, and edits need
 * the exact span, so that a person's comments and layout survive.
 *
 * The text has been accepted by the parser before it comes here, so this reads only as much grammar
 * as tells statements apart. Values are never decoded.
 */
import { parse } from 'smol-toml'

export interface TomlStatement {
  readonly kind: 'table' | 'array-table' | 'assignment'
  /**
   * From the root: `[users.alice]` is ['users', 'alice'], `verifiers = ...` in it adds one more.
   */
  readonly path: readonly string[]
  /**
   * From the first character of the statement to the one after its last, without comment or
   * newline.
   */
  readonly start: number
  readonly end: number
  /** 1-based. */
  readonly line: number
  /** Lines of the values in an array, for messages about one of them. */
  readonly elementLines: readonly number[]
}

export function readTomlLayout(text: string): TomlStatement[] {
  return new Reader(text).read()
}

/** Lines of values by their path. */
export class TomlLines {
  readonly #statements = new Map<string, TomlStatement>()

  constructor(text: string) {
    for (const statement of readTomlLayout(text)) {
      const key = JSON.stringify(statement.path)
      if (!this.#statements.has(key)) this.#statements.set(key, statement)
    }
  }

  /** The line of the value at `path`, or of the nearest thing around it that has one; 0 if none. */
  find(path: readonly (string | number)[]): number {
    for (let length = path.length; length > 0; length -= 1) {
      const statement = this.#statements.get(JSON.stringify(path.slice(0, length)))
      if (statement === undefined) continue
      const next = path[length]
      const elementLine = typeof next === 'number' ? statement.elementLines[next] : undefined
      return elementLine ?? statement.line
    }
    return 0
  }
}

class Reader {
  readonly #text: string
  #at = 0
  #line = 1

  constructor(text: string) {
    this.#text = text
  }

  read(): TomlStatement[] {
    const statements: TomlStatement[] = []
    let table: readonly string[] = []
    for (;;) {
      this.#skipToStatement()
      if (this.#at >= this.#text.length) return statements
      const start = this.#at
      const line = this.#line
      if (this.#text[start] === '[') {
        const kind = this.#text[start + 1] === '[' ? 'array-table' : 'table'
        const width = kind === 'table' ? 1 : 2
        this.#at += width
        table = this.#readKeys()
        this.#at += width
        statements.push({ kind, path: table, start, end: this.#at, line, elementLines: [] })
      } else {
        const path = [...table, ...this.#readKeys()]
        this.#at += 1
        const elementLines = this.#readValue()
        statements.push({ kind: 'assignment', path, start, end: this.#at, line, elementLines })
      }
    }
  }

  #skipToStatement(): void {
    for (;;) {
      const char = this.#text[this.#at]
      if (char === '#') this.#skipComment()
      else if (char !== undefined && /[ \t\r\n\uFEFF]/.test(char)) this.#step()
      else return
    }
  }

  #skipBlanks(): void {
    while (this.#text[this.#at] === ' ' || this.#text[this.#at] === '\t') this.#at += 1
  }

  #skipComment(): void {
    while (this.#at < this.#text.length && this.#text[this.#at] !== '\n') this.#at += 1
  }

  #step(): void {
    if (this.#text[this.#at] === '\n') this.#line += 1
    this.#at += 1
  }

  /** A dotted key; stops at the `=` or `]` behind it. */
  #readKeys(): string[] {
    const keys: string[] = []
    for (;;) {
      this.#skipBlanks()
      const start = this.#at
      const quote = this.#text[start]
      if (quote === '"' || quote === "'") {
        this.#readString()
        const quoted = this.#text.slice(start, this.#at)
        keys.push(...Object.keys(parse(`${quoted} = 0`)))
      } else {
        while (/[A-Za-z0-9_-]/.test(this.#text[this.#at] ?? '')) this.#at += 1
        keys.push(this.#text.slice(start, this.#at))
      }
      this.#skipBlanks()
      if (this.#text[this.#at] !== '.') return keys
      this.#at += 1
    }
  }

  /**
   * Stops behind the last character of the value. The result has the lines of an array's values.
   */
  #readValue(): number[] {
    this.#skipBlanks()
    const elementLines: number[] = []
    let depth = 0
    let expectsElement = false
    do {
      const char = this.#text[this.#at]
      if (char === undefined) return elementLines
      const isBlank = ' \t\r\n'.includes(char)
      if (depth === 1 && expectsElement && !isBlank && char !== '#' && char !== ']') {
        elementLines.push(this.#line)
        expectsElement = false
      }
      if (char === '#') this.#skipComment()
      else if (char === '"' || char === "'") this.#readString()
      else if (char === '[' || char === '{') {
        depth += 1
        if (depth === 1) expectsElement = true
        this.#at += 1
      } else if (char === ']' || char === '}') {
        depth -= 1
        this.#at += 1
      } else if (depth === 0) this.#readScalar()
      else {
        if (char === ',' && depth === 1) expectsElement = true
        this.#step()
      }
    } while (depth > 0)
    return elementLines
  }

  /** A number, boolean or date: up to the comment or the end of the line. */
  #readScalar(): void {
    const rest = /[^#\r\n]*/y
    rest.lastIndex = this.#at
    const found = rest.exec(this.#text)?.[0] ?? ''
    this.#at += Math.max(found.trimEnd().length, 1)
  }

  #readString(): void {
    const quote = this.#text[this.#at] ?? ''
    const triple = quote.repeat(3)
    const delimiter = this.#text.startsWith(triple, this.#at) ? triple : quote
    this.#at += delimiter.length
    while (this.#at < this.#text.length && !this.#text.startsWith(delimiter, this.#at)) {
      if (quote === '"' && this.#text[this.#at] === '\\') this.#step()
      this.#step()
    }
    this.#at += delimiter.length
    // A multi-line string may end in up to two quotes of its own.
    if (delimiter === triple) while (this.#text[this.#at] === quote) this.#at += 1
  }
}
