/** When the memory of a namespace that is removed goes back: not before all workers left it, nor while replies leave from it. */

import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { NamespaceMemories } from '../../../../src/server/main/namespace-memory.ts'
import type { ToWorker } from '../../../../src/server/worker/worker-messages.ts'
import { createStoreMemory } from '../../../../src/storage/geometry.ts'
import { checkIntegrity } from '../../../../src/storage/integrity.ts'
import { LendingRing } from '../../../../src/storage/lending.ts'
import type { PinnedParts, Pins } from '../../../../src/storage/pins.ts'
import { HIT, STORED } from '../../../../src/storage/result.ts'
import { Client } from '../../storage/client.ts'

const MIB = 1024 * 1024

class Reply implements PinnedParts {
  private readonly parts: [Pins, number][] = []

  addPart(_bytes: Uint8Array, pins: Pins, segment: number): void {
    this.parts.push([pins, segment])
  }

  release(): void {
    for (const [pins, segment] of this.parts.splice(0)) pins.release(segment)
  }
}

test('a namespace from which a reply is being sent keeps its memory until that has ended', async () => {
  const store = createStoreMemory({
    memoryBytes: 16 * MIB,
    itemBytesMax: MIB,
    evicts: true,
    workerCount: 1,
    seed: [1, 2],
    quotaBytesMin: 4 * MIB,
  })
  const memories = new NamespaceMemories({ store, delimiter: 58, randomSeed: () => [3, 4] })
  memories.begin([{ name: 'shop', id: 1, memoryBytes: 4 * MIB }])
  const [shop] = memories.all
  if (shop === undefined) throw new Error('there is a namespace')
  const ring = new LendingRing()
  const clients = [new Client({}, store), new Client({}, shop.store)] as const
  for (const { store: own, now } of clients) {
    own.joinLending(ring)
    own.maintain(now, 1000)
  }
  const [, client] = clients
  expect(client.write('large', 'v'.repeat(100_000))).toBe(STORED)
  const reply = new Reply()
  expect(client.lookup('large')).toBe(HIT)
  expect(client.store.pinValue(reply)).toBe(true)
  client.store.release()

  let isChanged = false
  const workers = {
    size: 1,
    broadcast: (message: ToWorker): void => {
      if (message.kind !== 'leave-namespaces') throw new Error(message.kind)
      client.store.leaveLending()
      memories.left(message.changeId)
    },
  }
  const change = memories.change([], workers).then(() => {
    isChanged = true
  })
  for (let turns = 0; turns < 100; turns++) await turn()
  expect(isChanged).toBe(false)
  expect(memories.all).toHaveLength(1)
  reply.release()
  await change
  expect(memories.all).toHaveLength(0)
  expect(checkIntegrity(store)).toEqual([])
})
