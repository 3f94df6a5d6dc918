/**
 * Short random histories over few keys, against a Map; a failure shrinks to the few operations that
 * cause it. SEED= repeats a run. The long histories are in store-model.test.ts.
 */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkIntegrity } from '../../src/storage/integrity.ts'
import { EXISTS, NOT_FOUND, NOT_STORED, REMOVED, STORED } from '../../src/storage/result.ts'
import {
  WRITE_ADD,
  WRITE_APPEND,
  WRITE_PREPEND,
  WRITE_REPLACE,
  WRITE_SET,
} from '../../src/storage/write-order.ts'
import { Client } from '../unit/storage/client.ts'
import { seedOfRun } from '../unit/storage/model.ts'

const KEYS = ['a', 'bb', 'ccc', 'dddd', 'k'.repeat(249), 'k'.repeat(250)]
const RUNS = Number(process.env.RUNS ?? 300)

const key = fc.constantFrom(...KEYS)
const operation = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    key,
    mode: fc.constantFrom(WRITE_SET, WRITE_ADD, WRITE_REPLACE, WRITE_APPEND, WRITE_PREPEND),
    length: fc.oneof(fc.nat(40), fc.nat(2000), fc.nat(60_000)),
    ttl: fc.constantFrom(0, 0, 1, 3),
  }),
  fc.record({ kind: fc.constant('get' as const), key }),
  fc.record({ kind: fc.constant('remove' as const), key }),
  fc.record({ kind: fc.constant('touch' as const), key, ttl: fc.constantFrom(0, 1, 3) }),
  fc.record({ kind: fc.constant('pass' as const), seconds: fc.constantFrom(1, 2) }),
  fc.record({ kind: fc.constant('maintain' as const), budget: fc.nat(20) }),
  fc.record({ kind: fc.constant('flush' as const), delay: fc.constantFrom(0, 0, 2) }),
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

interface ModelItem {
  value: string
  expiry: number
}

class Model {
  readonly items = new Map<string, ModelItem>()
  flushAt = 0

  live(name: string, now: number): ModelItem | undefined {
    if (this.flushAt !== 0 && this.flushAt <= now) {
      this.items.clear()
      this.flushAt = 0
    }
    const item = this.items.get(name)
    return item !== undefined && (item.expiry === 0 || item.expiry > now) ? item : undefined
  }
}

/** Values differ from write to write and from place to place. */
function textOf(length: number, count: number): string {
  return `${count}:`.repeat(length / 2 + 1).slice(0, length)
}

function apply(client: Client, model: Model, what: Operation, count: number): void {
  const { now } = client
  switch (what.kind) {
    case 'write': {
      const item = model.live(what.key, now)
      const value = textOf(what.length, count)
      const expiry = what.ttl === 0 ? 0 : now + what.ttl
      const result = client.write(what.key, value, { mode: what.mode, expiry })
      if (what.mode === WRITE_APPEND || what.mode === WRITE_PREPEND) {
        expect(result).toBe(item === undefined ? NOT_STORED : STORED)
        if (item === undefined) return
        item.value = what.mode === WRITE_APPEND ? item.value + value : value + item.value
        return
      }
      if (what.mode === WRITE_ADD && item !== undefined) {
        expect(result).toBe(EXISTS)
      } else if (what.mode === WRITE_REPLACE && item === undefined) {
        expect(result).toBe(NOT_FOUND)
      } else {
        expect(result).toBe(STORED)
        model.items.set(what.key, { value, expiry })
      }
      return
    }
    case 'get': {
      const item = model.live(what.key, now)
      const found = client.find(what.key, true)
      expect(found?.value.length).toBe(item?.value.length)
      expect(found?.value === item?.value).toBe(true)
      expect(found?.expiry).toBe(item?.expiry)
      return
    }
    case 'remove': {
      const item = model.live(what.key, now)
      expect(client.remove(what.key)).toBe(item === undefined ? NOT_FOUND : REMOVED)
      model.items.delete(what.key)
      return
    }
    case 'touch': {
      const item = model.live(what.key, now)
      const expiry = what.ttl === 0 ? 0 : now + what.ttl
      expect(client.touch(what.key, expiry)).toBe(item !== undefined)
      if (item !== undefined) item.expiry = expiry
      return
    }
    case 'pass':
      client.now += what.seconds
      return
    case 'maintain':
      client.store.maintain(now, what.budget)
      return
    case 'flush':
      model.live('', now)
      client.store.flush(what.delay === 0 ? 0 : now + what.delay, now)
      if (what.delay === 0) model.items.clear()
      model.flushAt = what.delay === 0 ? 0 : now + what.delay
      return
  }
}

test('the store agrees with a Map over any short history', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      // 6 keys of at most a few hundred KiB: nothing needs to be evicted.
      const client = new Client({ memoryBytes: 8 * 1024 * 1024, itemBytesMax: 4 * 1024 * 1024 })
      const model = new Model()
      for (const [count, what] of operations.entries()) apply(client, model, what, count)
      for (const name of KEYS) apply(client, model, { kind: 'get', key: name }, 0)
      expect(checkIntegrity(client.memory)).toEqual([])
    }),
    { numRuns: RUNS, seed: seedOfRun() },
  )
})
