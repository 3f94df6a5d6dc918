/**
 * The table against what is made from it: config/saslcached.toml, --print-config, and itself.
 */
import fc from 'fast-check'
import { parse } from 'smol-toml'
import { expect, test } from 'vitest'
import { FOREIGN_FLAGS } from '../../../src/config/extended.ts'
import { Refusal } from '../../../src/config/kind.ts'
import { GROUPS } from '../../../src/config/options/option.ts'
import {
  environmentName,
  OPTION_NAMES,
  OPTIONS,
  type OptionName,
} from '../../../src/config/options.ts'
import { printConfig } from '../../../src/config/print.ts'
import { load, makeDirectory } from './support.ts'

const HEADER = `# saslcached: every option with its default.
#
# Looked for as /etc/saslcached/saslcached.toml, or named by --config or SASLCACHED_CONFIG. Flags
# win over the environment (SASLCACHED_ and the option's name in capitals), the environment wins
# over this file. Relative paths in it belong to its own directory. "saslcached --print-config"
# shows what is in force and why.
`

function defaultFile(): string {
  let text = HEADER
  let group = ''
  for (const name of OPTION_NAMES) {
    const option = OPTIONS[name]
    if (option.group !== group) {
      group = option.group
      text += `\n[${group}]\n`
    }
    const flag = option.short === undefined ? `--${option.long}` : `-${option.short}`
    text += `# ${sentence(option.description)} (${flag})\n${name} = ${formatDefault(name)}\n`
  }
  return text
}

function formatDefault<Name extends OptionName>(name: Name): string {
  const option = OPTIONS[name]
  return option.kind.format(option.default)
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/** After a change of the table: npx vitest run --project unit test/unit/config -u */
test('config/saslcached.toml has every option with its default and one line of comment', async () => {
  await expect(defaultFile()).toMatchFileSnapshot('../../../config/saslcached.toml')
})

test('config/saslcached.toml is taken without a word, and changes nothing', async () => {
  const plain = await load({})
  const fromFile = await load({ toml: defaultFile() })
  const { settings, file, auth, ...rest } = fromFile
  const { settings: _settings, file: _file, auth: plainAuth, ...plainRest } = plain
  expect(rest).toEqual(plainRest)
  expect({ ...auth, usersFile: '' }).toEqual({ ...plainAuth, usersFile: '' })
  expect(settings.map(({ source }) => source.replace(/:\d+$/, ''))).toEqual(
    settings.map(() => file),
  )
})

test('no line of the file is longer than 100 characters', () => {
  expect(
    defaultFile()
      .split('\n')
      .filter((line) => line.length > 100),
  ).toEqual([])
})

test('no two options share a flag or a variable, and none is a foreign flag of memcached', () => {
  const names = OPTION_NAMES.flatMap((name) => {
    const { short, long, aliases } = OPTIONS[name]
    return [short ?? [], `--${long}`, environmentName(name), aliases ?? []].flat()
  })
  const foreign = FOREIGN_FLAGS.flatMap(({ short, long }) => [short, long ?? []].flat())
  const reserved = ['h', 'V', 'o', '--config', '--help', '--version', 'SASLCACHED_CONFIG']
  const all = [...names, ...foreign, ...reserved]
  expect(all.filter((name, index) => all.indexOf(name) !== index)).toEqual([])
})

test('options stand in the order of their groups', () => {
  const groups = OPTION_NAMES.map((name) => OPTIONS[name].group)
  expect([...new Set(groups)]).toEqual(Object.keys(GROUPS))
  const firsts = groups.filter((group, index) => group !== groups[index - 1])
  expect(firsts).toEqual([...new Set(groups)])
})

test('every short flag of memcached 1.6 is either an option, foreign, or general', () => {
  // The getopt string of memcached 1.6.45, read from its --help and source.
  const memcached = 'aAbBcCdDeEfFhiIkLlmMnNoOpPrRsStTuUvVWXYZ'
    .replace(/[EOT]/g, '')
    .split('')
    .sort()
  const ours = [
    ...OPTION_NAMES.flatMap((name) => OPTIONS[name].short ?? []),
    ...FOREIGN_FLAGS.map(({ short }) => short),
    'h',
    'i',
    'V',
    'o',
  ].sort()
  expect(ours).toEqual(memcached)
})

test('whatever an option takes as text, its TOML form is taken as the same value', () => {
  const seed = process.env.SEED === undefined ? Date.now() & 0x7fffffff : Number(process.env.SEED)
  const number = fc.oneof(
    fc.integer({ min: -70_000, max: 70_000 }),
    fc.integer({ min: 0, max: 2 ** 40 }),
    fc.double({ min: 0, max: 1e6, noNaN: true }).map((value) => value.toFixed(2)),
  )
  // Between them these fit every option, so that none goes untested with an unlucky seed.
  const words = [
    '0',
    '1',
    '5000',
    '1m',
    'true',
    'no',
    'auto',
    'json',
    'PLAIN,scram-sha-1',
    '0770',
    'debug',
    'off',
    'dns',
    '1.3',
    'continue',
    'hashed',
    'wait',
    's3-fifo',
    'cluster',
    'miss',
    'a,b',
    '',
  ]
  const given = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    number.map(String),
    fc.tuple(number, fc.constantFrom('k', 'm', 'G')).map(([value, unit]) => `${value}${unit}`),
    fc.constantFrom(...words),
  )
  const taken = new Set<OptionName>()
  const roundTrips = <Name extends OptionName>(name: Name, text: string): void => {
    const { kind } = OPTIONS[name]
    const value = kind.parse(text)
    if (value instanceof Refusal) return
    taken.add(name)
    const { x } = parse(`x = ${kind.format(value)}`)
    expect(kind.accept(x), `SEED=${seed} ${name} ${JSON.stringify(text)}`).toEqual(value)
  }
  fc.assert(
    fc.property(given, (text) => {
      for (const name of OPTION_NAMES) roundTrips(name, text)
    }),
    { seed, numRuns: 1000 },
  )
  for (const name of OPTION_NAMES) for (const text of words) roundTrips(name, text)
  expect([...taken].sort()).toEqual([...OPTION_NAMES].sort())
})

test('--print-config is TOML that loads to the same settings, with the source of each', async () => {
  const directory = makeDirectory({ 'users.toml': '' })
  const config = await load({
    directory,
    toml: '[limits]\nlogin_attempts = 3\n',
    environment: {
      SASLCACHED_USERNAME: 'alice',
      SASLCACHED_PASSWORD: 'hunter2',
      SASLCACHED_PORT: '5',
    },
    flags: ['-l', '[::1]:44', '-l', 'localhost', '-o', 'hashpower=3', '--no-auth', 'true'],
  })
  const printed = printConfig(config)
  expect(printed).not.toContain('hunter2')
  const lines = printed.replaceAll(directory, '').split('\n')
  expect(lines).toEqual(
    expect.arrayContaining([
      '# Configuration file: /saslcached.toml',
      'port = 5                                     # SASLCACHED_PORT',
      'listen = ["[::1]:44", "localhost"]           # -l',
      'login_attempts = 3                           # /saslcached.toml:2',
      'conn_limit = 1024                            # default',
      'prelogin_conn_limit = "auto"                 # default: 256',
      'threads = "auto"                             # default: 4',
      '# Users: nobody is asked to log in (--no-auth).',
      '# -o hashpower has no effect: the index sizes itself.',
    ]),
  )
  const again = await load({ toml: printed })
  expect(again.settings.map(({ name, value }) => [name, value])).toEqual(
    config.settings.map(({ name, value }) => [name, value]),
  )
  expect(Object.keys(parse(printed))).toEqual(Object.keys(GROUPS))
})

test('--print-config names the users by source and hides the password', async () => {
  const directory = makeDirectory({ 'users.toml': '', auth: '' })
  const environment = { SASLCACHED_USERNAME: 'al"ice', SASLCACHED_PASSWORD: 'hunter2' }
  const flags = ['-Y', `${directory}/auth`]
  const printed = printConfig(await load({ directory, environment, flags }))
  expect(printed.replaceAll(directory, '').split('\n').slice(-5)).toEqual([
    '# Users:',
    '#   /users.toml',
    '#   /auth (user:password lines)',
    '#   "al\\"ice" with a password (hidden), from SASLCACHED_USERNAME, SASLCACHED_PASSWORD',
    '',
  ])
  expect(printConfig(await load({}))).toContain(
    '# Users: none; a user is made for the run and shown at start.',
  )
})
