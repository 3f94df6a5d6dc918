/** Counting by key prefix: across workers, and never beyond its bounds. */
import { describe, expect, test } from 'vitest'
import {
  createPrefixMemory,
  PREFIX_BYTES_MAX,
  PREFIX_DELETE,
  PREFIX_GET,
  PREFIX_HIT,
  PREFIX_SET,
  PREFIXES_MAX,
  PrefixTable,
} from '../../../src/observe/prefix-table.ts'

function createTables(workerCount: number, delimiter = ':'): readonly PrefixTable[] {
  const memory = createPrefixMemory(delimiter.charCodeAt(0), [3, 4])
  const observed = new Int32Array(new SharedArrayBuffer(64))
  return Array.from({ length: workerCount }, () => new PrefixTable(memory, observed))
}

/** The lines of a whole dump. */
function linesOf(table: PrefixTable): string[] {
  const dump = table.dump()
  let text = ''
  for (let lines = dump.next(); lines !== undefined; lines = dump.next()) text += lines
  return text.split('\r\n').slice(0, -1)
}

function count(table: PrefixTable, what: number, key: string): void {
  // Behind the key there are other bytes, delimiters among them.
  const bytes = Buffer.from(`x${key}:more`, 'latin1')
  table.count(what, bytes, 1, key.length)
}

describe('the prefix table', () => {
  test('adds up what all workers count', () => {
    const [first, second] = createTables(2) as [PrefixTable, PrefixTable]
    count(first, PREFIX_GET, 'user:1')
    count(second, PREFIX_GET, 'user:2')
    count(second, PREFIX_HIT, 'user:2')
    count(first, PREFIX_SET, 'page:1')
    count(second, PREFIX_DELETE, 'page:1:2')
    const lines = ['PREFIX user get 2 hit 1 set 0 del 0', 'PREFIX page get 0 hit 0 set 1 del 1']
    expect(linesOf(first)).toEqual(lines)
    expect(linesOf(second)).toEqual(lines)
  })

  test('leaves out keys without the delimiter, and takes an empty prefix for one', () => {
    const [table] = createTables(1, '/') as [PrefixTable]
    count(table, PREFIX_GET, 'plain')
    count(table, PREFIX_GET, 'a:b')
    count(table, PREFIX_GET, '/root')
    expect(linesOf(table)).toEqual(['PREFIX  get 1 hit 0 set 0 del 0'])
  })

  test('is turned on and off, and cleared, for all workers', () => {
    const [first, second] = createTables(2) as [PrefixTable, PrefixTable]
    expect(second.isEnabled).toBe(false)
    first.enable(true)
    expect(second.isEnabled).toBe(true)
    count(first, PREFIX_GET, 'a:b')
    second.clear()
    expect(linesOf(first)).toEqual([])
    count(first, PREFIX_GET, 'c:d')
    expect(linesOf(second)).toEqual(['PREFIX c get 1 hit 0 set 0 del 0'])
    second.enable(false)
    expect(first.isEnabled).toBe(false)
  })

  test('keeps a bounded number of prefixes and counts those on', () => {
    const [table] = createTables(1) as [PrefixTable]
    for (let index = 0; index < PREFIXES_MAX + 500; index++) count(table, PREFIX_SET, `p${index}:k`)
    count(table, PREFIX_SET, 'p0:k')
    const lines = linesOf(table)
    expect(lines).toHaveLength(PREFIXES_MAX)
    expect(lines[0]).toBe('PREFIX p0 get 0 hit 0 set 2 del 0')
    table.clear()
    count(table, PREFIX_SET, `p${PREFIXES_MAX + 1}:k`)
    expect(linesOf(table)).toHaveLength(1)
  })

  test('keeps a bounded number of bytes of prefixes', () => {
    const [table] = createTables(1) as [PrefixTable]
    for (let index = 0; index < PREFIXES_MAX; index++) {
      count(table, PREFIX_SET, `${String(index).padStart(240, '0')}:k`)
    }
    expect(linesOf(table)).toHaveLength(Math.floor(PREFIX_BYTES_MAX / 240))
  })

  test('a dump comes a few lines at a time and shows what was there when it began', () => {
    const [table, other] = createTables(2) as [PrefixTable, PrefixTable]
    for (let index = 0; index < 1000; index++) count(table, PREFIX_GET, `p${index}:k`)
    const dump = table.dump()
    const lines: string[] = []
    for (let step = dump.next(); step !== undefined; step = dump.next()) {
      const made = step.split('\r\n').slice(0, -1)
      expect(made.length).toBeLessThanOrEqual(64)
      lines.push(...made)
      // One that comes meanwhile is not in it; one that is counted on has its count of that moment.
      count(other, PREFIX_GET, `late${lines.length}:k`)
      count(other, PREFIX_HIT, 'p999:k')
    }
    expect(lines).toHaveLength(1000)
    expect(lines[0]).toBe('PREFIX p0 get 1 hit 0 set 0 del 0')
    expect(lines[999]).toBe('PREFIX p999 get 1 hit 15 set 0 del 0')
  })

  test('a dump ends where another worker clears the table, whatever comes into it then', () => {
    const [table, other] = createTables(2) as [PrefixTable, PrefixTable]
    for (let index = 0; index < 1000; index++) count(table, PREFIX_GET, `p${index}:k`)
    const dump = table.dump()
    expect(dump.next()).toMatch(/^PREFIX p0 /)
    other.clear()
    for (let index = 0; index < 1000; index++) count(other, PREFIX_SET, `q${index}:k`)
    expect(dump.next()).toBeUndefined()
    expect(linesOf(table)).toHaveLength(1000)
  })
})
