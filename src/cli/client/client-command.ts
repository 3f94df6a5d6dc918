/** What the commands of the client have in common: how they are declared, and what they are given. */
import type { Command } from 'commander'
import { EXIT_CONFIG } from '../../base/exit-code.ts'
import type { SessionTarget } from '../../client/connect.ts'
import { CommandFailure, type Io } from '../io.ts'
import type { ClientOutput } from './client-output.ts'

export interface ClientContext {
  readonly io: Io
  readonly output: ClientOutput
  readonly target: SessionTarget
  readonly isJson: boolean
  readonly args: readonly string[]
  /** As commander reads them; none has been checked. */
  readonly options: Readonly<Record<string, unknown>>
}

export interface ClientCommand {
  /** Its operands and its own options. */
  declare(command: Command): void
  readonly examples: readonly (readonly [line: string, about: string])[]
  /** How many operands are taken. */
  readonly operandsMax: number
  /** The exit code. Throws ClientError or CommandFailure. */
  run(context: ClientContext): Promise<number>
}

/** Where a command is about a namespace that administrators may name. */
export const NAMESPACE_OPTION = [
  '--namespace <name>',
  'of that namespace; for administrators, in text',
] as const
/** As in users.toml. */
const NAMESPACE = /^[A-Za-z0-9_.:/@+-]{1,64}$/

export function namespaceOf({ options }: ClientContext): string | undefined {
  if (options.namespace === undefined) return undefined
  const name = String(options.namespace)
  if (NAMESPACE.test(name)) return name
  throw new CommandFailure('that is no name of a namespace', EXIT_CONFIG)
}

/** A whole number of an option, within bounds. */
export function numberOf(
  { options }: ClientContext,
  name: string,
  { flag, min, max }: { readonly flag: string; readonly min: number; readonly max: number },
): number {
  const text = String(options[name])
  const number = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (number >= min && number <= max) return number
  throw new CommandFailure(`${flag} is not a whole number from ${min} to ${max}`, EXIT_CONFIG)
}

/** Seconds of an option, with a fraction if wanted. */
export function secondsOf(
  { options }: ClientContext,
  name: string,
  { flag, min, max }: { readonly flag: string; readonly min: number; readonly max: number },
): number {
  const text = String(options[name])
  const number = /^\d{1,6}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN
  if (number >= min && number <= max) return number
  throw new CommandFailure(`${flag} is not a number of seconds from ${min} to ${max}`, EXIT_CONFIG)
}
