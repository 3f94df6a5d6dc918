/**
 * The tables of docs/memcached.md that say what becomes of memcached's flags and of the suboptions
 * of -o, against the tables of the code. After a change there: npx vitest run --project unit
 * test/unit/config -u
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  describeVerdict,
  EXTENDED,
  FOREIGN_FLAGS,
  type NameMeaning,
} from '../../../src/config/extended.ts'
import { OPTION_NAMES, OPTIONS, type OptionName } from '../../../src/config/options.ts'

const DOCUMENT = '../../../docs/memcached.md'

/** So many names with one beginning, and no others with it, are written with a star. */
const STARRED_MIN = 4

type Row = readonly string[]

function flagRows(): Row[] {
  const options = OPTION_NAMES.flatMap((name): Row[] => {
    const { short, long, description } = OPTIONS[name]
    return short === undefined ? [] : [[`\`-${short}\` \`--${long}\``, 'works', description]]
  })
  const foreign = FOREIGN_FLAGS.map(({ short, long, verdict }): Row => {
    const flags = long === undefined ? `\`-${short}\`` : `\`-${short}\` \`--${long}\``
    return [flags, ...fateAndReason(verdict)]
  })
  return [
    ...options,
    ['`-o` `--extended`', 'works', 'a list of suboptions, see below; may be given several times'],
    ...foreign,
    ['`-h` `--help`, `-i` `--license`, `-V` `--version`', 'works', 'show something and exit'],
  ]
}

function suboptionRows(): Row[] {
  const groups = new Map<string, { names: string[]; cells: Row }>()
  for (const [name, verdict] of Object.entries(EXTENDED)) {
    const cells =
      verdict.kind === 'option'
        ? ['works', meaningOf(verdict.option, verdict.value)]
        : fateAndReason(verdict)
    const group = groups.get(cells.join()) ?? { names: [], cells }
    group.names.push(name)
    groups.set(cells.join(), group)
  }
  return [...groups.values()].map(({ names, cells }) => [
    shorten(names)
      .map((name) => `\`${name}\``)
      .join(' '),
    ...cells,
  ])
}

/** What a suboption does in terms of the option that it sets. */
function meaningOf(name: OptionName, value: string | undefined): string {
  const { long, description } = OPTIONS[name]
  const set = value === 'false' ? `turns \`--${long}\` off` : `is \`--${long}\``
  return `${set}: ${description}`
}

/** `ext_*` for all the names that begin so. */
function shorten(names: readonly string[]): string[] {
  const shortened = names.map((name) => {
    const beginning = name.slice(0, name.indexOf('_') + 1)
    const sharing = Object.keys(EXTENDED).filter((other) => other.startsWith(beginning))
    const isOwn = beginning !== '' && sharing.every((other) => names.includes(other))
    return isOwn && sharing.length >= STARRED_MIN ? `${beginning}*` : name
  })
  return [...new Set(shortened)]
}

function fateAndReason(verdict: NameMeaning): Row {
  const [fate = '', ...reason] = describeVerdict(verdict).split(': ')
  return [fate, reason.join(': ')]
}

function table(head: Row, rows: readonly Row[]): string {
  const widths = head.map((_, column) =>
    Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)),
  )
  const line = (row: Row): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

function withTable(text: string, name: string, content: string): string {
  const marked = new RegExp(`(?<=<!-- table: ${name} -->\n\n)[\\s\\S]*?(?=\n\n|$)`)
  expect(text, `docs/memcached.md has a table ${name}`).toMatch(marked)
  return text.replace(marked, () => content)
}

test('docs/memcached.md says of each flag and suboption what the code does', async () => {
  let text = readFileSync(new URL(DOCUMENT, import.meta.url), 'utf8')
  text = withTable(text, 'flags', table(['flag', 'here', 'what it does'], flagRows()))
  text = withTable(text, 'suboptions', table(['`-o`', 'here', 'what it does'], suboptionRows()))
  await expect(text).toMatchFileSnapshot(DOCUMENT)
})
