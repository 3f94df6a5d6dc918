#!/usr/bin/env node
/**
 * argv in, exit code out; src/cli has the rest, and is loaded when the signals are held: what is
 * imported at the top here is loaded before that, so it is small and imports nothing.
 */
import { EXIT_OS, EXIT_SOFTWARE } from '../src/base/exit-code.ts'
import { describeShortage } from '../src/base/shortage.ts'
import { signals } from '../src/server/main/signals.ts'

signals.hold()

try {
  const { isClientCommand } = await import('../src/cli/client-commands.ts')
  const argv = process.argv.slice(2)
  const main = isClientCommand(argv)
    ? (await import('../src/cli/client/client-main.ts')).clientMain
    : (await import('../src/cli/main.ts')).main
  const exitCode = await main(argv, {
    stdin: process.stdin,
    stdout: process.stdout,
    // As it was: the server takes secrets out of its own (server/main/serve.ts).
    environment: { ...process.env },
    program: process.argv[1],
    columns: process.stdout.columns,
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
  })
  // Whatever is still open has had its chance: a forgotten handle must not keep a stopped server up.
  process.exit(exitCode)
} catch (error) {
  const shortage = describeShortage(error)
  if (shortage !== undefined) {
    process.stderr.write(`saslcached: ${shortage}\n`)
    process.exit(EXIT_OS)
  }
  process.stderr.write(`saslcached: ${error instanceof Error ? error.stack : String(error)}\n`)
  process.exit(EXIT_SOFTWARE)
}
