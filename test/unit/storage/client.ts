/** A Store behind strings, for tests that say what happens and not how it is asked for. */

import { createStoreMemory, type StoreMemory } from '../../../src/storage/geometry.ts'
import type { LargeExtension } from '../../../src/storage/large-extension.ts'
import type { LargeValue } from '../../../src/storage/large-value.ts'
import { HIT } from '../../../src/storage/result.ts'
import { Store } from '../../../src/storage/store.ts'
import { WriteOrder } from '../../../src/storage/write-order.ts'

const KIB = 1024

export interface ClientOptions {
  readonly memoryBytes?: number
  readonly itemBytesMax?: number
  readonly evicts?: boolean
  readonly workerCount?: number
}

export interface Found {
  readonly value: string
  readonly flags: number
  readonly expiry: number
  readonly cas: readonly [number, number]
}

export interface WriteOptions {
  readonly mode?: number
  readonly flags?: number
  readonly expiry?: number
  readonly cas?: readonly [number, number]
  readonly givenCas?: readonly [number, number]
  readonly mayGoStale?: boolean
  readonly received?: LargeValue
  readonly extension?: LargeExtension
}

/** An order to write `value`; what `fields` do not say is at its default. */
export function orderOf(
  key: Uint8Array,
  value: Uint8Array,
  nowSeconds: number,
  fields: Partial<WriteOrder> = {},
): WriteOrder {
  const order = new WriteOrder()
  order.setKey(key, 0, key.length)
  order.setValue(value, 0, value.length)
  order.nowSeconds = nowSeconds
  return Object.assign(order, fields)
}

export class Client {
  readonly memory: StoreMemory
  readonly store: Store
  now = 1_700_000_000

  constructor(options: ClientOptions = {}, memory?: StoreMemory, workerIndex = 0) {
    this.memory =
      memory ??
      createStoreMemory({
        memoryBytes: options.memoryBytes ?? 1024 * KIB,
        itemBytesMax: options.itemBytesMax ?? 512 * KIB,
        evicts: options.evicts ?? true,
        workerCount: options.workerCount ?? 1,
        seed: [11, 22],
      })
    this.store = new Store(this.memory, workerIndex)
  }

  /** The same store seen by another worker. */
  worker(workerIndex: number): Client {
    const other = new Client({}, this.memory, workerIndex)
    other.now = this.now
    return other
  }

  write(key: string, value: string | Uint8Array, options: WriteOptions = {}): number {
    const keyBytes = Buffer.from(key, 'latin1')
    const valueBytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value
    const { cas = [0, 0], givenCas = [0, 0], ...fields } = options
    const order = orderOf(keyBytes, valueBytes, this.now, fields)
    order.casHigh = cas[0]
    order.casLow = cas[1]
    order.givenCasHigh = givenCas[0]
    order.givenCasLow = givenCas[1]
    return this.store.write(order)
  }

  lookup(key: string): number {
    const keyBytes = Buffer.from(key, 'latin1')
    return this.store.lookup(keyBytes, 0, keyBytes.length, this.now)
  }

  lookupToChange(key: string, expiry: number, casHigh = 0): number {
    const keyBytes = Buffer.from(key, 'latin1')
    return this.store.lookupToChange(keyBytes, 0, keyBytes.length, expiry, casHigh, this.now)
  }

  /** The item, or undefined. `reads`: whether that counts as a read. */
  find(key: string, reads = false): Found | undefined {
    const { store } = this
    if (this.lookup(key) !== HIT) return undefined
    const value = Buffer.alloc(store.valueBytes)
    store.copyValue(value, 0)
    if (reads) store.markRead(this.now)
    const found = {
      value: value.toString('latin1'),
      flags: store.flags,
      expiry: store.expiry,
      cas: [store.casHigh, store.casLow] as const,
    }
    store.release()
    return found
  }

  get(key: string): string | undefined {
    return this.find(key, true)?.value
  }

  has(key: string): boolean {
    if (this.lookup(key) !== HIT) return false
    this.store.release()
    return true
  }

  touch(key: string, expiry: number): boolean {
    if (this.lookupToChange(key, expiry) !== HIT) return false
    this.store.setExpiry(expiry)
    this.store.release()
    return true
  }

  remove(key: string, cas: readonly [number, number] = [0, 0]): number {
    const keyBytes = Buffer.from(key, 'latin1')
    return this.store.remove(keyBytes, 0, keyBytes.length, cas[0], cas[1], this.now)
  }

  count(key: string, delta: bigint, cas: readonly [number, number] = [0, 0]): number {
    const keyBytes = Buffer.from(key, 'latin1')
    const size = delta < 0n ? -delta : delta
    return this.store.arithmetic(
      delta >= 0n,
      keyBytes,
      0,
      keyBytes.length,
      Number(size >> 32n),
      Number(size & 0xffffffffn),
      cas[0],
      cas[1],
      this.now,
    )
  }

  /** The number that count() left. */
  get number(): bigint {
    return (BigInt(this.store.numberHigh) << 32n) | BigInt(this.store.numberLow)
  }

  get cas(): readonly [number, number] {
    return [this.store.casHigh, this.store.casLow]
  }
}
