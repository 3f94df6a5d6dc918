/**
 * What the documents say of the code base, against it: links, files named in comments, packages,
 * limits, flags, log events, reasons of failed logins. The tables of memcached's flags, the commands
 * and the examples have tests of their own, which need more than the sources.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { FOREIGN_FLAGS } from '../../src/config/extended.ts'
import { OPTION_NAMES, OPTIONS, type OptionName } from '../../src/config/options.ts'
import { FAILURE_REASONS } from '../../src/sasl/failure-reason.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const README_LINES_MAX = 199

/** Long flags of commands and of Node, which are no options of the server. */
const OTHER_FLAGS: readonly string[] = [
  '--namespace',
  '--check-config',
  '--config',
  '--count',
  '--days',
  '--encoded',
  '--extended',
  '--file',
  '--flags',
  '--force',
  '--help',
  '--interval',
  '--iterations',
  '--json',
  '--keep-old',
  '--license',
  '--mechanism',
  '--no-password',
  '--name',
  '--out',
  '--prefix',
  '--password-file',
  '--print-config',
  '--profile',
  '--reset',
  '--server',
  '--timeout',
  '--tls-insecure',
  '--tls-name',
  '--ttl',
  '--values',
  '--version',
  '--yes',
]

/** Files that comments name and that are somebody else's, or made by whoever runs the server. */
const FOREIGN_FILES: readonly string[] = [
  'Node.js',
  'users.toml',
  'etc/saslcached/saslcached.toml',
  'dist/bin/saslcached.js',
  'authfile.c',
  'sasl_defs.c',
  'protocol.txt',
  'protocol_binary.txt',
  'stat/2020Mar.md',
  'lib/tests/siphash_kunit.c',
]

function filesUnder(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
}

function filesAtTheTop(): string[] {
  return readdirSync(ROOT, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
}

const FILES = [
  ...filesAtTheTop(),
  ...['.ci', 'bin', 'config', 'docs', 'findings', 'src', 'test'].flatMap(filesUnder),
]
const DOCUMENTS = FILES.filter((file) => file.endsWith('.md'))
const PAGES = DOCUMENTS.filter((file) => file === 'README.md' || file.startsWith('docs'))

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

function withoutFences(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```$/gm, '')
}

/** The anchors that GitHub gives the headings of a document. */
function anchorsOf(file: string): string[] {
  return [...withoutFences(read(file)).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
}

function brokenLinks(file: string): string[] {
  const links = [...withoutFences(read(file)).matchAll(/\]\(([^)\s]+)\)/g)]
  return links.flatMap(([, target = '']) => {
    if (/^https?:/.test(target)) return []
    const [path = '', anchor] = target.split('#')
    const linked = path === '' ? file : relative(ROOT, join(ROOT, dirname(file), path))
    const isThere =
      existsSync(join(ROOT, linked)) && (anchor === undefined || anchorsOf(linked).includes(anchor))
    return isThere ? [] : [`${file}: ${target}`]
  })
}

/** The rows of the table behind `<!-- table: name -->`, without its head. */
function table(file: string, name: string): string[][] {
  const text = new RegExp(`<!-- table: ${name} -->\n\n([\\s\\S]*?)\n\n`).exec(
    `${read(file)}\n`,
  )?.[1]
  if (text === undefined) throw new Error(`${file} has no table ${name}`)
  const rows = text.split('\n').slice(2)
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}

function optionOf(flag: string): OptionName | undefined {
  return OPTION_NAMES.find((name) => {
    const { short, long } = OPTIONS[name]
    return flag === `--${long}` || flag === `-${short}`
  })
}

/** A default as a table shows it; undefined where it is in words. */
function shownNumber(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d+)(?: (KiB|MiB|s))?$/.exec(text) ?? []
  if (digits === undefined) return undefined
  return Number(digits) * ({ KiB: 1024, MiB: 1024 * 1024 }[unit] ?? 1)
}

test('the README can be read to its end', () => {
  expect(read('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(README_LINES_MAX)
})

test('every link of a document leads to a file, and to a heading in it', () => {
  expect(DOCUMENTS.flatMap(brokenLinks)).toEqual([])
})

test('the README points to every page in docs and to every document at the top', () => {
  const readme = read('README.md')
  const pages = DOCUMENTS.filter((file) => !file.includes('/') || file.startsWith('docs/'))
  expect(pages.filter((page) => page !== 'README.md' && !readme.includes(`](${page}`))).toEqual([])
})

test('the README names the run-time packages, and CONTRIBUTING tells how many there are as well', () => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: object }
  const names = Object.keys(dependencies)
  const numbers = ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
  const told = /(\w+) run-time packages: ([^.]*)\./.exec(read('README.md').replaceAll(/\s+/g, ' '))
  expect(told?.[1]).toBe(numbers[names.length])
  expect(told?.[2]?.split(/, | and /).sort()).toEqual(names.sort())
  const count = /packages that the server needs at run time are (\w+),/.exec(
    read('CONTRIBUTING.md'),
  )?.[1]
  expect(count).toBe(numbers[names.length])
})

test('every file that a comment names is there', () => {
  const sources = FILES.filter((file) => /^(bin|src|test)\/.*\.(ts|js|mjs|c)$/.test(file))
  const missing = sources.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, index) => {
        if (!/^\s*(\*|\/\*|\/\/)|\s\/\/\s/.test(line)) return []
        const names = [...line.matchAll(/[\w./-]+\.(?:ts|md|mjs|js|toml|txt|c)\b/g)]
        return names.flatMap(([name]) => {
          const path = name.replace(/^[./]+/, '')
          const isThere = [...FILES, ...FOREIGN_FILES].some(
            (other) => other === path || other.endsWith(`/${path}`),
          )
          return isThere ? [] : [`${file}:${index + 1}: ${name}`]
        })
      }),
  )
  expect(missing).toEqual([])
})

test('every file of the code base that a document names is there', () => {
  const missing = DOCUMENTS.flatMap((file) =>
    [
      ...read(file).matchAll(
        /\b(?:bin|src|test|config)\/[\w./-]+\.(?:ts|mjs|c|md|toml|txt|json)\b/g,
      ),
    ]
      .map(([name]) => name)
      .filter((name) => ![name, join(dirname(file), name)].some((path) => FILES.includes(path)))
      .map((name) => `${file}: ${name}`),
  )
  expect(missing).toEqual([])
})

test('the files that src/README.md names are there, or marked as new', () => {
  const names = [...read('src/README.md').matchAll(/`([a-z]+\/[\w./-]+\.ts)`( \(new\))?/g)]
  const wrong = names.filter(([, name = '', mark]) => {
    if (name.startsWith('test/') || name.includes('NAME')) return false
    return FILES.includes(`src/${name}`) === (mark !== undefined)
  })
  expect(wrong.map(([name]) => name)).toEqual([])
  expect(names.length).toBeGreaterThan(40)
})

test('every long flag that a page names exists', () => {
  const known = [
    ...OTHER_FLAGS,
    ...OPTION_NAMES.map((name) => `--${OPTIONS[name].long}`),
    ...FOREIGN_FLAGS.map(({ long }) => `--${long}`),
  ]
  const unknown = PAGES.flatMap((page) =>
    [...withoutFences(read(page)).matchAll(/`(--[a-z-]+)/g)]
      .map(([, flag = '']) => flag)
      .filter((flag) => !known.includes(flag))
      .map((flag) => `${page}: ${flag}`),
  )
  expect(unknown).toEqual([])
})

test.each(['README.md', 'docs/limits.md'])('the table of limits in %s has the defaults', (file) => {
  const wrong = table(file, 'limits').flatMap(([limit = '', defaults = '', flags = '']) => {
    const shown = defaults.split(', ')
    return flags.split(', ').flatMap((flag, index) => {
      const number = shownNumber(shown[index] ?? '')
      const name = optionOf(flag.replaceAll('`', ''))
      if (number === undefined || name === undefined) return []
      const unit = name.endsWith('_mib') ? 1024 * 1024 : 1
      const isRight = Number(OPTIONS[name].default) * unit === number
      return isRight ? [] : [`${limit}: ${flag} is ${OPTIONS[name].default}`]
    })
  })
  expect(wrong).toEqual([])
  expect(table(file, 'limits').length).toBeGreaterThan(5)
})

test('the log events that docs/operations.md explains are written by the server', () => {
  const source = FILES.filter((file) => /^src\/(server|observe)\//.test(file))
    .map(read)
    .join('')
  const events = table('docs/operations.md', 'events').map(([event = '']) =>
    event.replaceAll('`', ''),
  )
  expect(events.filter((event) => !source.includes(`'${event}'`))).toEqual([])
  expect(events.length).toBeGreaterThan(10)
  const written = /(?:say\(|level:)\s*'(?:warn|error|fatal)',\s*(?:event: )?'([a-z_]+)'/g
  const warnings = [...source.matchAll(written)].map(([, event = '']) => event)
  expect(warnings.filter((event) => !events.includes(event))).toEqual([])
  expect(warnings.length).toBeGreaterThan(15)
})

test('docs/security.md explains every reason of a failed login', () => {
  const told = table('docs/security.md', 'reasons').map(([reason = '']) =>
    reason.replaceAll('`', ''),
  )
  expect(told).toEqual([...FAILURE_REASONS])
})

/** Rows of tables whose last cell names test files; those tables are called as they are about an attacker. */
const ATTACKERS: readonly string[] = [
  'stranger',
  'eavesdropper',
  'middle',
  'user',
  'tenant',
  'operator',
]

test('every claim of docs/threat-model.md names the tests that show it', () => {
  const page = 'docs/threat-model.md'
  const rows = ATTACKERS.flatMap((attacker) => table(page, attacker))
  const claims = rows.map((row) => [row[0], quotedIn(row.at(-1) ?? '')] as const)
  expect(claims.filter(([, tests]) => tests.length === 0)).toEqual([])
  const named = [...claims.flatMap(([, tests]) => tests), ...testsNamedIn(read(page))]
  expect(named.filter((name) => !FILES.includes(`test/${name}.test.ts`))).toEqual([])
  expect(claims.length).toBeGreaterThan(25)
})

/** Each thing in backquotes. */
function quotedIn(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, quoted = '']) => quoted)
}

function testsNamedIn(text: string): string[] {
  return quotedIn(text).filter((name) => /^(unit|integration|fuzz|house|transcripts)\//.test(name))
}

test('src/README.md has the layers that layers.test.ts holds', () => {
  const rules = /MAY_IMPORT[^=]*= \{([^}]*)\}/.exec(read('test/house/layers.test.ts'))?.[1] ?? ''
  const held = [...rules.matchAll(/(\w+): \[([^\]]*)\]/g)].map(([, layer = '', list = '']) => [
    layer,
    (list.match(/\w+/g) ?? []).sort().join(', '),
  ])
  const told = table('src/README.md', 'layers').map(([layer = '', , list = '']) => [
    layer,
    list.split(', ').sort().join(', '),
  ])
  expect(told.sort()).toEqual(held.sort())
  expect(told.length).toBeGreaterThan(5)
})
