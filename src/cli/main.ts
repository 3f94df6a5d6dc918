/**
 * The command line: argv in, exit code out. Serves unless a command is named. What a command needs
 * is imported when it runs, because --help and the health check should not wait for a server.
 *
 * Exit codes: 0 success, 1 a command that could not do what it says, 78 (sysexits.h, EX_CONFIG) a
 * command line, variable or file that cannot be used, 130 given up at a prompt. What throws
 * otherwise is a defect and the caller's business.
 */
import { Command, CommanderError, Option } from 'commander'
import { counted } from '../base/counted.ts'
import { EXIT_CONFIG, EXIT_OK } from '../base/exit-code.ts'
import type { ConfigInputs } from '../config/given-options.ts'
import { ConfigError, type ConfigProblem } from '../config/problem.ts'
import { readLicense, readVersion } from '../config/version.ts'
import { signals } from '../server/main/signals.ts'
import { CLIENT_COMMANDS } from './client-commands.ts'
import { readExtraFlags } from './extra-flags.ts'
import { addOptions, type CommandLine, GENERAL_GROUP, leftoverProblems } from './flags.ts'
import { CommandFailure, type Io, indent } from './io.ts'
import { isPasswordFlag, PASSWORD_SEEN } from './password-flag.ts'
import type { UserCommand } from './users.ts'

/** Help is wrapped to the terminal, but long lines are hard to read. */
const HELP_COLUMNS_MAX = 100
const HELP_COLUMNS_DEFAULT = 80

const AFTER_HELP = `
Every option can also be set in the environment as SASLCACHED_<NAME>, or in a
TOML file; the command line wins over the environment, and the environment over
the file. config/saslcached.toml in the package lists all names. Flags can stand
in MEMCACHED_EXTRA_FLAGS, too, with quotes as in a shell; they win over the other
variables. One user can be given as SASLCACHED_USERNAME with SASLCACHED_PASSWORD,
or with SASLCACHED_PASSWORD_FILE. The same names with MEMCACHED_, which images of
memcached use, work as well, and so do other flags of memcached where doing
without them is harmless.

Examples:
  saslcached user add alice          make a user; asks for the password
  saslcached -m 512 -l 10.0.0.5 -v   512 MiB of items, one address, a longer log`

/** What asks a server, `saslcached stats` and others, is client/client-main.ts's: bin chooses. */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  return new CommandLineProgram(argv, io).run()
}

/** All commands and options, for those who describe them. */
export function describedProgram(io: Io): Command {
  return new CommandLineProgram([], io).program
}

class CommandLineProgram {
  readonly #argv: readonly string[]
  readonly #io: Io
  readonly #program: Command
  readonly #line: CommandLine
  #exitCode: number = EXIT_OK

  constructor(argv: readonly string[], io: Io) {
    this.#argv = argv
    this.#io = io
    this.#program = this.#configure(new Command('saslcached'))
    this.#line = addOptions(this.#program, argv)
    this.#addGeneralOptions()
    this.#addCommands()
  }

  get program(): Command {
    return this.#program
  }

  async run(): Promise<number> {
    try {
      await this.#program.parseAsync([...this.#argv], { from: 'user' })
      return this.#exitCode
    } catch (error) {
      return this.#report(error)
    }
  }

  /** Settings that commander does not hand down to commands. */
  #configure(command: Command): Command {
    const columns = Math.min(this.#io.columns || HELP_COLUMNS_DEFAULT, HELP_COLUMNS_MAX)
    return command
      .addHelpOption(new Option('-h, --help', 'show this help').helpGroup(GENERAL_GROUP))
      .helpCommand(false)
      .allowUnknownOption()
      .allowExcessArguments()
      .exitOverride()
      .configureHelp({ helpWidth: columns })
      .configureOutput({
        writeOut: (text) => this.#io.out(text),
        writeErr: (text) => this.#io.err(text),
        // Errors are shown by #report, together with everything else that is wrong.
        outputError: () => undefined,
      })
  }

  #addGeneralOptions(): void {
    this.#program
      .description('A memcached server in which nothing but login works before login.')
      .usage('[options] [command]')
      .optionsGroup(GENERAL_GROUP)
      .option('--check-config', 'check the configuration and the users, then exit')
      .option('--print-config', 'print each setting and its source, then exit')
      .option('-i, --license', 'show the licence')
      .version(`saslcached ${readVersion()}`, '-V, --version', 'show the version')
      .addHelpText('after', AFTER_HELP)
  }

  #addCommands(): void {
    const serve = async (_options: unknown, command: Command): Promise<void> => {
      this.#refuseLeftovers(command, 0)
      if (this.#program.opts<{ license?: boolean }>().license === true) {
        this.#io.out(readLicense())
        return
      }
      const { runServe } = await import('./serve.ts')
      this.#exitCode = await runServe(this.#io, this.#inputs(), this.#program.opts())
    }
    this.#program.action(serve)
    this.#command(this.#program, 'serve', 'serve, as without a command')
      .alias('memcached')
      .action(serve)

    this.#command(this.#program, 'health', 'ask a running server for its version: exit code 0 or 1')
      .argument(
        '[address]',
        'host, host:port, or path of a socket with a slash; default: of the server here',
      )
      .action(async (address: string | undefined, _options: unknown, command: Command) => {
        this.#refuseLeftovers(command, 1)
        signals.release()
        const { runHealth } = await import('./health.ts')
        this.#exitCode = await runHealth(this.#io, this.#inputs(), address)
      })
      .addHelpText(
        'after',
        '\nTakes the options that say where the server listens, and --config.\nWithout any it asks the server that runs here, however that was started.',
      )

    this.#addUserCommands()
    this.#addTlsCommands()
    this.#addClientCommands()
    const hash = this.#command(this.#program, 'hash-password', 'print verifiers for a password')
      .argument('[name]', 'name of the user; prints an entry for users.toml')
      .option('--iterations <num>', 'PBKDF2 iterations; default: as configured')
    hash.action(async () => {
      this.#refuseLeftovers(hash, 1)
      await this.#runUserCommand('hash-password', hash)
    })
  }

  #addUserCommands(): void {
    const user = this.#command(this.#program, 'user', 'add, change, remove and list users')
    const userCommands: readonly [UserCommand, string, string][] = [
      ['add', '<name>', 'make a user'],
      ['set', '<name>', 'change what a user may do'],
      ['passwd', '<name>', "set a user's password"],
      ['remove', '<name>', 'remove a user'],
      ['list', '', 'list users'],
      ['show', '<name>', 'show what a user may do'],
      ['check', '<name>', 'tell whether a user may do something: exit code 0 or 1'],
    ]
    for (const [name, operand, description] of userCommands) {
      const command = this.#command(user, name, description)
      if (operand !== '') command.argument(operand, 'name of the user')
      command.option('--file <file>', 'users file; default: the configured one')
      if (name === 'passwd') {
        command.option('--keep-old', 'let the old password work as well, for rotation')
      }
      if (name === 'add' || name === 'passwd') {
        command.option('--iterations <num>', 'PBKDF2 iterations; default: as configured')
      }
      if (name === 'add' || name === 'set') addAccessOptions(command)
      if (name === 'add') {
        command.option(
          '--no-password',
          'the user has none: known by certificate, token or listener',
        )
      }
      if (name === 'set') {
        command.option('--reset', 'what is not given goes: without any, the user may do everything')
      }
      if (name === 'check') {
        command.argument('<command...>', 'as a text client says it: set KEY, mg KEY N30, stats')
      }
      command.action(async () => {
        // Where a command stood there would be a password in its place.
        if (name !== 'check' || isPasswordFlag(command.args[1] ?? '')) {
          this.#refuseLeftovers(command, operand === '' ? 0 : 1)
        }
        await this.#runUserCommand(name, command)
      })
    }
  }

  #addTlsCommands(): void {
    const tls = this.#command(this.#program, 'tls', 'make a certificate to try TLS with')
    const selfSigned = this.#command(tls, 'self-signed', 'make a key and a certificate for it')
      .option('--out <dir>', 'directory to write tls.crt and tls.key to', '.')
      .option('--name <host>', 'name or address of the server; may be given several times', collect)
      .option('--days <num>', 'how long it is good', '90')
      .option('--force', 'replace files that are there')
    selfSigned.action(async () => {
      this.#refuseLeftovers(selfSigned, 0)
      // Options of the server are none of this command's.
      for (const { flag } of this.#line.flags.uses.splice(0)) {
        const message = 'is not an option of "saslcached tls self-signed"'
        this.#line.flags.problems.push({ where: flag, message })
      }
      const { problems } = this.#line.flags
      if (problems.length > 0) throw new ConfigError(problems)
      const { out, name, days, force } = selfSigned.opts<{
        out: string
        name?: readonly string[]
        days: string
        force?: boolean
      }>()
      signals.release()
      const { runSelfSigned } = await import('./tls.ts')
      const request = { directory: out, hosts: name ?? [], days, force: force === true }
      this.#exitCode = await runSelfSigned(this.#io, request)
    })
  }

  /** For help, and for who puts options in front of them. */
  #addClientCommands(): void {
    for (const [name, about] of Object.entries(CLIENT_COMMANDS)) {
      this.#command(this.#program, name, about).action(() => {
        const message = `comes first: saslcached ${name} ..., its options behind it`
        throw new ConfigError([{ where: name, message }])
      })
    }
  }

  #command(parent: Command, name: string, description: string): Command {
    return this.#configure(parent.command(name)).description(description)
  }

  async #runUserCommand(name: UserCommand, command: Command): Promise<void> {
    const options = command.opts<UserOptions>()
    const { file, iterations, keepOld } = options
    const { uses } = this.#line.flags
    // Taken out unread: the value of a stray -p may well be a password.
    for (const use of uses.splice(0)) {
      if (use.option === 'users_file' || use.option === 'scram_iterations') {
        uses.push(use)
      } else {
        const message = `is not an option of "saslcached ${commandPath(command)}"`
        this.#line.flags.problems.push({ where: use.flag, message })
      }
    }
    if (file !== undefined) uses.push({ option: 'users_file', flag: '--file', value: file })
    if (iterations !== undefined) {
      uses.push({ option: 'scram_iterations', flag: '--iterations', value: iterations })
    }
    signals.release()
    const { runUserCommand } = await import('./users.ts')
    this.#exitCode = await runUserCommand(this.#io, this.#inputs(), {
      command: name,
      user: command.args[0],
      keepOld: keepOld === true,
      hasPassword: options.password !== false,
      access: {
        roles: options.role,
        rights: options.rights,
        keyPrefixes: options.prefix,
        namespace: options.namespace,
      },
      isReset: options.reset === true,
      words: command.args.slice(1),
    })
  }

  #inputs(): ConfigInputs {
    const { directory, environment } = this.#io
    const extra = readExtraFlags(environment)
    return {
      flags: this.#line.flags,
      extraFlags: extra?.flags,
      configFile: this.#line.configFile ?? extra?.configFile,
      environment,
      ...(directory === undefined ? {} : { directory }),
    }
  }

  /** Collects what nobody understood; for the commands that take passwords, with the reason. */
  #refuseLeftovers(command: Command, operandsMax: number): void {
    const operands = command.args.findIndex((argument) => /^-./.test(argument))
    const plain = operands === -1 ? command.args.length : operands
    const leftover = command.args.slice(Math.min(plain, operandsMax))
    const commands = command.parent === null ? commandNames(this.#program) : []
    const options = [...command.options, ...this.#program.options]
    const problems = leftoverProblems(options, leftover, commands)
    const takesPassword = /^(add|passwd|hash-password)$/.test(command.name())
    this.#line.flags.problems.push(...problems.map((each) => refusePassword(each, takesPassword)))
  }

  #report(error: unknown): number {
    const { problems } = this.#line.flags
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT_OK
      // `saslcached user` alone: its help has been shown.
      if (error.code === 'commander.help') return EXIT_CONFIG
      const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ')
      return this.#reportProblems([...problems, { where: 'command line', message }])
    }
    if (error instanceof ConfigError) return this.#reportProblems(error.problems)
    if (error instanceof CommandFailure) {
      this.#io.err(`saslcached: ${error.message}\n`)
      return error.exitCode
    }
    throw error
  }

  #reportProblems(problems: readonly ConfigProblem[]): number {
    const lines = new ConfigError(problems).message
    const count = counted(lines.split('\n').length, 'problem')
    this.#io.err(`saslcached: ${count}\n${indent(lines)}`)
    return EXIT_CONFIG
  }
}

/** What the commands about users take. */
interface UserOptions {
  readonly file?: string
  readonly iterations?: string
  readonly keepOld?: boolean
  /** False with --no-password. */
  readonly password?: boolean
  readonly role?: string[]
  readonly rights?: string[]
  readonly prefix?: string[]
  readonly namespace?: string
  readonly reset?: boolean
}

function addAccessOptions(command: Command): void {
  const split = (value: string, before: string[] = []): string[] => [
    ...before,
    ...value.split(',').map((part) => part.trim()),
  ]
  command
    .option('--role <list>', 'roles: readonly,monitor', split)
    .option('--rights <list>', 'rights beside those of the roles: read,write', split)
    .option('--prefix <text>', 'what keys have to begin with, as often as wanted', collect)
    .option('--namespace <name>', 'namespace that its keys are in; the file states it')
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

/** The problem with the reason, where what was not understood is a password, or may be one. */
function refusePassword({ where, message }: ConfigProblem, takesPassword: boolean): ConfigProblem {
  if (isPasswordFlag(where)) {
    const instead = takesPassword
      ? 'it is asked for, or read from stdin'
      : '"saslcached user add" and "saslcached user passwd" ask for it, or read it from stdin'
    return { where, message: `${PASSWORD_SEEN}; ${instead}` }
  }
  if (where !== 'command line' || !takesPassword) return { where, message }
  return {
    where,
    message:
      'has an argument too many; a password is asked for or read from stdin, because everybody ' +
      'on this machine can read the command line',
  }
}

function commandNames(program: Command): readonly string[] {
  return program.commands.flatMap((command) => [command.name(), ...command.aliases()])
}

/** `user add`, without the program. */
function commandPath(command: Command): string {
  const parent = command.parent
  return parent === null || parent.parent === null
    ? command.name()
    : `${commandPath(parent)} ${command.name()}`
}
