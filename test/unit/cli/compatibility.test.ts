/** memcached's own command line, flag by flag, against what becomes of it here. */
import { expect, test } from 'vitest'
import { EXTENDED, FOREIGN_FLAGS } from '../../../src/config/extended.ts'
import { OPTION_NAMES, OPTIONS } from '../../../src/config/options.ts'
import { type Fate, MEMCACHED_FLAGS, MEMCACHED_SUBOPTIONS } from '../../support/memcached-flags.ts'
import { run } from './support.ts'

const SHOWN: Readonly<Record<string, RegExp>> = {
  '-h': /^Usage: saslcached /,
  '-i': /^MIT License\n/,
  '-V': /^saslcached \d/,
}

/** What one more flag did to the configuration, in one word; an error where it is none of them. */
async function fateOf(argv: readonly string[], where: string): Promise<Fate> {
  const { exitCode, out, err } = await run([...argv, '--print-config'])
  if (exitCode === 78) {
    const message = `saslcached: 1 problem\n  ${where}: is not available: `
    expect(err.startsWith(message), err).toBe(true)
    // It says why, and what to do.
    expect(err.length).toBeGreaterThan(message.length + 20)
    return 'refused'
  }
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' })
  const set = out.split('\n').filter((line) => new RegExp(` # ${where}(:|$)`).test(line))
  const notices = out.split('\n').filter((line) => line.startsWith(`# ${where} has no effect: `))
  if (set.length === 1 && notices.length === 0) return 'works'
  if (set.length === 0 && notices.length === 1) return 'no effect'
  expect({ set, notices }, 'said once, or not at all').toEqual({ set: [], notices: [] })
  return 'accepted'
}

test.each(MEMCACHED_FLAGS.filter(({ fate }) => fate !== 'general'))(
  '$short, $long $value: $fate',
  async ({ short, long, value, fate, beside }) => {
    const suboption = short === '-o' ? ` ${value?.split('=')[0]}` : ''
    for (const flag of [short, long]) {
      if (flag === undefined) continue
      const argv = value === undefined ? [flag] : [flag, value]
      expect(await fateOf([...argv, ...beside], `${flag}${suboption}`)).toBe(fate)
    }
  },
)

test.each(MEMCACHED_FLAGS.filter(({ fate }) => fate === 'general'))(
  '$short, $long shows something and ends',
  async ({ short, long }) => {
    const shown = await run([short])
    expect(shown).toMatchObject({ exitCode: 0, err: '', out: expect.stringMatching(SHOWN[short]!) })
    expect(await run([long ?? ''])).toEqual(shown)
  },
)

test.each(MEMCACHED_SUBOPTIONS.map(([use, fate, beside = []]) => ({ use, fate, beside })))(
  '-o $use: $fate',
  async ({ use, fate, beside }) => {
    expect(await fateOf(['-o', use, ...beside], `-o ${use.split('=')[0]}`)).toBe(fate)
  },
)

test('what is known here as a flag of memcached is one, and all of them are known', () => {
  const flags = MEMCACHED_FLAGS.flatMap(({ short, long }) => [short, long ?? []].flat())
  const foreign = FOREIGN_FLAGS.flatMap(({ short, long }) => [
    `-${short}`,
    ...(long === undefined ? [] : [`--${long}`]),
  ])
  const shorts = OPTION_NAMES.flatMap((name) => {
    const { short, long } = OPTIONS[name]
    return short === undefined ? [] : [`-${short}`, `--${long}`]
  })
  // memcached's -D has no long form; ours has.
  const known = [...flags, '--prefix-delimiter']
  const general = ['-h', '--help', '-i', '--license', '-V', '--version', '-o', '--extended']
  expect([...foreign, ...shorts, ...general].sort()).toEqual(known.sort())
  const suboptions = new Set(MEMCACHED_SUBOPTIONS.map(([use]) => use.split('=')[0]))
  expect(Object.keys(EXTENDED).sort()).toEqual([...suboptions].sort())
})

test.each([
  ['hashpower', '-o hashpower: needs a value'],
  ['hashpower=', '-o hashpower: needs a value'],
  ['hashpower=x', '-o hashpower: "x" is not a whole number from 0 to 4294967295'],
  ['hash_algorithm=md5', '-o hash_algorithm: "md5" is not one of jenkins, murmur3, xxh3'],
  ['hot_lru_pct=0', '-o hot_lru_pct: "0" is not a whole number from 1 to 80'],
  ['hot_max_factor=a', '-o hot_max_factor: "a" is not a number'],
  ['ssl_verify_mode=4', '-o ssl_verify_mode: "4" is not one of none, request, require, once'],
  ['ssl_min_version=4', '-o ssl_min_version: "4" is not one of 1.2, 1.3'],
  ['ssl_wbuf_size', '-o ssl_wbuf_size: needs a value'],
  ['ssl_key', '-o ssl_key: needs a value: ssl_key=<file>'],
  [
    'ssl_keyformat=2',
    '-o ssl_keyformat: "2" is DER; make it PEM: openssl pkey -inform DER -in key.der',
  ],
  ['maxcons_fast', '-o maxcons_fast: is not a known suboption; did you mean maxconns_fast?'],
])('-o %s is refused, as memcached refuses it', async (use, problem) => {
  expect((await run(['-o', use])).err).toBe(`saslcached: 1 problem\n  ${problem}\n`)
})

test('lists of -o and repeated -o are joined', async () => {
  const { err } = await run(['-o', 'hashpower=20,slab_reassign', '-olru_crawler', '--check-config'])
  expect(err.match(/^note: -o \w+ has no effect/gm)).toEqual([
    'note: -o hashpower has no effect',
    'note: -o slab_reassign has no effect',
    'note: -o lru_crawler has no effect',
  ])
})

test('UDP is refused with its reason, and 0 turns off what is off', async () => {
  const { exitCode, err } = await run(['-U', '11211'])
  expect(exitCode).toBe(78)
  expect(err).toBe(
    'saslcached: 1 problem\n  -U: "11211" cannot be served: ' +
      'UDP has no login and lends itself to amplification; use 0\n',
  )
  expect((await run(['-U', '0', '--print-config'])).exitCode).toBe(0)
})
