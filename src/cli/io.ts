/**
 * What the command line needs from its process, as a parameter: tests run commands without one.
 */
import type { Readable, Writable } from 'node:stream'
import { EXIT_FAILURE } from '../base/exit-code.ts'
import type { Environment } from '../config/environment.ts'

/** A terminal or a pipe; the members beyond Readable exist on a terminal only. */
export type Input = Readable & {
  readonly isTTY?: boolean
  setRawMode?(on: boolean): unknown
}

/** A terminal, a pipe or a file; the members beyond Writable exist on a terminal only. */
export type Output = Writable & {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

export interface Io {
  readonly stdin: Input
  /** For who writes bytes, or waits until they are taken; others call `out`. */
  readonly stdout?: Output
  readonly environment: Environment
  /** The file that runs as this program; undefined where none does. */
  readonly program?: string | undefined
  /** Width of the terminal that stdout is; undefined when it is none. */
  readonly columns: number | undefined
  /** Replaces /etc/saslcached. */
  readonly directory?: string
  out(text: string): void
  err(text: string): void
}

/** A command that fails: a sentence for stderr and an exit code. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
  readonly exitCode: number

  constructor(message: string, exitCode: number = EXIT_FAILURE) {
    super(message)
    this.exitCode = exitCode
  }
}

/** Lines of problems, to stand under a heading. */
export function indent(lines: string): string {
  return `${lines.replace(/^/gm, '  ')}\n`
}
