#!/usr/bin/env node
/** argv in, exit code out; src/cli has the rest. */
import { main } from '../src/cli/main.ts'

/** sysexits.h, EX_SOFTWARE: a defect, ours. */
const EXIT_CRASH = 70

try {
  const exitCode = await main(process.argv.slice(2), {
    stdin: process.stdin,
    environment: process.env,
    program: process.argv[1],
    columns: process.stdout.columns,
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
  })
  // Whatever is still open has had its chance: a forgotten handle must not keep a stopped server up.
  process.exit(exitCode)
} catch (error) {
  process.stderr.write(`saslcached: ${error instanceof Error ? error.stack : String(error)}\n`)
  process.exit(EXIT_CRASH)
}
