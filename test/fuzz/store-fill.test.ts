/**
 * Written to full three times over with values of all sizes, a store stays within its memory, the
 * process stays as large as it was, and the integrity check finds nothing.
 */

import { expect, test } from 'vitest'
import { readStoreCounters } from '../../src/storage/counters.ts'
import { checkIntegrity } from '../../src/storage/integrity.ts'
import { STORED } from '../../src/storage/result.ts'
import { WriteOrder } from '../../src/storage/write-order.ts'
import { Client } from '../unit/storage/client.ts'
import { randomOf, seedOfRun } from '../unit/storage/model.ts'

const MIB = 1024 * 1024
const MEMORY_BYTES = 16 * MIB
/** Less than is written after the first look. */
const RSS_GROWTH_MAX = 24 * MIB

for (const [name, lengthBits] of [
  ['up to 1 KiB', 10],
  ['up to 1 MiB', 20],
] as const) {
  test(`three times the memory in values ${name}`, () => {
    const random = randomOf(seedOfRun())
    const client = new Client({ memoryBytes: MEMORY_BYTES, itemBytesMax: 2 * MIB })
    const source = Buffer.alloc(2 * MIB, 'saslcached')
    const key = Buffer.alloc(32)
    const order = new WriteOrder()
    let refused = 0
    let writes = 0
    const write = (bytes: number) => {
      for (let written = 0; written < bytes; writes++) {
        // Sizes are spread evenly over their logarithm.
        const length = random.below(2 ** random.below(lengthBits + 1))
        const keyLength = key.write(`key ${writes}`)
        order.setKey(key, 0, keyLength)
        order.setValue(source, 0, length)
        order.nowSeconds = client.now
        const result = client.store.write(order)
        if (result !== STORED) refused++
        if (random.below(16) === 0) client.has(`key ${random.below(writes + 1)}`)
        written += length + 40
      }
    }
    write(MEMORY_BYTES * 1.2)
    const before = process.memoryUsage().rss
    write(MEMORY_BYTES * 1.8)
    const after = process.memoryUsage().rss
    expect(refused).toBe(0)
    expect(after - before).toBeLessThan(RSS_GROWTH_MAX)
    const counters = readStoreCounters(client.memory)
    expect(counters.segments * counters.segmentBytes).toBeLessThanOrEqual(MEMORY_BYTES)
    expect(counters.bytes + counters.indexBytes).toBeLessThanOrEqual(MEMORY_BYTES)
    expect(counters.bytes + counters.indexBytes).toBeGreaterThan(MEMORY_BYTES * 0.8)
    expect(counters.evictions).toBeGreaterThan(0)
    expect(checkIntegrity(client.memory)).toEqual([])
    console.log(
      `${writes} writes, ${(counters.bytes / MIB).toFixed(1)} MiB of items, ` +
        `${(counters.indexBytes / MIB).toFixed(1)} MiB of index, ` +
        `${((after - before) / MIB).toFixed(1)} MiB more RSS`,
    )
  })
}
