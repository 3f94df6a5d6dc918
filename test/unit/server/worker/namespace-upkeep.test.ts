/** What a tick does for a namespace whose items have expired, and what its users see of that. */

import { expect, test } from 'vitest'
import { createCounterMemory } from '../../../../src/observe/counters.ts'
import { createPrefixMemory } from '../../../../src/observe/prefix-table.ts'
import type { NamespaceMemory } from '../../../../src/server/worker/worker-messages.ts'
import { createStoreMemory, type StoreMemory } from '../../../../src/storage/geometry.ts'
import { LendingRing } from '../../../../src/storage/lending.ts'
import { addNamespace } from '../../../../src/storage/namespaces.ts'
import { STORED } from '../../../../src/storage/result.ts'
import { ManualWorker, manualShared } from '../../../support/manual-worker.ts'
import { Client } from '../../storage/client.ts'

const MEBIBYTE = 1024 * 1024
const QUOTA_BYTES = 2 * MEBIBYTE
const ITEM_COUNT = 15_000
/** Before the clock of the worker begins. */
const EXPIRED_SECONDS = 1_699_999_000

function namespaceOf(store: StoreMemory, id: number): NamespaceMemory {
  return {
    name: `tenant${id}`,
    id,
    store: addNamespace(store, { namespace: id, quotaBytes: QUOTA_BYTES, seed: [id, 7] }),
    counters: createCounterMemory(2),
    prefixes: createPrefixMemory(58, [id, 7]),
  }
}

/** Items of the first of so many namespaces that were looked at within so many ticks. */
async function checkedWithin(tickCount: number, namespaceCount: number): Promise<string> {
  const store = createStoreMemory({
    memoryBytes: 32 * MEBIBYTE,
    memoryBytesMax: 32 * MEBIBYTE,
    itemBytesMax: 64 * 1024,
    evicts: true,
    workerCount: 2,
    seed: [11, 22],
    quotaBytesMin: QUOTA_BYTES,
  })
  const namespaces = Array.from({ length: namespaceCount }, (_, at) => namespaceOf(store, at + 1))
  const shared = { ...manualShared(2), store, namespaces }
  const worker = new ManualWorker({}, shared)
  await worker.start()
  // By the other worker, and long ago.
  const ring = new LendingRing()
  new Client({}, store, 1).store.joinLending(ring)
  const writer = new Client({}, namespaces[0]?.store, 1)
  writer.store.joinLending(ring)
  writer.now = EXPIRED_SECONDS - 1
  for (let at = 0; at < ITEM_COUNT; at++) {
    const written = writer.write(`key${at}`, 'v'.repeat(50), { expiry: EXPIRED_SECONDS })
    expect(written).toBe(STORED)
  }
  worker.clock.pass(tickCount * 100)
  const told = worker.ask(worker.connect(), 'stats namespace tenant1\r\n')
  return /crawler_items_checked (\d+)/.exec(told)?.[1] ?? told
}

test('as many of its items are looked at in a tick, however many other namespaces there are', async () => {
  const alone = await checkedWithin(5, 1)
  expect(Number(alone)).toBeGreaterThan(0)
  expect(Number(alone)).toBeLessThan(ITEM_COUNT)
  expect(await checkedWithin(5, 2)).toBe(alone)
  expect(await checkedWithin(5, 10)).toBe(alone)
})
