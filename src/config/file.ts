/**
 * The TOML file: `[group]` tables with options in them. What comes out are the values that fit,
 * each with its file and line; what does not fit is a problem with the same.
 */
import { parse, TomlError } from 'smol-toml'
import { describeTomlError } from '../base/toml-trouble.ts'
import { Refusal } from './kind.ts'
import { GROUPS } from './options/option.ts'
import { OPTION_NAMES, OPTIONS, type OptionName } from './options.ts'
import { type ConfigProblem, nearestName } from './problem.ts'

export interface FileValue {
  readonly option: OptionName
  readonly value: unknown
  /** `<path>:<line>`. */
  readonly where: string
}

export function readOptionsFile(
  path: string,
  text: string,
  problems: ConfigProblem[],
): readonly FileValue[] {
  let document: Record<string, unknown>
  try {
    document = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = describeTomlError(error, text, OPTION_NAMES)
    problems.push({ where: `${path}:${error.line}`, message: `is not TOML: ${what}` })
    return []
  }
  const lineOf = locateKeys(text)
  const values: FileValue[] = []
  for (const [group, table] of Object.entries(document)) {
    const groupWhere = `${path}:${lineOf(group)}`
    if (!Object.hasOwn(GROUPS, group)) {
      problems.push({ where: groupWhere, message: unknownTopLevel(group, isTable(table)) })
      continue
    }
    if (!isTable(table)) {
      problems.push({ where: groupWhere, message: `${group} is not a table: write [${group}]` })
      continue
    }
    for (const [name, value] of Object.entries(table)) {
      const where = `${path}:${lineOf(`${group}.${name}`)}`
      const option = findOption(name)
      if (option === undefined) {
        problems.push({ where, message: `${name} is not an option${hintFor(name, group)}` })
      } else if (OPTIONS[option].group !== group) {
        problems.push({ where, message: `${name} belongs under [${OPTIONS[option].group}]` })
      } else {
        const accepted: unknown = OPTIONS[option].kind.accept(value)
        if (accepted instanceof Refusal) {
          problems.push({ where, message: `${name} = ${show(value)} ${accepted.reason}` })
        } else {
          values.push({ option, value: accepted, where })
        }
      }
    }
  }
  return values
}

function findOption(name: string): OptionName | undefined {
  return Object.hasOwn(OPTIONS, name) ? (name as OptionName) : undefined
}

function hintFor(name: string, group?: string): string {
  // A long flag's own name is the likeliest mistake: `memory_limit` for `memory_limit_mib`.
  const byFlag = OPTION_NAMES.find((option) => OPTIONS[option].long.replaceAll('-', '_') === name)
  // Then one that leaves out what the table says: `limit` under [memory].
  const ofGroup = OPTION_NAMES.filter((option) => OPTIONS[option].group === group)
  const byGroup = ofGroup.find((option) => `${option}_`.startsWith(`${group}_${name}_`))
  const nearest = byFlag ?? byGroup ?? nearestName(name, OPTION_NAMES)
  if (nearest === undefined) return ''
  return `; did you mean ${nearest}?`
}

function unknownTopLevel(name: string, isTable: boolean): string {
  if (isTable) {
    const nearest = nearestName(name, Object.keys(GROUPS))
    const hint = nearest === undefined ? '' : `; did you mean [${nearest}]?`
    return `[${name}] is not a table of options${hint}`
  }
  const option = findOption(name)
  if (option !== undefined) return `${name} belongs under [${OPTIONS[option].group}]`
  return `${name} is not an option${hintFor(name)}`
}

function isTable(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  )
}

const SHOWN_CHARACTERS_MAX = 60

function show(value: unknown): string {
  // JSON has no word for TOML's nan and inf, and quotes around its dates.
  let text: string
  if (value instanceof Date) text = value.toISOString()
  else text = typeof value === 'number' ? String(value) : JSON.stringify(value)
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}...` : text
}

/**
 * Finds the lines of `table` and `table.key` in a document that is known to be valid. The parser
 * does not tell them, so the text is scanned for headers and keys, with the insides of multi-line
 * strings left out. Line 1 stands for what is not found (a key written in an inline table, say).
 */
function locateKeys(text: string): (dotted: string) => number {
  const lines = new Map<string, number>()
  const note = (dotted: string, line: number): void => {
    if (!lines.has(dotted)) lines.set(dotted, line)
  }
  let table = ''
  let closing: string | undefined
  for (const [index, line] of text.split('\n').entries()) {
    if (closing !== undefined) {
      if (line.includes(closing)) closing = undefined
      continue
    }
    const header = /^\s*\[\[?\s*([^\]]+?)\s*\]/.exec(line)
    const key = /^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=/.exec(
      line,
    )
    if (header !== null) {
      table = bare(header[1] ?? '')
      note(table, index + 1)
    } else if (key !== null) {
      const name = bare(key[1] ?? '')
      const dotted = table === '' ? name : `${table}.${name}`
      note(dotted, index + 1)
      // `network.port = 1` at the top is a use of the table as well.
      note(dotted.split('.')[0] ?? dotted, index + 1)
    }
    for (const quotes of ['"""', "'''"]) {
      if (line.split(quotes).length % 2 === 0) closing = quotes
    }
  }
  return (dotted) => lines.get(dotted) ?? lines.get(dotted.split('.')[0] ?? '') ?? 1
}

function bare(key: string): string {
  return key
    .split('.')
    .map((part) => part.trim().replace(/^(["'])(.*)\1$/, '$2'))
    .join('.')
}
