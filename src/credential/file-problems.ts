/**
 * What is wrong with a users.toml, gathered while it is read: each problem with the line of the value
 * that it is about, and with whose value that is.
 */
import { counted } from '../base/counted.ts'
import type { CredentialFileProblem } from './credential-file-error.ts'
import type { TomlLines } from './toml-layout.ts'

/** A file that is broken all over need not be listed line by line. */
const PROBLEMS_MAX = 50

/** What the tables of a file hold, in the singular. */
const KINDS: Readonly<Record<string, string>> = {
  users: 'user',
  roles: 'role',
  namespaces: 'namespace',
}

export type TomlPath = readonly (string | number)[]

export class FileProblems {
  readonly #file: string
  readonly #lines: TomlLines
  readonly #problems: CredentialFileProblem[] = []

  constructor(file: string, lines: TomlLines) {
    this.#file = file
    this.#lines = lines
  }

  get count(): number {
    return this.#problems.length
  }

  add(path: TomlPath, message: string): undefined {
    const [table, name] = path
    const kind = typeof table === 'string' ? KINDS[table] : undefined
    const about =
      kind !== undefined && typeof name === 'string' ? `${kind} ${quoteName(name)}: ` : ''
    this.#problems.push({
      file: this.#file,
      line: this.#lines.find(path),
      message: about + message,
    })
  }

  refuseUnknown(table: Record<string, unknown>, known: readonly string[], path: TomlPath): void {
    for (const key of Object.keys(table)) {
      if (known.includes(key)) continue
      this.add([...path, key], `unknown setting ${quoteName(key)}; known are ${listOf(known)}`)
    }
  }

  /** By line. */
  list(): CredentialFileProblem[] {
    const sorted = this.#problems.sort((a, b) => a.line - b.line)
    const left = sorted.length - PROBLEMS_MAX
    if (left <= 0) return sorted
    const more = { file: this.#file, line: 0, message: `and ${counted(left, 'more problem')}` }
    return [...sorted.slice(0, PROBLEMS_MAX), more]
  }
}

function listOf(names: readonly string[]): string {
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

/** A name for a message: quoted, control characters escaped, cut when it is long. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}...` : name)
}

export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
