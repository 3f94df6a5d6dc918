/**
 * The command line of the client: argv in, exit code out, as cli/main.ts is for the server. The exit code
 * tells scripts what kind of trouble it was; see docs/client.md.
 *
 * Invariant: no argument that was not understood is repeated in a message; it may be a password.
 */
import { Command, CommanderError, Option } from 'commander'
import {
  EXIT_CONFIG,
  EXIT_FAILURE,
  EXIT_IDENTITY,
  EXIT_LOGIN,
  EXIT_OK,
  EXIT_PERMISSION,
  EXIT_PROTOCOL,
  EXIT_TIMEOUT,
  EXIT_UNAVAILABLE,
} from '../../base/exit-code.ts'
import { ClientError, type ClientErrorKind } from '../../client/client-error.ts'
import { resolveTarget, type ServerOptions } from '../../client/client-settings.ts'
import { nearestName } from '../../config/problem.ts'
import { signals } from '../../server/main/signals.ts'
import { CLIENT_COMMANDS } from '../client-commands.ts'
import { CommandFailure, type Io } from '../io.ts'
import { askPassword } from '../password.ts'
import { isPasswordFlag, PASSWORD_SEEN } from '../password-flag.ts'
import type { ClientCommand } from './client-command.ts'
import { ClientOutput, OutputClosed } from './client-output.ts'

const HELP_COLUMNS_MAX = 100
const HELP_COLUMNS_DEFAULT = 80

const EXIT_CODES: Readonly<Record<ClientErrorKind, number>> = {
  unreachable: EXIT_UNAVAILABLE,
  timeout: EXIT_TIMEOUT,
  protocol: EXIT_PROTOCOL,
  identity: EXIT_IDENTITY,
  login: EXIT_LOGIN,
  permission: EXIT_PERMISSION,
  settings: EXIT_CONFIG,
  refused: EXIT_FAILURE,
}

const LOADERS: Readonly<Record<string, () => Promise<ClientCommand>>> = {
  stats: async () => (await import('./stats-command.ts')).STATS_COMMAND,
  top: async () => (await import('./top-command.ts')).TOP_COMMAND,
  get: async () => (await import('./item-commands.ts')).GET_COMMAND,
  set: async () => (await import('./item-commands.ts')).SET_COMMAND,
  delete: async () => (await import('./item-commands.ts')).DELETE_COMMAND,
  flush: async () => (await import('./item-commands.ts')).FLUSH_COMMAND,
  dump: async () => (await import('./stream-commands.ts')).DUMP_COMMAND,
  watch: async () => (await import('./stream-commands.ts')).WATCH_COMMAND,
  ping: async () => (await import('./load-commands.ts')).PING_COMMAND,
  bench: async () => (await import('./load-commands.ts')).BENCH_COMMAND,
}

const SERVER_GROUP = 'Server and login:'
const TLS_GROUP = 'TLS:'
const GENERAL_GROUP = 'General:'

const OPTIONS: readonly (readonly [group: string, flags: string, about: string])[] = [
  [
    SERVER_GROUP,
    '-s, --server <address>',
    'host, host:port, or path of a socket with a slash (SASLCACHED_SERVER)',
  ],
  [SERVER_GROUP, '--profile <name>', 'a table of the file of profiles (SASLCACHED_PROFILE)'],
  [SERVER_GROUP, '--config <file>', 'file of profiles; default: ~/.config/saslcached/client.toml'],
  [SERVER_GROUP, '-u, --user <name>', 'who logs in (SASLCACHED_USERNAME)'],
  [SERVER_GROUP, '--password-file <file>', 'file with the password (SASLCACHED_PASSWORD_FILE)'],
  [SERVER_GROUP, '--mechanism <name>', 'the only mechanism to log in by'],
  [SERVER_GROUP, '--plain-in-the-clear', 'send the password as it is where others can read it'],
  [TLS_GROUP, '-Z, --tls', 'connect over TLS'],
  [TLS_GROUP, '--tls-ca <file>', 'who signed the certificate of the server'],
  [TLS_GROUP, '--tls-cert <file>', 'own certificate'],
  [TLS_GROUP, '--tls-key <file>', 'its private key'],
  [TLS_GROUP, '--tls-key-password-file <file>', 'password of an encrypted key'],
  [TLS_GROUP, '--tls-name <name>', 'name that the certificate is for; default: the host'],
  [TLS_GROUP, '--tls-insecure', 'take whoever answers for the server'],
  [GENERAL_GROUP, '--timeout <seconds>', 'how long an answer may take (default: 5)'],
  [GENERAL_GROUP, '--json', 'print JSON'],
]

/** `argv` begins with the command. */
export async function clientMain(argv: readonly string[], io: Io): Promise<number> {
  signals.release()
  const [name = '', ...rest] = argv
  try {
    refusePassword(rest)
    const load = LOADERS[name]
    if (load === undefined) throw new CommandFailure('there is no such command', EXIT_CONFIG)
    return await runCommand(name, await load(), rest, io)
  } catch (error) {
    return report(error, io)
  }
}

async function runCommand(
  name: string,
  definition: ClientCommand,
  argv: readonly string[],
  io: Io,
): Promise<number> {
  const program = new Command('saslcached').exitOverride()
  const command = program.command(name).description(CLIENT_COMMANDS[name] ?? '')
  configure(command, io)
  definition.declare(command)
  for (const [group, flags, about] of OPTIONS) {
    command.addOption(new Option(flags, about).helpGroup(group))
  }
  command.addHelpText('after', examplesOf(definition))
  let isParsed = false
  command.action(() => {
    isParsed = true
  })
  await program.parseAsync([name, ...argv], { from: 'user' })
  if (!isParsed) return EXIT_OK
  const { args } = command
  if (args.length > definition.operandsMax) {
    throw new CommandFailure(
      'there is an argument too many; --help says which there are',
      EXIT_CONFIG,
    )
  }
  const options = command.opts<ServerOptions & { json?: boolean }>()
  const ask =
    io.stdin.isTTY === true
      ? (user: string) => askPassword(io, `Password for ${JSON.stringify(user)}: `)
      : undefined
  const target = await resolveTarget(options, io.environment, ask)
  if (target.tls?.isVerified === false) {
    io.err(
      'warning: --tls-insecure: whoever answers is taken for the server, and can read and change everything\n',
    )
  }
  const output = new ClientOutput(io)
  return await definition.run({
    io,
    output,
    target,
    isJson: options.json === true,
    args,
    options: command.opts(),
  })
}

function configure(command: Command, io: Io): void {
  const columns = Math.min(io.columns || HELP_COLUMNS_DEFAULT, HELP_COLUMNS_MAX)
  command
    .addHelpOption(new Option('-h, --help', 'show this help').helpGroup(GENERAL_GROUP))
    .helpCommand(false)
    .allowExcessArguments()
    .exitOverride()
    .configureHelp({ helpWidth: columns })
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      outputError: () => undefined,
    })
}

function examplesOf({ examples }: ClientCommand): string {
  const width = Math.max(...examples.map(([line]) => line.length))
  const lines = examples.map(([line, about]) => `  saslcached ${line.padEnd(width)}  ${about}`)
  return `\nExamples:\n${lines.join('\n')}`
}

function refusePassword(argv: readonly string[]): void {
  const end = argv.indexOf('--')
  if (!argv.slice(0, end === -1 ? argv.length : end).some(isPasswordFlag)) return
  throw new CommandFailure(
    `${PASSWORD_SEEN}; it is asked for, or read from --password-file or SASLCACHED_PASSWORD_FILE`,
    EXIT_CONFIG,
  )
}

function report(error: unknown, io: Io): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT_OK
    io.err(`saslcached: ${describeUsage(error)}\n`)
    return EXIT_CONFIG
  }
  // Who reads has gone, and knows why.
  if (error instanceof OutputClosed) return EXIT_OK
  if (error instanceof ClientError) {
    io.err(`saslcached: ${error.message}\n`)
    return EXIT_CODES[error.kind]
  }
  if (!(error instanceof CommandFailure)) throw error
  io.err(`saslcached: ${error.message}\n`)
  return error.exitCode
}

function describeUsage({ code, message }: CommanderError): string {
  if (code !== 'commander.unknownOption') {
    return message.replace(/^error: /, '').replaceAll('\n', ' ')
  }
  const given = /'(--[A-Za-z-]+|-[A-Za-z])/.exec(message)?.[1] ?? 'that'
  const longs = OPTIONS.map(([, flags]) => /--[a-z-]+/.exec(flags)?.[0] ?? '')
  const nearest = given === '-p' ? '--server HOST:PORT' : nearestName(given, longs)
  const hint = nearest === undefined ? '; --help lists all' : `; did you mean ${nearest}?`
  return `${given} is not an option${hint}`
}
