/**
 * `saslcached health [address]`: one version request to the server of this configuration, or to the
 * address. Exit code 0 when it answers, 1 when it does not.
 */

import { Refusal } from '../config/kind.ts'
import { parseListenAddress } from '../config/listen.ts'
import type { ConfigInputs } from '../config/load.ts'
import { loadNetwork } from '../config/load.ts'
import { OPTIONS } from '../config/options.ts'
import { ConfigError, formatProblems } from '../config/problem.ts'
import { checkHealth, HealthError, type HealthTarget, healthTarget } from '../server/health.ts'
import { EXIT_FAILURE, EXIT_OK, type Io, indent } from './io.ts'

/** Long enough for a busy server, short enough for the runtimes' usual limits. */
const TIMEOUT_MS = 3000

export async function runHealth(
  io: Io,
  inputs: ConfigInputs,
  address: string | undefined,
): Promise<number> {
  if (inputs.flags.problems.length > 0) throw new ConfigError(inputs.flags.problems)
  const { network, problems } = await loadNetwork(inputs)
  try {
    const target = address === undefined ? healthTarget(network) : parseTarget(address)
    const version = await checkHealth(target, TIMEOUT_MS)
    io.out(`healthy: version ${version}\n`)
    return EXIT_OK
  } catch (error) {
    if (!(error instanceof HealthError)) throw error
    io.err(`unhealthy: ${error.message}\n`)
    // Perhaps the server was asked at the wrong place because of these.
    if (problems.length > 0) io.err(indent(formatProblems(problems)))
    return EXIT_FAILURE
  }
}

/** An address as -l takes it, or the path of a Unix socket. */
function parseTarget(text: string): HealthTarget {
  if (text.includes('/')) return { path: text }
  const address = parseListenAddress(text, OPTIONS.port.default)
  if (address instanceof Refusal) {
    throw new ConfigError([
      { where: 'health', message: `${JSON.stringify(text)} ${address.reason}` },
    ])
  }
  return address
}
