/**
 * saslcached(8), made of the commands and options that the program has: what `--help` says, with the
 * name of each option in the environment and in the file, and what a manual page says besides.
 */
import { Readable } from 'node:stream'
import type { Argument, Command, Option } from 'commander'
import {
  EXIT_CONFIG,
  EXIT_FAILURE,
  EXIT_OK,
  EXIT_OS,
  EXIT_SOFTWARE,
} from '../../src/base/exit-code.ts'
import { describedProgram } from '../../src/cli/main.ts'
import { environmentName, OPTION_NAMES, OPTIONS } from '../../src/config/options.ts'
import { readVersion } from '../../src/config/version.ts'

/** Of the release: mandoc wants one, and the page is the same whenever it is made. */
const DATE = '2026-11-28'
const COLUMNS = 78

const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [EXIT_OK, 'Success, or a stop that was asked for.'],
  [EXIT_FAILURE, 'A command could not do what it says; health: nobody answers.'],
  [EXIT_SOFTWARE, 'A fault of the program: the log says which. Start it again.'],
  [EXIT_OS, 'The system refuses something: a port in use, memory, open files, a group.'],
  [EXIT_CONFIG, 'A command line, variable, file, certificate or users file that cannot be used.'],
]

const SIGNALS: readonly (readonly [signals: string, meaning: string])[] = [
  ['SIGTERM, SIGINT, SIGUSR1', 'Finish what is under way, within --drain-timeout, and end.'],
  [
    'SIGHUP',
    'Read the users, the certificates, the keys for tokens and the list of --cluster-nodes again, and ' +
      'open the audit log anew. What cannot be used changes nothing.',
  ],
]

const FILES: readonly (readonly [path: string, meaning: string])[] = [
  ['/etc/saslcached/saslcached.toml', 'Options, if no --config names another file.'],
  ['/etc/saslcached/users.toml', 'Users, roles and namespaces, if no --users-file names another.'],
]

const VARIABLES: readonly (readonly [name: string, meaning: string])[] = [
  ['SASLCACHED_CONFIG', 'The file to read options from.'],
  [
    'SASLCACHED_USERNAME, SASLCACHED_PASSWORD, SASLCACHED_PASSWORD_FILE',
    'One user; the password, or the file that holds it.',
  ],
  [
    'MEMCACHED_USERNAME, MEMCACHED_PASSWORD, MEMCACHED_PASSWORD_FILE',
    'The same, as images of memcached have it.',
  ],
  [
    'MEMCACHED_EXTRA_FLAGS',
    'Options as on the command line, with quotes as in a shell; they win over other variables.',
  ],
  ['MEMCACHED_SASL_PWDB', "memcached's password file: lines of user:password."],
  ['MEMCACHED_PORT_FILENAME', 'A file that gets one line for each bound port.'],
]

export function manPage(): string {
  const program = describedProgram({
    stdin: Readable.from([]),
    environment: {},
    columns: undefined,
    out: () => undefined,
    err: () => undefined,
  })
  const lines = [
    '.\\" Made of the options of the program by test/support/man-page.ts; not to be edited.',
    `.TH SASLCACHED 8 "${DATE}" "saslcached ${readVersion()}" "System Manager's Manual"`,
    // Long names of variables leave gaps in lines that are filled to the edge.
    '.ad l',
    ...[
      '.SH NAME',
      'saslcached \\- memcached server in which nothing but login works before login',
    ],
    ...['.SH SYNOPSIS', '.B saslcached', '.RI [ options ]', ...synopses(program)],
    ...['.SH DESCRIPTION', ...paragraphs(DESCRIPTION)],
    ...['.SH OPTIONS', ...paragraphs(ABOUT_OPTIONS), ...groupsOf(program.options)],
    ...['.SH COMMANDS', ...leaves(program).flatMap(describeCommand)],
    ...['.SH ENVIRONMENT', ...definitions(VARIABLES)],
    ...['.SH FILES', ...definitions(FILES)],
    ...['.SH SIGNALS', ...definitions(SIGNALS)],
    ...['.SH EXIT STATUS', ...definitions(EXIT_CODES.map(([code, text]) => [String(code), text]))],
    ...['.SH EXAMPLES', ...paragraphs(ABOUT_EXAMPLES)],
    ...['.SH SEE ALSO', '.BR memcached (1)'],
  ]
  return `${lines.join('\n')}\n`
}

const DESCRIPTION: readonly string[] = [
  'saslcached speaks the binary, text and meta protocols of memcached 1.6.45 on one port, in the clear and over ' +
    'TLS. Before login a client may log in, ask for the version, and leave. Each user has rights, keys and a ' +
    'share of the memory of its own.',
  'Without a command it serves. If no user is configured, it makes one for the run and prints its name and ' +
    'password on standard error.',
]
const ABOUT_OPTIONS: readonly string[] = [
  'Each option can be given on the command line, in the environment and in the file, in this order of ' +
    'precedence; the names in the environment and in the file stand behind it. ' +
    'saslcached --print-config shows what is in force, and where it came from.',
]
const ABOUT_EXAMPLES: readonly string[] = [
  'Make a user, and serve 512 MiB of items on one address:',
  '.EX',
  '    saslcached user add alice',
  '    saslcached -m 512 -l 10.0.0.5',
  '.EE',
  'A Unix socket on which everybody in a group is the user monitor:',
  '.EX',
  '    saslcached user add monitor --no-password --role monitor',
  '    saslcached --listen-as monitor=/run/saslcached/monitor.sock \\',
  '        --unix-group munin -a 770',
  '.EE',
]

/** Commands that do something, in the order of help. */
function leaves(command: Command): readonly Command[] {
  return command.commands.flatMap((each) => (each.commands.length > 0 ? leaves(each) : [each]))
}

function nameOf(command: Command): string {
  const { parent } = command
  return parent === null ? command.name() : `${nameOf(parent)} ${command.name()}`
}

function synopses(program: Command): string[] {
  return leaves(program).flatMap((command) => [
    '.br',
    `.B ${roff(nameOf(command))}`,
    ...(command.options.length > 0 ? ['.RI [ options ]'] : []),
    ...command.registeredArguments.map((argument) => `.I ${roff(formatArgument(argument))}`),
  ])
}

function formatArgument(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`
  return argument.required ? name : `[${name}]`
}

function describeCommand(command: Command): string[] {
  const names = [command.name(), ...command.aliases()].map((name) =>
    nameOf(command).replace(/\S+$/, name),
  )
  const operands = command.registeredArguments.map(
    (argument) => `${argument.name()}: ${argument.description}.`,
  )
  return [
    `.SS "${names.map(roff).join(', ')}"`,
    ...paragraphs([`${sentence(command.description())} ${operands.join(' ')}`.trim()]),
    ...command.options.flatMap(describeOption),
  ]
}

/** Under the headings of help. */
function groupsOf(options: readonly Option[]): string[] {
  const shown = options.filter(({ hidden }) => !hidden)
  const headings = [...new Set(shown.map(headingOf))]
  return headings.flatMap((heading) => [
    `.SS "${roff(heading)}"`,
    ...shown.filter((option) => headingOf(option) === heading).flatMap(describeOption),
  ])
}

function headingOf({ helpGroupHeading }: Option): string {
  return (helpGroupHeading ?? 'General').replace(/:$/, '')
}

function describeOption(option: Option): string[] {
  const [, placeholder] = /[<[](.*?)[>\]]$/.exec(option.flags) ?? []
  const flags = [option.short, option.long].filter((flag) => flag !== undefined && flag !== null)
  const bold = flags.map((flag) => `\\fB${roff(flag ?? '')}\\fR`).join(', ')
  const value = placeholder === undefined ? '' : ` \\fI${roff(placeholder)}\\fR`
  const name = OPTION_NAMES.find((each) => `--${OPTIONS[each].long}` === option.long)
  const elsewhere =
    name === undefined
      ? []
      : [`.RB ( ${environmentName(name)} ;`, `.BR ${OPTIONS[name].group}.${name} )`]
  return ['.TP', `${bold}${value}`, ...wrap(sentence(option.description)), ...elsewhere]
}

function definitions(rows: readonly (readonly [term: string, text: string])[]): string[] {
  return rows.flatMap(([term, text]) => ['.TP', `.B ${roff(term)}`, ...wrap(text)])
}

/** Requests stay as they are, and what stands between .EX and .EE is shown as it is written. */
function paragraphs(texts: readonly string[]): string[] {
  let isExample = false
  return texts.flatMap((text, index) => {
    if (text === '.EX' || text === '.EE') {
      isExample = text === '.EX'
      return [text]
    }
    return isExample ? [roff(text)] : [...(index === 0 ? [] : ['.PP']), ...wrap(text)]
  })
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.)]$/.test(text) ? '' : '.'}`
}

/** Lines for a formatter, each sentence on one of its own. */
function wrap(text: string): string[] {
  return text.split(/(?<=[a-z0-9)]\.) (?=[A-Z])/).flatMap((part) => {
    const lines = ['']
    for (const word of part.split(' ')) {
      const line = lines[lines.length - 1] ?? ''
      if (line !== '' && line.length + 1 + word.length > COLUMNS) lines.push(word)
      else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
    }
    return lines.map(roff)
  })
}

/** As roff takes it for these characters, and at the start of a line for no request. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replace(/^\./, '\\&.')
}
