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
    expect(first.lines()).toEqual(lines)
    expect(second.lines()).toEqual(lines)
  })

  test('leaves out keys without the delimiter, and takes an empty prefix for one', () => {
    const [table] = createTables(1, '/') as [PrefixTable]
    count(table, PREFIX_GET, 'plain')
    count(table, PREFIX_GET, 'a:b')
    count(table, PREFIX_GET, '/root')
    expect(table.lines()).toEqual(['PREFIX  get 1 hit 0 set 0 del 0'])
  })

  test('is turned on and off, and cleared, for all workers', () => {
    const [first, second] = createTables(2) as [PrefixTable, PrefixTable]
    expect(second.isEnabled).toBe(false)
    first.enable(true)
    expect(second.isEnabled).toBe(true)
    count(first, PREFIX_GET, 'a:b')
    second.clear()
    expect(first.lines()).toEqual([])
    count(first, PREFIX_GET, 'c:d')
    expect(second.lines()).toEqual(['PREFIX c get 1 hit 0 set 0 del 0'])
    second.enable(false)
    expect(first.isEnabled).toBe(false)
  })

  test('keeps a bounded number of prefixes and counts those on', () => {
    const [table] = createTables(1) as [PrefixTable]
    for (let index = 0; index < PREFIXES_MAX + 500; index++) count(table, PREFIX_SET, `p${index}:k`)
    count(table, PREFIX_SET, 'p0:k')
    const lines = table.lines()
    expect(lines).toHaveLength(PREFIXES_MAX)
    expect(lines[0]).toBe('PREFIX p0 get 0 hit 0 set 2 del 0')
    table.clear()
    count(table, PREFIX_SET, `p${PREFIXES_MAX + 1}:k`)
    expect(table.lines()).toHaveLength(1)
  })

  test('keeps a bounded number of bytes of prefixes', () => {
    const [table] = createTables(1) as [PrefixTable]
    for (let index = 0; index < PREFIXES_MAX; index++) {
      count(table, PREFIX_SET, `${String(index).padStart(240, '0')}:k`)
    }
    expect(table.lines()).toHaveLength(Math.floor(PREFIX_BYTES_MAX / 240))
  })
})
