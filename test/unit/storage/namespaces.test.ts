/** Namespaces: each a store of its own over one memory; what one does not use it lends, and gets back. */

import { describe, expect, test } from 'vitest'
import { GUARANTEED_WORD } from '../../../src/storage/control-block.ts'
import { counterLanes, EVICTIONS, readStoreCounters } from '../../../src/storage/counters.ts'
import {
  createStoreMemory,
  quotaBytesMinOf,
  type StoreMemory,
} from '../../../src/storage/geometry.ts'
import { checkHeapIntegrity } from '../../../src/storage/heap-integrity.ts'
import { LendingRing } from '../../../src/storage/lending.ts'
import {
  addNamespace,
  dropNamespace,
  quotaProblems,
  setQuota,
} from '../../../src/storage/namespaces.ts'
import { wholeMemoryLimitOf } from '../../../src/storage/quotas.ts'
import { NO_MEMORY, STORED } from '../../../src/storage/result.ts'
import { Client } from './client.ts'
import { randomOf, seedOfRun } from './model.ts'

const KIB = 1024
/** Small, so that a test is short. */
const UNIT = 256 * KIB
const VALUE = Buffer.alloc(1000, 'v')

interface HouseOptions {
  readonly memoryBytes?: number
  readonly quotas: readonly number[]
  readonly evicts?: boolean
  readonly workerCount?: number
  readonly itemBytesMax?: number
}

/** A memory with namespaces, and each worker's clients of all of them. */
class House {
  readonly memories: StoreMemory[]
  /** By worker, then by namespace. */
  readonly workers: Client[][]
  private readonly rings: LendingRing[]

  constructor(options: HouseOptions) {
    const { workerCount = 1, evicts = true, quotas } = options
    const first = createStoreMemory({
      memoryBytes: options.memoryBytes ?? 16 * UNIT,
      memoryBytesMax: 2 * (options.memoryBytes ?? 16 * UNIT),
      itemBytesMax: options.itemBytesMax ?? 64 * KIB,
      evicts,
      workerCount,
      seed: [11, 22],
      quotaBytesMin: Math.min(...quotas),
    })
    this.memories = [first]
    this.rings = Array.from({ length: workerCount }, () => new LendingRing())
    this.workers = this.rings.map(() => [])
    this.open(first)
    for (const quotaBytes of quotas) this.add(quotaBytes)
  }

  get clients(): Client[] {
    return this.workers[0]!
  }

  add(quotaBytes: number): void {
    const namespace = this.memories.length
    expect(quotaProblems(this.memories[0]!, [{ name: 'it', memoryBytes: quotaBytes }])).toEqual([])
    const seed = [namespace, 7] as const
    const memory = addNamespace(this.memories[0]!, { namespace, quotaBytes, seed })
    this.memories.push(memory)
    this.open(memory)
  }

  private open(memory: StoreMemory): void {
    for (const [workerIndex, clients] of this.workers.entries()) {
      const client = new Client({}, memory, workerIndex)
      client.store.joinLending(this.rings[workerIndex]!)
      clients.push(client)
    }
  }

  drop(namespace: number): void {
    const [memory] = this.memories.splice(namespace, 1)
    for (const clients of this.workers) clients.splice(namespace, 1)[0]!.store.leaveLending()
    dropNamespace(this.memories[0]!, memory!)
  }

  tick(): void {
    for (const clients of this.workers) {
      for (const client of clients) client.store.maintain(client.now, 2000)
    }
  }

  check(): void {
    expect(checkHeapIntegrity(this.memories)).toEqual([])
  }

  counters(namespace: number) {
    return readStoreCounters(this.memories[namespace]!)
  }

  heldBytes(namespace: number): number {
    const { segments, segmentBytes } = this.counters(namespace)
    return segments * segmentBytes
  }
}

function fill(client: Client, prefix: string, bytes: number): void {
  for (let index = 0; index * VALUE.length < bytes; index++) {
    expect(client.write(`${prefix} ${index}`, VALUE)).toBe(STORED)
  }
}

function countOf(client: Client, prefix: string, bytes: number): number {
  let found = 0
  for (let index = 0; index * VALUE.length < bytes; index++) {
    if (client.has(`${prefix} ${index}`)) found++
  }
  return found
}

test('the same key is another item in each namespace, and a flush is one of its own', () => {
  const house = new House({ quotas: [4 * UNIT, 4 * UNIT] })
  const [zero, one, two] = house.clients
  for (const client of house.clients) {
    expect(client.write('key', `of ${client.store.namespace}`)).toBe(STORED)
    // Ids of others would tell how much they write.
    expect(client.cas).toEqual([0, 1])
  }
  expect(house.clients.map((client) => client.get('key'))).toEqual(['of 0', 'of 1', 'of 2'])
  one!.store.flush(0, one!.now)
  expect(house.clients.map((client) => client.get('key'))).toEqual(['of 0', undefined, 'of 2'])
  two!.remove('key')
  expect(zero!.get('key')).toBe('of 0')
  expect(house.memories.map((_, namespace) => house.counters(namespace).items)).toEqual([1, 0, 0])
  house.check()
})

describe('lending', () => {
  test('one that is idle lends all of its memory, and one that is full evicts its own', () => {
    const house = new House({ quotas: [4 * UNIT, 8 * UNIT] })
    const [, one, two] = house.clients
    expect(two!.write('small', VALUE)).toBe(STORED)
    fill(one!, 'key', 32 * UNIT)
    expect(house.counters(1).bytes).toBeGreaterThan(14 * UNIT)
    expect(house.counters(1).evictions).toBeGreaterThan(2000)
    expect(house.counters(0)).toMatchObject({ evictions: 0, items: 0 })
    expect(house.counters(2)).toMatchObject({ evictions: 0, items: 1 })
    expect(two!.has('small')).toBe(true)
    house.check()
  })

  test('an owner gets its memory back while it writes, each write with bounded work, and loses nothing', () => {
    const house = new House({ quotas: [4 * UNIT, 6 * UNIT] })
    const [zero, one, two] = house.clients
    fill(one!, 'flood', 32 * UNIT)
    const lanes = counterLanes(house.memories[1]!, 0)
    let most = 0
    for (let index = 0; index < 1250; index++) {
      const before = lanes[EVICTIONS]!
      expect(two!.write(`mine ${index}`, VALUE)).toBe(STORED)
      most = Math.max(most, lanes[EVICTIONS]! - before)
      // The flood goes on, and takes nothing that an owner asked for.
      expect(one!.write(`more ${index}`, VALUE)).toBe(STORED)
      if (index % 100 === 0) house.check()
    }
    expect(house.counters(2)).toMatchObject({ evictions: 0, items: 1250 })
    expect(countOf(two!, 'mine', 1_250_000)).toBe(1250)
    expect(most).toBeLessThanOrEqual(40)
    expect(house.counters(1).bytes).toBeGreaterThan(3 * UNIT)
    // So does the one that has what the quotas leave.
    fill(zero!, 'rest', 5 * UNIT)
    expect(house.counters(0).evictions).toBe(0)
    expect(house.counters(1).evictions).toBeGreaterThan(0)
    expect(house.counters(2).evictions).toBe(0)
    expect(house.counters(1).bytes).toBeGreaterThan(3 * UNIT)
    house.check()
  })

  test('a value of many segments finds its room at once where it was lent', () => {
    const house = new House({ quotas: [4 * UNIT, 8 * UNIT], itemBytesMax: 2 * UNIT })
    const [, one, two] = house.clients
    fill(one!, 'flood', 32 * UNIT)
    for (let index = 0; index < 3; index++) {
      expect(two!.write(`large ${index}`, Buffer.alloc(2 * UNIT - 4096, index))).toBe(STORED)
      fill(one!, `more ${index}`, 2 * UNIT)
      house.check()
    }
    for (let index = 0; index < 3; index++) expect(two!.has(`large ${index}`)).toBe(true)
    expect(house.counters(2).evictions).toBe(0)
  })

  test('what is free again is lent by the next tick, after deletes as after a flush', () => {
    const house = new House({ quotas: [4 * UNIT, 8 * UNIT] })
    const [zero, , two] = house.clients
    fill(two!, 'key', 7 * UNIT)
    const held = house.heldBytes(2)
    for (let index = 0; index < 1836; index++) two!.remove(`key ${index}`)
    house.tick()
    expect(house.heldBytes(2)).toBeLessThan(held / 4)
    fill(zero!, 'key', 13 * UNIT)
    expect(house.counters(0).evictions).toBe(0)
    zero!.store.flush(0, zero!.now)
    for (let ticks = 0; ticks < 60; ticks++) house.tick()
    expect(house.heldBytes(0)).toBeLessThan(2 * UNIT)
    house.check()
  })

  test('an owner that wants nothing any more leaves what it asked for to others', () => {
    const house = new House({ quotas: [4 * UNIT, 8 * UNIT] })
    const [, one, two] = house.clients
    fill(one!, 'flood', 32 * UNIT)
    fill(two!, 'key', 75_000)
    two!.store.flush(0, two!.now)
    for (let ticks = 0; ticks < 20; ticks++) house.tick()
    fill(one!, 'again', 32 * UNIT)
    expect(house.counters(1).bytes).toBeGreaterThan(14 * UNIT)
    house.check()
  })

  test('with -M nothing is lent: each has its quota, whatever others do', () => {
    const house = new House({ quotas: [4 * UNIT, 8 * UNIT], evicts: false })
    const [zero, one, two] = house.clients
    let stored = 0
    while (one!.write(`key ${stored}`, VALUE) === STORED) stored++
    expect(stored).toBeGreaterThan(800)
    expect(stored).toBeLessThan(1024)
    fill(two!, 'key', 7 * UNIT)
    fill(zero!, 'key', 3 * UNIT)
    const before = stored
    while (one!.write(`key ${stored}`, VALUE) === STORED) stored++
    expect(stored - before).toBeLessThan(16)
    expect(countOf(one!, 'key', stored * 1000)).toBe(stored)
    expect(house.heldBytes(1)).toBeLessThanOrEqual(4 * UNIT)
    house.check()
  })
})

describe('quotas that change', () => {
  test('a namespace that comes finds a memory that is full, and has its quota all the same', () => {
    const house = new House({ quotas: [4 * UNIT] })
    const [zero] = house.clients
    fill(zero!, 'flood', 32 * UNIT)
    house.add(6 * UNIT)
    const two = house.clients[2]!
    expect(two.has('flood 1')).toBe(false)
    for (let index = 0; index < 1250; index++) {
      expect(two.write(`mine ${index}`, VALUE)).toBe(STORED)
      expect(zero!.write(`more ${index}`, VALUE)).toBe(STORED)
    }
    expect(house.counters(2)).toMatchObject({ evictions: 0, items: 1250 })
    house.check()
  })

  test('with -M it comes to it as the others delete', () => {
    const house = new House({ quotas: [4 * UNIT], evicts: false })
    const [zero] = house.clients
    let stored = 0
    while (zero!.write(`key ${stored}`, VALUE) === STORED) stored++
    house.add(6 * UNIT)
    const two = house.clients[2]!
    expect(two.write('mine', VALUE)).toBe(NO_MEMORY)
    expect(two.get('mine')).toBeUndefined()
    for (let index = 0; index < stored; index++) if (index % 3 !== 0) zero!.remove(`key ${index}`)
    for (let ticks = 0; ticks < 60; ticks++) house.tick()
    fill(two, 'mine', 5 * UNIT)
    expect(countOf(zero!, 'key', stored * 1000)).toBe(Math.ceil(stored / 3))
    house.check()
  })

  test('one that is dropped gives back all at once, whatever was under way in it', () => {
    const house = new House({ quotas: [6 * UNIT, 6 * UNIT], itemBytesMax: 2 * UNIT })
    const [zero, one] = house.clients
    fill(one!, 'key', 20 * UNIT)
    one!.store.appendLarge(one!.store.beginLarge(3, UNIT), VALUE, 0, 1000, one!.now)
    house.drop(1)
    house.check()
    fill(zero!, 'key', 15 * UNIT)
    expect(house.counters(0).evictions).toBe(0)
    house.add(6 * UNIT)
    expect(house.clients[2]!.has('key 4999'), 'it comes back empty').toBe(false)
    house.check()
    house.drop(2)
    house.drop(1)
    house.tick()
    expect(house.counters(0).segments).toBe(
      new Int32Array(house.memories[0]!.control)[GUARANTEED_WORD],
    )
    expect(wholeMemoryLimitOf(house.memories[0]!)).toBe(16 * UNIT)
    house.check()
  })

  test('a quota that is raised is there at once, and one that is lowered lent', () => {
    const house = new House({ quotas: [4 * UNIT, 8 * UNIT] })
    const [zero, one, two] = house.clients
    fill(one!, 'key', 32 * UNIT)
    fill(two!, 'key', 7 * UNIT)
    setQuota(house.memories[0]!, house.memories[1]!, 8 * UNIT)
    setQuota(house.memories[0]!, house.memories[2]!, 4 * UNIT)
    house.tick()
    house.check()
    expect(house.counters(2).evictions, 'nobody needs it yet').toBe(0)
    const { evictions } = house.counters(1)
    fill(zero!, 'key', 3.5 * UNIT)
    expect(house.counters(0).evictions).toBe(0)
    expect(house.counters(2).evictions).toBeGreaterThan(500)
    expect(house.counters(1).evictions, 'one has what is its own').toBe(evictions)
    expect(house.counters(1).bytes).toBeGreaterThan(7 * UNIT)
    house.check()
  })

  test('cache_memlimit moves what the quotas leave, and not below what that needs', () => {
    const house = new House({ quotas: [4 * UNIT, 4 * UNIT] })
    const [zero, one] = house.clients
    fill(one!, 'key', 32 * UNIT)
    expect(zero!.store.setMemoryLimit(8 * UNIT)).toBe(false)
    expect(zero!.store.setMemoryLimit(33 * UNIT)).toBe(false)
    expect(zero!.store.setMemoryLimit(10 * UNIT)).toBe(true)
    expect(wholeMemoryLimitOf(house.memories[0]!)).toBe(10 * UNIT)
    for (let ticks = 0; ticks < 60; ticks++) house.tick()
    expect(house.heldBytes(0) + house.heldBytes(1) + house.heldBytes(2)).toBeLessThan(10 * UNIT)
    house.check()
    expect(zero!.store.setMemoryLimit(30 * UNIT)).toBe(true)
    fill(one!, 'again', 32 * UNIT)
    expect(house.counters(1).bytes).toBeGreaterThan(26 * UNIT)
    house.check()
  })

  test('quotas that cannot be are refused, with the reason', () => {
    const house = new House({ quotas: [4 * UNIT] })
    const first = house.memories[0]!
    const least = quotaBytesMinOf(first)
    expect(quotaProblems(first, [{ name: 'shop', memoryBytes: least }])).toEqual([])
    expect(quotaProblems(first, [{ name: 'shop', memoryBytes: least - 1 }])).toEqual([
      expect.stringContaining('namespace "shop"'),
    ])
    const half = { name: 'half', memoryBytes: 8 * UNIT }
    expect(quotaProblems(first, [half, { ...half, name: 'other' }])).toEqual([
      expect.stringContaining('must be left for users without a namespace'),
    ])
    const many = Array.from({ length: 65 }, (_, index) => ({
      name: `n${index}`,
      memoryBytes: least,
    }))
    expect(quotaProblems(first, many)[0]).toContain('there may be 64')
    // What is there may stay as it is, whatever its index has grown to.
    const one = house.clients[1]!
    for (let index = 0; index < 50_000; index++) one.write(`${index}`, '')
    const existing = new Map([['it', house.memories[1]!]])
    expect(quotaProblems(first, [{ name: 'it', memoryBytes: 4 * UNIT }], existing)).toEqual([])
  })
})

test('the smallest quota stores the largest item, with one worker and with many', () => {
  for (const [workerCount, evicts] of [
    [1, true],
    [4, true],
    [4, false],
    [16, true],
  ] as const) {
    const memoryBytes = 64 * UNIT
    const house = new House({ memoryBytes, quotas: [], workerCount, evicts, itemBytesMax: UNIT })
    const least = quotaBytesMinOf(house.memories[0]!)
    house.add(least)
    fill(house.clients[0]!, 'key', 40 * UNIT)
    const client = house.clients[1]!
    expect(client.write('large', Buffer.alloc(UNIT - 1000)), `${workerCount}`).toBe(STORED)
    expect(client.has('large')).toBe(true)
    house.check()
  }
})

test('workers that write to all of them, with values of all sizes, break nothing', () => {
  const random = randomOf(seedOfRun())
  const house = new House({
    memoryBytes: 8 * UNIT,
    quotas: [2 * UNIT, 3 * UNIT],
    workerCount: 3,
    itemBytesMax: 128 * KIB,
  })
  const models = house.memories.map(() => new Map<string, string>())
  for (let index = 0; index < 20_000; index++) {
    const namespace = random.below(3)
    const client = house.workers[random.below(3)]![namespace]!
    const key = `key ${random.below(6000)}`
    const model = models[namespace]!
    if (random.below(3) === 0) {
      const found = client.get(key)
      if (found !== undefined) expect(found).toBe(model.get(key))
    } else if (random.below(6) === 0) {
      client.remove(key)
      model.delete(key)
    } else {
      const length = random.below(200) === 0 ? random.below(100 * KIB) : random.below(1200)
      const value = `${namespace} ${index} `.padEnd(length, 'x')
      expect(client.write(key, value)).toBe(STORED)
      model.set(key, value)
    }
    // One after the other goes quiet, so that memory moves all the while; at random one could be flushed before it is ever full.
    if (index % 3000 === 0) {
      const quiet = (index / 3000) % 3
      models[quiet]!.clear()
      house.clients[quiet]!.store.flush(0, client.now)
    }
    if (index % 200 === 0) house.tick()
    if (index % 2000 === 0) house.check()
  }
  expect(house.memories.every((_, namespace) => house.counters(namespace).evictions > 0)).toBe(true)
  house.check()
})
