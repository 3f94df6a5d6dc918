/**
 * A plain Map that says what the store must answer, and a driver that asks both the same. What the
 * store may forget (it evicts) the model learns from a miss, and counts: with enough memory that
 * count must stay 0.
 */

import { createStoreMemory, type StoreMemory } from '../../../src/storage/geometry.ts'
import {
  EXISTS,
  HIT,
  MISS,
  NO_MEMORY,
  NON_NUMERIC,
  NOT_FOUND,
  NOT_STORED,
  REMOVED,
  STORED,
  TOO_LARGE,
} from '../../../src/storage/result.ts'
import type { Store } from '../../../src/storage/store.ts'
import {
  WRITE_ADD,
  WRITE_APPEND,
  WRITE_PREPEND,
  WRITE_REPLACE,
  WRITE_SET,
} from '../../../src/storage/write-order.ts'
import { mustBe } from '../../support/must-be.ts'
import { orderOf } from './client.ts'

const MIB = 1024 * 1024

/** A generator of random numbers with a seed (mulberry32): below(n) is an integer from 0 to n - 1. */
export interface Random {
  readonly seed: number
  below(bound: number): number
}

export function randomOf(seed: number): Random {
  let state = seed | 0
  return {
    seed,
    below(bound: number): number {
      state = (state + 0x6d2b79f5) | 0
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
      return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * bound)
    },
  }
}

/** The seed of this run: SEED= or the clock. Printed, so that a failure can be repeated. */
export function seedOfRun(): number {
  const seed = Number(process.env.SEED ?? Date.now() % 2147483647)
  console.log(`SEED=${seed}`)
  return seed
}

export interface MemoryOptions {
  readonly memoryBytes?: number
  readonly memoryBytesMax?: number
  readonly itemBytesMax?: number
  readonly evicts?: boolean
  readonly workerCount?: number
}

export function memoryOf(options: MemoryOptions = {}): StoreMemory {
  return createStoreMemory({
    memoryBytes: options.memoryBytes ?? 4 * MIB,
    memoryBytesMax: options.memoryBytesMax ?? options.memoryBytes ?? 4 * MIB,
    itemBytesMax: options.itemBytesMax ?? MIB,
    evicts: options.evicts ?? true,
    workerCount: options.workerCount ?? 1,
    seed: [0x01020304, 0x05060708],
  })
}

interface ModelItem {
  value: Buffer
  flags: number
  expiry: number
  cas: string
}

export interface DriverOptions {
  readonly keyCount: number
  readonly valueBytesMax: number
  readonly itemBytesMax: number
  /** Whether the store may forget live items. */
  readonly mayForget: boolean
  /** Whether writes may fail for lack of memory. */
  readonly mayRefuse: boolean
  readonly expires: boolean
  readonly flushes: boolean
  /** Limits of the memory to move between; none if it is left out. */
  readonly limits?: readonly number[]
}

const MAX64 = (1n << 64n) - 1n
/** A value that is read as a number may be so long, see store.ts. */
const NUMBER_BYTES_MAX = 2048

/** What C's strtoull() makes of a value, as far as memcached takes it for a number. */
function numberOf(text: string): bigint | undefined {
  const match = /^[ \t-\r]*([+-]?)(\d+)(?:[ \t-\r\0][\s\S]*)?$/.exec(text)
  if (match === null || text.length > NUMBER_BYTES_MAX) return undefined
  const number = BigInt(match[2] ?? '')
  if (number > MAX64) return undefined
  if (match[1] !== '-' || number === 0n) return number
  const counted = MAX64 + 1n - number
  return counted > MAX64 >> 1n ? undefined : counted
}

export class ModelDriver {
  now = 1_000_000
  forgotten = 0
  refused = 0
  hits = 0
  readonly items: Map<string, ModelItem> = new Map()
  readonly #stores: readonly Store[]
  readonly #random: Random
  readonly #options: DriverOptions
  readonly #buffer: Buffer
  readonly #source: Buffer
  #flushAt = 0

  constructor(stores: readonly Store[], random: Random, options: DriverOptions) {
    this.#stores = stores
    this.#random = random
    this.#options = options
    this.#buffer = Buffer.alloc(options.itemBytesMax * 2 + 64)
    this.#source = Buffer.alloc(options.valueBytesMax + 512)
    for (let index = 0; index < this.#source.length; index++) {
      this.#source[index] = random.below(256)
    }
  }

  run(operations: number): void {
    for (let operation = 0; operation < operations; operation++) this.step()
  }

  step(): void {
    const { below } = this.#random
    const store = this.#stores[below(this.#stores.length)]!
    if (this.#options.expires && below(50) === 0) this.#advance(below(3))
    const { limits } = this.#options
    if (limits !== undefined && below(500) === 0)
      store.setMemoryLimit(limits[below(limits.length)]!)
    const key = this.#key()
    const kind = below(100)
    if (kind < 40) this.#get(store, key)
    else if (kind < 72) this.#write(store, key, kind)
    else if (kind < 80) this.#remove(store, key)
    else if (kind < 92) this.#arithmetic(store, key)
    else if (kind < 96) this.#touch(store, key)
    else if (kind < 98) store.maintain(this.now, below(200))
    else if (this.#options.flushes && below(300) === 0) this.#flush(store)
  }

  /** Stores so many bytes in items of their own that live for ever, so that memory is short by then. */
  fill(bytes: number): void {
    const store = this.#stores[0]!
    const length = Math.min(this.#options.valueBytesMax, 2000)
    const value = this.#source.subarray(0, length)
    for (let count = 0; count * length < bytes; count++) {
      const key = `filling ${count}`
      const keyBytes = Buffer.from(key)
      const result = store.write(orderOf(keyBytes, value, this.now))
      if (result === NO_MEMORY) {
        mustBe(this.#options.mayRefuse, true, 'no memory')
        this.refused++
      } else {
        mustBe(result, STORED)
        const cas = `${store.casHigh}:${store.casLow}`
        this.items.set(key, { value: Buffer.from(value), flags: 0, expiry: 0, cas })
      }
    }
  }

  /** Deletes most of what fill() stored, a little here and there. */
  thin(): void {
    const filling = [...this.items.keys()].filter((key) => key.startsWith('filling '))
    for (const [index, key] of filling.entries()) {
      if (index % 8 !== 0) this.#remove(this.#stores[0]!, key)
    }
  }

  /** Asks for every key once, so that the model forgets what the store has forgotten. */
  reconcile(): void {
    for (const key of [...this.items.keys()]) this.#get(this.#stores[0]!, key)
  }

  #advance(seconds: number): void {
    this.now += seconds
    if (this.#flushAt !== 0 && this.now >= this.#flushAt) {
      this.items.clear()
      this.#flushAt = 0
    }
  }

  #key(): string {
    const number = this.#random.below(this.#options.keyCount)
    // Lengths from 1 to 250, the same for the same number.
    return `${number}-`.padEnd(1 + ((number * 7919) % 250), 'k').slice(0, 250)
  }

  #live(key: string): ModelItem | undefined {
    const item = this.items.get(key)
    if (item === undefined) return undefined
    if (item.expiry !== 0 && item.expiry <= this.now) {
      this.items.delete(key)
      return undefined
    }
    return item
  }

  #forget(key: string): void {
    mustBe(this.#options.mayForget, true, `the store forgot ${key} at ${this.now}`)
    this.items.delete(key)
    this.forgotten++
  }

  #get(store: Store, key: string): void {
    const bytes = Buffer.from(key)
    const expected = this.#live(key)
    const result = store.lookup(bytes, 0, bytes.length, this.now)
    if (result === MISS) {
      if (expected !== undefined) this.#forget(key)
      return
    }
    mustBe(result, HIT)
    const offset = this.#random.below(16)
    store.copyValue(this.#buffer, offset)
    if (this.#random.below(2) === 0) store.markRead(this.now)
    const found = {
      value: this.#buffer.subarray(offset, offset + store.valueBytes),
      flags: store.flags,
      expiry: store.expiry,
      cas: `${store.casHigh}:${store.casLow}`,
    }
    store.release()
    this.hits++
    if (expected === undefined) throw new Error(`the store has ${key}, which it must not`)
    if (!found.value.equals(expected.value)) {
      throw new Error(`${key}: ${found.value.length} other bytes than ${expected.value.length}`)
    }
    if (
      found.flags !== expected.flags ||
      found.expiry !== expected.expiry ||
      found.cas !== expected.cas
    ) {
      throw new Error(`${key}: ${JSON.stringify(found)} is not ${JSON.stringify(expected)}`)
    }
  }

  #expiry(): number {
    if (!this.#options.expires) return 0
    const kind = this.#random.below(10)
    if (kind < 5) return 0
    if (kind === 5) return this.now
    return this.now + this.#random.below(40)
  }

  #length(): number {
    const { below } = this.#random
    const kind = below(10)
    const max = this.#options.valueBytesMax
    if (kind < 7) return below(Math.min(max, 200))
    if (kind < 9) return below(Math.min(max, 5000))
    return below(max)
  }

  #cas(item: ModelItem | undefined): [number, number] {
    const kind = this.#random.below(10)
    if (kind < 8) return [0, 0]
    if (kind === 8 && item !== undefined) {
      const [high, low] = item.cas.split(':')
      return [Number(high), Number(low)]
    }
    return [0, 1 + this.#random.below(1000)]
  }

  #write(store: Store, key: string, kind: number): void {
    const { below } = this.#random
    const bytes = Buffer.from(key)
    const mode =
      kind < 58
        ? WRITE_SET
        : kind < 62
          ? WRITE_ADD
          : kind < 65
            ? WRITE_REPLACE
            : kind < 69
              ? WRITE_APPEND
              : WRITE_PREPEND
    const item = this.#live(key)
    const numeric = below(4) === 0
    const length = this.#length()
    const text = numeric ? this.#number() : ''
    const start = below(this.#source.length - length)
    const value = numeric ? Buffer.from(text) : this.#source.subarray(start, start + length)
    const flags = below(2) === 0 ? 0 : below(2 ** 32)
    const expiry = this.#expiry()
    const [casHigh, casLow] = this.#cas(item)
    const order = orderOf(bytes, value, this.now, { mode, flags, expiry, casHigh, casLow })
    if (!numeric) order.setValue(this.#source, start, value.length)
    const result = store.write(order)
    const hasCas = casHigh !== 0 || casLow !== 0
    const extends_ = mode === WRITE_APPEND || mode === WRITE_PREPEND
    const total = (extends_ ? (item?.value.length ?? 0) : 0) + value.length
    if (result === NO_MEMORY) {
      mustBe(this.#options.mayRefuse, true, 'no memory')
      this.refused++
      if (mode === WRITE_SET) this.items.delete(key)
      return
    }
    if (bytes.length + total + 48 > this.#options.itemBytesMax) {
      if (extends_ && bytes.length + value.length + 48 <= this.#options.itemBytesMax) {
        if (hasCas && item !== undefined && item.cas !== `${casHigh}:${casLow}`) {
          mustBe(result === EXISTS || result === NOT_STORED, true)
          return
        }
        if (result === NOT_STORED) {
          this.#forget(key)
          return
        }
      }
      mustBe(result, TOO_LARGE)
      if (mode === WRITE_SET) this.items.delete(key)
      return
    }
    const missing = extends_ ? NOT_STORED : NOT_FOUND
    if (item !== undefined && this.#storeMissed(result, mode, hasCas)) {
      // The store no longer has the item: what it did must be right for a missing one.
      this.#forget(key)
    }
    const present = this.#live(key)
    if (hasCas) {
      if (present === undefined) {
        mustBe(result, missing)
        return
      }
      if (present.cas !== `${casHigh}:${casLow}`) {
        mustBe(result, EXISTS)
        return
      }
    } else if (mode === WRITE_ADD && present !== undefined) {
      mustBe(result, EXISTS)
      return
    } else if (present === undefined && mode !== WRITE_SET && mode !== WRITE_ADD) {
      mustBe(result, missing)
      return
    }
    mustBe(result, STORED)
    const copy = Buffer.from(value)
    const cas = `${store.casHigh}:${store.casLow}`
    if (extends_) {
      const old = present!.value
      present!.value = Buffer.concat(mode === WRITE_APPEND ? [old, copy] : [copy, old])
      present!.cas = cas
    } else {
      this.items.set(key, { value: copy, flags, expiry, cas })
    }
    // Whatever the store forgets to make room, it is not what that write has just stored.
    if (this.#live(key) === undefined) return
    mustBe(store.lookup(bytes, 0, bytes.length, this.now), HIT, 'just stored')
    store.release()
  }

  #storeMissed(result: number, mode: number, hasCas: boolean): boolean {
    if (result === NOT_FOUND || result === NOT_STORED) return true
    return mode === WRITE_ADD && !hasCas && result === STORED
  }

  #number(): string {
    const { below } = this.#random
    const kind = below(4)
    if (kind === 0) return String(below(100))
    if (kind === 1) return '18446744073709551615'
    if (kind === 2) return `${below(2 ** 32)}${below(2 ** 30)}`
    return `${below(1000)}  `
  }

  #remove(store: Store, key: string): void {
    const bytes = Buffer.from(key)
    const item = this.#live(key)
    const [casHigh, casLow] = this.#cas(item)
    const result = store.remove(bytes, 0, bytes.length, casHigh, casLow, this.now)
    if (item === undefined) {
      mustBe(result, NOT_FOUND)
      return
    }
    if (result === NOT_FOUND) {
      this.#forget(key)
      return
    }
    const matches = (casHigh === 0 && casLow === 0) || item.cas === `${casHigh}:${casLow}`
    mustBe(result, matches ? REMOVED : EXISTS)
    if (matches) this.items.delete(key)
  }

  #arithmetic(store: Store, key: string): void {
    const { below } = this.#random
    const bytes = Buffer.from(key)
    const item = this.#live(key)
    const increment = below(2) === 0
    const deltaHigh = below(3) === 0 ? below(2 ** 32) : 0
    const deltaLow = below(2) === 0 ? below(20) : below(2 ** 32)
    const [casHigh, casLow] = this.#cas(item)
    const result = store.arithmetic(
      increment,
      bytes,
      0,
      bytes.length,
      deltaHigh,
      deltaLow,
      casHigh,
      casLow,
      this.now,
    )
    if (result === NO_MEMORY) {
      mustBe(this.#options.mayRefuse, true, 'no memory')
      this.refused++
      return
    }
    if (item === undefined) {
      mustBe(result, NOT_FOUND)
      return
    }
    if (result === NOT_FOUND) {
      this.#forget(key)
      return
    }
    if (item.value.length === 0) {
      mustBe(result, NON_NUMERIC)
      return
    }
    if ((casHigh !== 0 || casLow !== 0) && item.cas !== `${casHigh}:${casLow}`) {
      mustBe(result, EXISTS)
      return
    }
    const text = item.value.toString('latin1')
    const before = numberOf(text)
    if (before === undefined) {
      mustBe(result, NON_NUMERIC, JSON.stringify(text.slice(0, 40)))
      return
    }
    mustBe(result, STORED, text)
    const delta = (BigInt(deltaHigh) << 32n) | BigInt(deltaLow)
    const after = increment ? (before + delta) & MAX64 : before > delta ? before - delta : 0n
    mustBe((BigInt(store.numberHigh) << 32n) | BigInt(store.numberLow), after)
    item.value = Buffer.from(after.toString().padEnd(text.length, ' '))
    item.cas = `${store.casHigh}:${store.casLow}`
  }

  #touch(store: Store, key: string): void {
    const bytes = Buffer.from(key)
    const item = this.#live(key)
    const expiry = this.#expiry()
    const casHigh = this.#random.below(8) === 0 ? 1 + this.#random.below(2 ** 32 - 1) : 0
    const result = store.lookupToChange(bytes, 0, bytes.length, expiry, casHigh, this.now)
    if (result === NO_MEMORY) {
      mustBe(this.#options.mayRefuse, true, 'no memory')
      this.refused++
      return
    }
    if (result === MISS) {
      if (item !== undefined) this.#forget(key)
      return
    }
    store.setExpiry(expiry)
    if (casHigh !== 0) store.setCas(casHigh, this.#random.below(2 ** 32))
    const cas = `${store.casHigh}:${store.casLow}`
    store.release()
    mustBe(item !== undefined, true, 'an item that was never stored')
    item!.expiry = expiry
    item!.cas = cas
  }

  #flush(store: Store): void {
    if (this.#options.expires && this.#random.below(2) === 0) {
      this.#flushAt = this.now + 1 + this.#random.below(5)
      store.flush(this.#flushAt, this.now)
    } else {
      store.flush(0, this.now)
      this.#flushAt = 0
      this.items.clear()
    }
  }
}
