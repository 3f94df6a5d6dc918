/** Why a server does not start. */
import { EXIT_OS } from '../../base/exit-code.ts'
import { ListenError } from '../net/listen-error.ts'

/** `message` is fit for an operator. */
export class StartError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number, cause?: unknown) {
    super(message, { cause })
    this.exitCode = exitCode
  }
}

/** A signal, its name is the message, asked for the end before the server was ready: no failure. */
export class StopAsked extends Error {}

/** Of what binding or listening throws. */
export function asStartError(error: unknown): unknown {
  return error instanceof ListenError ? new StartError(error.message, EXIT_OS, error) : error
}
