/** The table of verbs: that it has them all, and the sets that decide what a request may do. */
import { expect, test } from 'vitest'
import { RIGHT } from '../../../src/credential/rights.ts'
import * as verbs from '../../../src/protocol/verbs.ts'

const NUMBERS = Object.entries(verbs).flatMap(([name, value]) =>
  name.startsWith('VERB_') && typeof value === 'number' ? [value] : [],
)

function namesIn(set: number): string[] {
  return NUMBERS.filter((number) => verbs.hasVerb(set, number)).map(
    (number) => verbs.findVerb(number)?.name ?? '?',
  )
}

test('every verb has a row, and no row is of no verb', () => {
  expect(NUMBERS.length).toBeGreaterThan(28)
  expect(verbs.VERBS.map(({ number }) => number).sort((a, b) => a - b)).toEqual(
    [...NUMBERS].sort((a, b) => a - b),
  )
})

test('names and first words are of one verb each', () => {
  const names = verbs.VERBS.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  const words = verbs.VERBS.flatMap(({ name, line, word = name, casWord }) =>
    line === undefined ? [] : [word, ...(casWord === undefined ? [] : [casWord])],
  )
  expect(new Set(words).size).toBe(words.length)
})

test('what a closed gate lets through is a login, and the version', () => {
  const before = verbs.verbsThat(({ beforeLogin }) => beforeLogin === true)
  expect(namesIn(before)).toEqual(['version', 'sasl_list', 'sasl_start', 'sasl_step'])
})

test('what comes to a store takes a right, but for a noop', () => {
  const free = verbs.VERBS.filter(
    ({ about, takes }) => takes.length === 0 && (about === 'item' || about === 'items'),
  )
  expect(free.map(({ name }) => name)).toEqual(['noop'])
  for (const { name, takes } of verbs.VERBS) {
    for (const right of takes) expect([name, Object.hasOwn(RIGHT, right)]).toEqual([name, true])
  }
})

test('a set has a bit for the last verb that there may be', () => {
  const last = verbs.VERBS_MAX - 1
  expect(verbs.hasVerb(1 << last, last)).toBe(true)
  expect(verbs.hasVerb(1 << last, 0)).toBe(false)
})

test.each([
  ['ITEM_VERBS', verbs.ITEM_VERBS, ({ about }: verbs.Verb) => about === 'item'],
  [
    'CONTROL_VERBS',
    verbs.CONTROL_VERBS,
    ({ about }: verbs.Verb) => about === 'connection' || about === 'server',
  ],
  [
    'LIST_VERBS',
    verbs.LIST_VERBS,
    ({ line }: verbs.Verb) => line === verbs.LINE_KEYS || line === verbs.LINE_EXPIRY_KEYS,
  ],
  ['META_VERBS', verbs.META_VERBS, ({ line }: verbs.Verb) => line === verbs.LINE_META],
  ['STORING_VERBS', verbs.STORING_VERBS, ({ stores }: verbs.Verb) => stores === true],
])('%s is the set of its rows', (_name, set, isIn) => {
  expect(set.toString(16)).toBe(verbs.verbsThat(isIn).toString(16))
})

test('the sets are what the dialects and the command face take them for', () => {
  expect(namesIn(verbs.LIST_VERBS)).toEqual(['get', 'gat'])
  expect(namesIn(verbs.META_VERBS)).toEqual(['mg', 'ms', 'md', 'ma', 'mn', 'me'])
  expect(namesIn(verbs.STORING_VERBS)).toEqual([
    'set',
    'add',
    'replace',
    'append',
    'prepend',
    'cas',
    'ms',
  ])
  // Each is carried out by a store, or by the dialect, or marks a place.
  const others = NUMBERS.filter((number) => {
    return !verbs.hasVerb(verbs.ITEM_VERBS | verbs.CONTROL_VERBS, number)
  })
  expect(others.map((number) => verbs.findVerb(number)?.name)).toEqual(['flush_all', 'noop', 'mn'])
})
