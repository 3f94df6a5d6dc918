/**
 * `saslcached` itself: loads the configuration and hands it to the server, or only looks at it
 * (--check-config, --print-config).
 */
import { EXIT_CONFIG, EXIT_OK } from '../base/exit-code.ts'
import type { Config } from '../config/config.ts'
import type { ConfigInputs } from '../config/given-options.ts'
import { loadNetwork } from '../config/load.ts'
import { signals } from '../server/main/signals.ts'
import { type Io, indent } from './io.ts'

export interface ServeChoices {
  readonly checkConfig?: boolean
  readonly printConfig?: boolean
}

/** Throws ConfigError. */
export async function runServe(
  io: Io,
  inputs: ConfigInputs,
  choices: ServeChoices,
): Promise<number> {
  if (choices.printConfig === true || choices.checkConfig === true) signals.release()
  const { loadServerConfig } = await import('../server/main/load-server-config.ts')
  const config = await loadServerConfig(inputs)
  if (choices.printConfig === true) {
    const { printConfig } = await import('../config/print.ts')
    io.out(printConfig(config))
  }
  if (choices.checkConfig === true) return check(io, config)
  if (choices.printConfig === true) return EXIT_OK
  const { serve } = await import('../server/main/serve.ts')
  return serve(config, () => loadNetwork(inputs))
}

/** Reads what a start would read. */
async function check(io: Io, config: Config): Promise<number> {
  const { checkFiles } = await import('../server/main/check-files.ts')
  const { warnings, faults } = await checkFiles(config)
  for (const warning of warnings) io.err(`warning: ${warning}\n`)
  for (const { what, details } of faults) {
    io.err(`saslcached: ${what}\n${details === undefined ? '' : indent(details)}`)
  }
  if (faults.length > 0) return EXIT_CONFIG
  for (const notice of config.notices) io.err(`note: ${notice}\n`)
  io.err('saslcached: the configuration is good\n')
  return EXIT_OK
}
