/**
 * The table of options as commander options. Uses are collected in the order of the command line
 * and judged by config/, so that a wrong value does not hide the next one.
 *
 * Invariant: no argument that was not understood is repeated in a message; it may be a password.
 */
import { type Command, Option } from 'commander'
import {
  collectExtended,
  collectForeignFlag,
  describeVerdict,
  type FlagCollection,
  FOREIGN_FLAGS,
} from '../config/extended.ts'
import { GROUPS } from '../config/options/option.ts'
import { OPTION_NAMES, OPTIONS, type OptionName } from '../config/options.ts'
import { type ConfigProblem, nearestName } from '../config/problem.ts'

/** Headings in help for what is not an option of the table. */
export const GENERAL_GROUP = 'General:'
const COMPATIBILITY_GROUP = 'Compatibility with memcached'

/** What the command line said besides options of the table. */
export interface CommandLine {
  readonly flags: FlagCollection
  configFile: string | undefined
}

/** Gives `command` every option; what is used ends up in the CommandLine. */
export function addOptions(command: Command, argv: readonly string[]): CommandLine {
  const line: CommandLine = {
    flags: { uses: [], problems: [], notices: [] },
    configFile: undefined,
  }
  const add = (
    flags: string,
    description: string,
    group: string,
    use: (flag: string, value: string | undefined) => void,
  ): void => {
    const option = new Option(flags, description).helpGroup(`${group}:`)
    command.addOption(option)
    // For a flag without a value commander passes none.
    command.on(`option:${option.name()}`, (value?: string) => {
      use(spellingOf(option, argv), value)
    })
  }
  for (const name of OPTION_NAMES) {
    const { short, long, kind, group } = OPTIONS[name]
    const dashed = short === undefined ? `--${long}` : `-${short}, --${long}`
    const flags = kind.placeholder === '' ? dashed : `${dashed} ${kind.placeholder}`
    add(flags, describe(name), GROUPS[group], (flag, value) => {
      line.flags.uses.push({ option: name, flag, value: value ?? valueOfBareFlag(name) })
    })
  }
  add(
    '-o, --extended <list>',
    'idle_timeout=<sec>, no_maxconns_fast, track_sizes, watcher_logbuf_size=<KiB>, ' +
      'worker_logbuf_size=<KiB>; most others have no effect here, or are refused',
    COMPATIBILITY_GROUP,
    (flag, value) => collectExtended(flag, value ?? '', line.flags),
  )
  for (const foreign of FOREIGN_FLAGS) {
    const dashed =
      foreign.long === undefined ? `-${foreign.short}` : `-${foreign.short}, --${foreign.long}`
    add(
      foreign.placeholder === '' ? dashed : `${dashed} ${foreign.placeholder}`,
      describeVerdict(foreign.verdict),
      COMPATIBILITY_GROUP,
      (flag, value) => collectForeignFlag(flag, foreign.verdict, value, line.flags),
    )
  }
  command.addOption(
    new Option('--config <file>', 'file to read options from').helpGroup(GENERAL_GROUP),
  )
  command.on('option:config', (path: string) => {
    line.configFile = path
  })
  return line
}

/**
 * Problems with what is left of the command line after the `options` in it were taken. An argument
 * is repeated only when it is almost the name of one of the `commands`.
 */
export function leftoverProblems(
  options: readonly Option[],
  leftover: readonly string[],
  commands: readonly string[],
): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  for (const [index, argument] of leftover.entries()) {
    if (/^-./.test(argument)) {
      problems.push(unknownFlag(options, argument))
      continue
    }
    // Behind an unknown flag this is most likely its value.
    if (index > 0 && /^-./.test(leftover[index - 1] ?? '')) continue
    const nearest = nearestName(argument, commands)
    if (nearest !== undefined) {
      problems.push({ where: argument, message: `is not a command; did you mean ${nearest}?` })
      continue
    }
    const hint = commands.length === 0 ? '' : `, and no command: there are ${commands.join(', ')}`
    problems.push({ where: 'command line', message: `has an argument too many${hint}` })
  }
  return problems
}

function unknownFlag(options: readonly Option[], argument: string): ConfigProblem {
  const given = /^--[^=]*|^-./.exec(argument)?.[0] ?? argument
  const longs = options.filter((option) => !option.hidden).map((option) => option.long ?? '')
  if (longs.includes(given)) return { where: given, message: 'takes no value' }
  // getopt takes any unambiguous beginning of a long flag; here it is worth a hint.
  const begun = given.length > 3 ? longs.filter((long) => long.startsWith(given)) : []
  const nearest = given.startsWith('--') ? (begun[0] ?? nearestName(given, longs)) : undefined
  const hint = nearest === undefined ? '; --help lists all' : `; did you mean ${nearest}?`
  return { where: given, message: `is not an option${hint}` }
}

/** How an option was written; with both forms on the line, the short one stands for both. */
function spellingOf(option: Option, argv: readonly string[]): string {
  const { short, long } = option
  if (short === undefined || short === null) return long ?? ''
  const writtenLong = argv.some((argument) => argument === long || argument.startsWith(`${long}=`))
  return writtenLong && long !== undefined ? long : short
}

function valueOfBareFlag(name: OptionName): string {
  return typeof OPTIONS[name].default === 'number' ? '1' : 'true'
}

function describe(name: OptionName): string {
  const option = OPTIONS[name]
  const value: unknown = option.default
  const saysNothing =
    value === '' || value === false || value === 0 || (Array.isArray(value) && value.length === 0)
  if (saysNothing && option.defaultInWords === undefined) return option.description
  const text = option.defaultInWords ?? formatDefault(name)
  return `${option.description} (default: ${text})`
}

function formatDefault<Name extends OptionName>(name: Name): string {
  const option = OPTIONS[name]
  return option.kind.format(option.default).replaceAll('"', '')
}
