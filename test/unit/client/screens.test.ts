/** What people see: tables, the screen of `top`, latencies, and text that a terminal must not obey. */
import { expect, test } from 'vitest'
import { fieldsJson, parseFields } from '../../../src/client/dump.ts'
import { decodeKey, parseKey } from '../../../src/client/key.ts'
import { LatencyHistogram } from '../../../src/client/latency-histogram.ts'
import { printable, printableBytes, printableJson } from '../../../src/client/printable.ts'
import { formatStats, statsJson } from '../../../src/client/stat-table.ts'
import { formatTop, formatTopLine, type Sample, topJson } from '../../../src/client/top-screen.ts'

const ESCAPE = '\u001b[2J\u009b31m\u202e\u200b\ud800'

test('nothing that a terminal obeys is left, and JSON reads back as it was', () => {
  expect(printable(ESCAPE)).toBe('\\x1b[2J\\x9b31m\\u202e\\u200b\\ud800')
  expect(printable('naïve 日本 🙂')).toBe('naïve 日本 🙂')
  expect(printableBytes(Buffer.from('a\\\n\u0007ü'))).toBe('a\\\\\\n\\x07ü')
  expect(printableBytes(Buffer.from([0xff, 0x1b, 0x41]))).toBe('\\xff\\x1bA')
  const json = printableJson({ [ESCAPE]: ESCAPE })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there.
  expect(json).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e\u200b]/)
  expect(JSON.parse(json)).toEqual({ [ESCAPE]: ESCAPE })
})

test('statistics are two columns, and a row for each thing where that fits', () => {
  const rows = [
    ['1:addr', 'tcp:a'],
    ['1:state', 'x'],
    ['20:addr', 'tcp:b'],
  ] as const
  expect(formatStats(rows, 0)).toEqual(['1:addr   tcp:a', '1:state  x', '20:addr  tcp:b'])
  expect(formatStats(rows, 80)).toEqual(['    addr   state', '1   tcp:a  x', '20  tcp:b'])
  expect(formatStats([['a', `1${ESCAPE}`]], 80)[0]).toMatch(/^a {2}1\\x1b/)
})

test('a statistic is a number in JSON only where it stays the same', () => {
  const rows = [
    ['a', '12'],
    ['b', '18446744073709551615'],
    ['c', '007'],
    ['d', '0.25'],
    ['__proto__', 'x'],
    ['e', '1.6.45'],
  ] as const
  expect(JSON.stringify(statsJson(rows))).toBe(
    '{"a":12,"b":"18446744073709551615","c":"007","d":0.25,"__proto__":"x","e":"1.6.45"}',
  )
})

test('of a line of a dump the CAS is text, and what a JSON number keeps is a number', () => {
  const line = 'key=17 exp=-1 la=9007199254740991 cas=1 fetch=no cls=1 size=9007199254740993'
  expect(fieldsJson(parseFields(line))).toEqual({
    key: '17',
    exp: -1,
    la: 9007199254740991,
    cas: '1',
    fetch: 'no',
    cls: 1,
    size: '9007199254740993',
  })
})

test('keys come back from the form of dumps, and no others are taken', () => {
  expect(decodeKey('a%20b%FF')).toEqual(Buffer.from('a b\u00ff', 'latin1'))
  expect([decodeKey('%'), decodeKey('%2'), decodeKey('%zz'), decodeKey('a b')]).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ])
  expect(parseKey('x'.repeat(250), false)).toHaveLength(250)
  expect(parseKey('x'.repeat(251), false)).toMatch(/at most 250/)
  expect(parseKey('', false)).toBe('is empty')
})

test('quantiles are right to three in a hundred, over seven orders of magnitude', () => {
  const histogram = new LatencyHistogram()
  expect(histogram.quantileUs(0.5)).toBe(0)
  for (const scale of [1, 100, 10_000, 1_000_000]) {
    for (let value = 1; value <= 1000; value++) histogram.add(value * scale)
  }
  expect(histogram.count).toBe(4000)
  const sorted = [1, 100, 10_000, 1_000_000].flatMap((scale) =>
    Array.from({ length: 1000 }, (_, index) => (index + 1) * scale),
  )
  sorted.sort((a, b) => a - b)
  for (const quantile of [0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1]) {
    const exact = sorted[Math.ceil(quantile * sorted.length) - 1] ?? 0
    const found = histogram.quantileUs(quantile)
    expect(found).toBeGreaterThanOrEqual(exact)
    expect(found).toBeLessThanOrEqual(exact * 1.04 + 1)
  }
  histogram.add(1e12)
  expect(histogram.quantileUs(1)).toBeLessThanOrEqual(histogram.maxUs)
})

const GENERAL = {
  version: '1.6.45',
  uptime: '90061',
  cmd_get: '100',
  get_hits: '90',
  get_misses: '10',
  cmd_set: '5',
  bytes: '1048576',
  limit_maxbytes: '67108864',
  curr_items: '1234567',
  curr_connections: '3',
  evictions: '0',
}
const sample = (atMs: number, change: object, namespaces: Sample['namespaces'] = []): Sample => ({
  atMs,
  general: new Map(Object.entries({ ...GENERAL, ...change })),
  namespaces,
})
const BEFORE = sample(0, {})
const NOW = sample(2000, { cmd_get: '2100', get_hits: '1090', get_misses: '1010', cmd_set: '7' })

test('top shows what happened since the sample before', () => {
  const lines = formatTop('cache:11211', BEFORE, NOW, { columns: 80, rows: 24 })
  const text = lines.join('\n')
  expect(text).toMatch(/^cache:11211 {2}1\.6\.45 {2}up 1d 01:01:01\n/)
  expect(text).toMatch(/hit ratio +50\.0% /)
  expect(text).toMatch(/\nget +1\.0k {2}set +1 /)
  expect(text).toContain('memory 1.0M (1.6% of 64.0M)')
  expect(text).toMatch(/items +1\.2M$/m)
  expect(formatTopLine(BEFORE, NOW)).toMatch(
    /^get\/s=1000 set\/s=1 .*hit_ratio=0\.500 bytes=1048576/,
  )
  expect(topJson(BEFORE, NOW)).toMatchObject({ seconds: 2, hit_ratio: 0.5, items: 1234567 })
})

test('a server whose counters were reset has no negative rates', () => {
  expect(formatTopLine(NOW, BEFORE)).toMatch(/^get\/s=\d+ set\/s=\d+ /)
})

test.each([80, 79, 60, 41, 40, 20, 10, 1])('no line of top is wider than %i columns', (columns) => {
  const namespaces = ['default', 'a-namespace-with-a-long-name', `b${ESCAPE}:c`].flatMap((name) =>
    ['curr_items', 'bytes', 'quota_bytes', 'cmd_get', 'get_hits', 'cmd_set', 'evictions'].map(
      (field) => [`${name}:${field}`, '18446744073709551615'] as const,
    ),
  )
  const huge = Object.fromEntries(Object.keys(GENERAL).map((name) => [name, '9'.repeat(30)]))
  for (const now of [NOW, sample(1, { ...huge, version: ESCAPE.repeat(50) }, namespaces)]) {
    const lines = formatTop(`server${ESCAPE}`, BEFORE, now, { columns, rows: 24 })
    expect(lines.filter((line) => line.length > columns)).toEqual([])
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there.
    expect(lines.join('')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/)
    expect(lines.length).toBeLessThanOrEqual(24)
  }
})

test('a screen of few rows keeps to them', () => {
  for (const rows of [1, 2, 5]) {
    const lines = formatTop('x', BEFORE, NOW, { columns: 80, rows })
    expect(lines.length).toBeLessThanOrEqual(Math.max(2, rows))
  }
})
