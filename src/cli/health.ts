/**
 * `saslcached health [address]`: one version request to the address, or to the server that the options
 * name; without either to the server that runs here, whatever it was started with, or to the one that
 * would be started, of which one that has --http is asked whether it is ready. Exit code 0 when it answers, 1 when it does not.
 */
import { Command } from 'commander'
import { EXIT_FAILURE, EXIT_OK } from '../base/exit-code.ts'
import type { ConfigInputs } from '../config/given-options.ts'
import { Refusal } from '../config/kind.ts'
import { parseListenAddress } from '../config/listen.ts'
import { loadNetwork } from '../config/load.ts'
import { OPTIONS } from '../config/options.ts'
import { ConfigError, formatProblems } from '../config/problem.ts'
import { findServer, type OtherVariables } from '../server/files/running-server.ts'
import {
  checkHealth,
  formatTarget,
  HealthError,
  type HealthTarget,
  healthTarget,
} from '../server/net/health-check.ts'
import { readExtraFlags } from './extra-flags.ts'
import { addOptions, type CommandLine } from './flags.ts'
import { type Io, indent } from './io.ts'

/** Long enough for a busy server, short enough for the runtimes' usual limits. */
const TIMEOUT_MS = 3000

const SEVERAL =
  'Several servers run here that were started in different ways, so the configured address was asked; name another.'

export async function runHealth(
  io: Io,
  inputs: ConfigInputs,
  address: string | undefined,
): Promise<number> {
  if (inputs.flags.problems.length > 0) throw new ConfigError(inputs.flags.problems)
  // Those of the environment are a server's own, and the one that runs here may have others.
  const isFileNamed = inputs.configFile !== undefined && inputs.extraFlags === undefined
  const isToldWhere = address !== undefined || inputs.flags.uses.length > 0 || isFileNamed
  const server = isToldWhere ? undefined : findRunning(io, inputs)
  const asked = server === undefined || isPassedOver(server) ? inputs : server
  const { network, http, problems } = await loadNetwork(asked)
  let target: HealthTarget | undefined
  try {
    target = address === undefined ? healthTarget(network) : parseTarget(address, saysTls(inputs))
    const version = await checkHealth(target, TIMEOUT_MS)
    if (address === undefined && http !== undefined) {
      // Only who is asked over HTTP pays for it.
      const { askWhyNotReady } = await import('../server/http/ready-check.ts')
      const reasons = await askWhyNotReady(http, TIMEOUT_MS)
      if (reasons !== undefined) throw new HealthError(`not ready: ${reasons}`)
    }
    io.out(`healthy: version ${version} at ${formatTarget(target)}\n`)
    return EXIT_OK
  } catch (error) {
    if (!(error instanceof HealthError)) throw error
    // Whoever named no address should see which one was asked.
    const where = target === undefined ? '' : `${formatTarget(target)}: `
    io.err(`unhealthy: ${where}${error.message}\n`)
    if (server !== undefined && isPassedOver(server)) io.err(indent(whyPassedOver(server)))
    // Perhaps the server was asked at the wrong place because of these.
    if (problems.length > 0) io.err(indent(formatProblems(problems)))
    return EXIT_FAILURE
  }
}

type PassedOver = 'several' | OtherVariables

function isPassedOver(server: ConfigInputs | PassedOver): server is PassedOver {
  return server === 'several' || 'differing' in server
}

function whyPassedOver(server: PassedOver): string {
  if (server === 'several') return SEVERAL
  const names = server.differing.join(', ')
  return `A server runs here that was started with other variables (${names}), so the configured address was asked; name another.`
}

/** What the server that runs here was started with; undefined if there is none. */
function findRunning(io: Io, inputs: ConfigInputs): ConfigInputs | PassedOver | undefined {
  if (io.program === undefined) return undefined
  const isServer = (argv: readonly string[]): boolean => parseServer(argv) !== undefined
  const server = findServer(io.program, io.environment, isServer)
  if (server === undefined || server === 'several' || 'differing' in server) return server
  const line = parseServer(server.argv)
  if (line === undefined) return undefined
  try {
    // Paths that it was given may be relative.
    process.chdir(server.directory)
  } catch {
    // It need not be ours to enter, and most paths are absolute.
  }
  const { environment } = server
  const extra = readExtraFlags(environment)
  return {
    ...inputs,
    flags: line.flags,
    extraFlags: extra?.flags,
    configFile: line.configFile ?? extra?.configFile,
    environment,
  }
}

/** A server's command line; undefined where it is another command's. */
function parseServer(argv: readonly string[]): CommandLine | undefined {
  const program = new Command().allowUnknownOption().allowExcessArguments().exitOverride()
  program.helpOption(false).configureOutput({ outputError: () => undefined })
  const line = addOptions(program, argv)
  try {
    program.parse(argv, { from: 'user' })
  } catch {
    return undefined
  }
  const [command] = program.args
  return [undefined, 'serve', 'memcached'].includes(command) ? line : undefined
}

/** Whether the command line has --tls. */
function saysTls({ flags }: ConfigInputs): boolean {
  return flags.uses.findLast(({ option }) => option === 'tls')?.value === 'true'
}

/** An address as -l takes it, or the path of a Unix socket. `isTls`: where the address says nothing of it. */
function parseTarget(text: string, isTls: boolean): HealthTarget {
  if (text.includes('/')) return { path: text }
  const address = parseListenAddress(text, OPTIONS.port.default)
  if (address instanceof Refusal) {
    throw new ConfigError([
      { where: 'health', message: `${JSON.stringify(text)} ${address.reason}` },
    ])
  }
  const { host, port, security } = address
  if (security === undefined) return { host, port, ...(isTls ? { tls: 'none' } : {}) }
  if (security === 'notls') return { host, port }
  return { host, port, tls: security === 'btls' ? 'none' : 'require' }
}
