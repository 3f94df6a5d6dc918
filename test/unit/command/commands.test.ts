/** What each command means, over a real store and without a connection; and what is counted. */
import { beforeEach, describe, expect, test } from 'vitest'
import { Asker } from './asker.ts'

let asker: Asker
beforeEach(() => {
  asker = new Asker()
})

function ask(line: string): string {
  return asker.ask(line)
}

describe('of the classic commands', () => {
  test('get finds what set has stored, and nothing else', () => {
    expect(ask('get k\r\n')).toBe('not found')
    expect(ask('set k 7 0 5\r\nvalue\r\n')).toBe('ok')
    expect(ask('get k\r\n')).toBe('hit value')
    expect(ask('get kk\r\n')).toBe('not found')
    expect(ask('set k 7 0 0\r\n\r\n')).toBe('ok')
    expect(ask('get k\r\n')).toBe('hit ')
    expect([asker.count('cmd_get'), asker.count('get_hits'), asker.count('get_misses')]).toEqual([
      4, 2, 2,
    ])
    expect(asker.count('cmd_set')).toBe(2)
  })

  test('add, replace, append and prepend look at what is there', () => {
    expect(ask('replace k 0 0 1\r\nr\r\n')).toBe('not found')
    expect(ask('append k 0 0 1\r\na\r\n')).toBe('not stored')
    expect(ask('prepend k 0 0 1\r\np\r\n')).toBe('not stored')
    expect(ask('add k 0 0 1\r\na\r\n')).toBe('ok')
    expect(ask('add k 0 0 1\r\nb\r\n')).toBe('exists')
    expect(ask('append k 0 0 1\r\n>\r\n')).toBe('ok')
    expect(ask('prepend k 0 0 1\r\n<\r\n')).toBe('ok')
    expect(ask('get k\r\n')).toBe('hit <a>')
    expect(ask('replace k 0 0 1\r\nr\r\n')).toBe('ok')
    expect(ask('get k\r\n')).toBe('hit r')
  })

  test('cas stores where the unique is the one that was seen, and counts each outcome', () => {
    expect(ask('cas k 0 0 1 1\r\nx\r\n')).toBe('not found')
    ask('set k 0 0 1\r\na\r\n')
    ask('gets k\r\n')
    const { cas } = asker
    expect(cas).toBeGreaterThan(0n)
    expect(ask(`cas k 0 0 1 ${cas + 1n}\r\nx\r\n`)).toBe('exists')
    expect(ask(`cas k 0 0 1 ${cas}\r\nb\r\n`)).toBe('ok')
    expect(ask(`cas k 0 0 1 ${cas}\r\nc\r\n`)).toBe('exists')
    expect(ask('get k\r\n')).toBe('hit b')
    expect(
      (['cas_misses', 'cas_hits', 'cas_badval'] as const).map((name) => asker.count(name)),
    ).toEqual([1, 1, 2])
  })

  test('incr wraps at 2^64, decr stops at 0, and neither takes a word for a number', () => {
    expect(ask('incr n 1\r\n')).toBe('not found')
    ask('set n 0 0 20\r\n18446744073709551615\r\n')
    expect(ask('incr n 2\r\n')).toBe('number 1')
    expect(ask('decr n 5\r\n')).toBe('number 0')
    ask('set n 0 0 4\r\nword\r\n')
    expect(ask('incr n 1\r\n')).toBe('not a number')
    expect(ask('get n\r\n')).toBe('hit word')
    expect(
      (['incr_hits', 'incr_misses', 'decr_hits'] as const).map((name) => asker.count(name)),
    ).toEqual([1, 1, 1])
  })

  test('touch and gat give a new end, delete takes away, flush_all everything', () => {
    expect(ask('touch k 10\r\n')).toBe('not found')
    expect(ask('gat 10 k\r\n')).toBe('not found')
    ask('set k 0 0 1\r\nv\r\n')
    expect(ask('touch k 10\r\n')).toBe('touched')
    expect(ask('gat 20 k\r\n')).toBe('hit v')
    expect(ask('touch k -1\r\n')).toBe('touched')
    expect(ask('get k\r\n')).toBe('not found')
    ask('set k 0 0 1\r\nv\r\n')
    expect(ask('delete k\r\n')).toBe('ok')
    expect(ask('delete k\r\n')).toBe('not found')
    ask('set k 0 0 1\r\nv\r\n')
    expect(ask('flush_all\r\n')).toBe('ok')
    expect(ask('get k\r\n')).toBe('not found')
    expect(asker.count('cmd_flush')).toBe(1)
  })

  test('a value beyond the largest item is refused and counted; one at the limit is not', () => {
    // What stands before the value counts as well.
    let length = 100_000
    while (ask(`set k 0 0 ${length}\r\n${'x'.repeat(length)}\r\n`) === 'too large') length--
    expect(ask(`set k 0 0 ${length}\r\n${'x'.repeat(length)}\r\n`)).toBe('ok')
    expect(asker.count('store_too_large')).toBe(100_000 - length)
    expect(100_000 - length).toBeLessThan(100)
    // What was to be added is not too large, only the result.
    expect(ask('append k 0 0 1\r\ny\r\n')).toBe('not stored')
    expect(ask('get k\r\n')).toBe(`hit ${'x'.repeat(length)}`)
    expect(asker.count('store_too_large')).toBe(100_000 - length)
  })

  test('a store that may not evict says that it is full', () => {
    asker = new Asker({ evicts: false })
    const value = 'x'.repeat(50_000)
    const outcomes = Array.from({ length: 100 }, (_, index) =>
      ask(`set k${index} 0 0 ${value.length}\r\n${value}\r\n`),
    )
    expect(outcomes[0]).toBe('ok')
    expect(outcomes.at(-1)).toBe('no memory')
    expect(ask('get k0\r\n')).toBe(`hit ${value}`)
    expect(asker.count('store_no_memory')).toBeGreaterThan(0)
  })
})

describe('of the meta commands', () => {
  test('mg asks for a value, or only whether there is one, and can make it', () => {
    expect(ask('mg k v\r\n')).toBe('not found')
    expect(ask('ms k 5\r\nvalue\r\n')).toBe('ok')
    expect(ask('mg k v\r\n')).toBe('hit value')
    expect(ask('mg k s t\r\n')).toBe('found')
    expect(ask('mg made N30 v\r\n')).toBe('hit ')
    expect(asker.server.commands.result.isCreated).toBe(true)
    expect(ask('get made\r\n')).toBe('hit ')
  })

  test('ms has the modes of the classic commands', () => {
    expect(ask('ms k 1 MR\r\nr\r\n')).toBe('not stored')
    expect(ask('ms k 1 MA\r\na\r\n')).toBe('not stored')
    expect(ask('ms k 1 ME\r\na\r\n')).toBe('ok')
    expect(ask('ms k 1 ME\r\nb\r\n')).toBe('not stored')
    expect(ask('ms k 1 MA\r\n>\r\n')).toBe('ok')
    expect(ask('ms k 1 MP\r\n<\r\n')).toBe('ok')
    expect(ask('mg k v\r\n')).toBe('hit <a>')
    expect(ask('ms new 1 MA N0\r\nx\r\n')).toBe('ok')
    expect(ask('mg new v\r\n')).toBe('hit x')
  })

  test('ma counts, and makes the number where N is given', () => {
    expect(ask('ma n\r\n')).toBe('not found')
    expect(ask('ma n N0 J13 v\r\n')).toBe('number 13')
    expect(ask('ma n D7 v\r\n')).toBe('number 20')
    expect(ask('ma n MD D30 v\r\n')).toBe('number 0')
    expect(ask('get n\r\n')).toMatch(/^hit 0 *$/)
  })

  test('md with I leaves a stale item, which one who asks is told to replace', () => {
    ask('ms k 1\r\nv\r\n')
    expect(ask('md k I T30\r\n')).toBe('ok')
    expect(ask('mg k v\r\n')).toBe('hit v')
    expect(asker.server.commands.result.marks).toBeGreaterThan(0)
    expect(ask('md k\r\n')).toBe('ok')
    expect(ask('md k\r\n')).toBe('not found')
  })
})

test('both kinds of commands see the same items', () => {
  ask('set k 5 0 1\r\nv\r\n')
  expect(ask('mg k v f\r\n')).toBe('hit v')
  expect(asker.server.commands.result.flags).toBe(5)
  ask('ms k 1 F9\r\nw\r\n')
  expect(ask('get k\r\n')).toBe('hit w')
  expect(asker.server.commands.result.flags).toBe(9)
})

test('a caller that is not logged in is refused by either, and nothing is counted', () => {
  ask('set k 0 0 1\r\nv\r\n')
  const before = Float64Array.from(asker.server.lane)
  asker.caller.isOpen = false
  for (const line of ['get k\r\n', 'set k 0 0 1\r\nx\r\n', 'delete k\r\n', 'flush_all\r\n']) {
    expect(ask(line)).toBe('refused')
  }
  for (const line of ['mg k v\r\n', 'ms k 1\r\nx\r\n', 'md k\r\n', 'ma k N0\r\n']) {
    expect(ask(line)).toBe('refused')
  }
  expect(asker.server.lane).toEqual(before)
  asker.caller.isOpen = true
  expect(ask('get k\r\n')).toBe('hit v')
})
