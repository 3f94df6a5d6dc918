/**
 * What is common to the programs that drive client libraries: what they are told, and how what they print
 * is read. client-suite.ts has the contract.
 */
import type { ProgramResult } from './program.ts'
import type { User } from './server.ts'

export const ALICE: User = { name: 'alice', password: 'correct horse battery staple' }

/** How long a client waits for an answer that is to be a refusal: some only go on trying until then. */
export const REFUSAL_PATIENCE_MS = 5_000
export const PATIENCE_MS = 10_000

/** The variables that tell a client program where to go and as whom. */
export function clientEnvironment(
  server: { readonly host: string; readonly port: number },
  user: User,
): Record<string, string> {
  return {
    CLIENT_HOST: server.host,
    CLIENT_PORT: String(server.port),
    CLIENT_USER: user.name,
    CLIENT_PASSWORD: user.password,
    // Java and Ruby decode their environment and output by the locale.
    LC_ALL: 'C.UTF-8',
  }
}

export function resultLines(outcome: ProgramResult): string[] {
  return outcome.stdout.split('\n').filter((line) => /^(not )?ok - /.test(line))
}

export function nameOf(line: string): string {
  return line.replace(/^(not )?ok - /, '').replace(/^([^:]+):.*$/, '$1')
}

export function describeRun(outcome: ProgramResult): string {
  const end = outcome.overran ? 'ran over its deadline' : `exit code ${outcome.exitCode}`
  return `${end}\n--- stdout\n${outcome.stdout}\n--- stderr\n${outcome.stderr}`
}
