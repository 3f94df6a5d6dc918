/** What is kept of a request that has not come to its end: where it ends, what it may take, how it is counted. */
import { expect, test } from 'vitest'
import { SendBuffer } from '../../../src/connection/send-buffer.ts'
import { UnfinishedRequest } from '../../../src/connection/unfinished-request.ts'
import { COUNTER, counterLane, createCounterMemory } from '../../../src/observe/counters.ts'
import { openManualConnection } from '../../support/manual-connection.ts'

interface Kept {
  readonly kept: UnfinishedRequest
  readonly lane: Float64Array
  /** By namespace. */
  readonly bytesOf: Record<number, number>
}

function unfinished(roomBytes: number): Kept {
  const bytesOf: Record<number, number> = {}
  const lane = counterLane(createCounterMemory(1), 0)
  const { context } = openManualConnection(
    { sendBuffer: new SendBuffer(), lane },
    undefined as never,
    {
      hasRoomFor: (bytes) => bytes <= roomBytes,
      countUnfinished: (namespace, change) => {
        bytesOf[namespace] = (bytesOf[namespace] ?? 0) + change
      },
    },
  )
  return { kept: new UnfinishedRequest(context), lane, bytesOf }
}

test('a request of known length ends where that is reached, a line behind its line feed', () => {
  const { kept } = unfinished(0)
  const bytes = Buffer.from('cd\r\nnext')
  kept.buffer.append(Buffer.from('ab'), 0, 2, 0)
  expect(kept.endIn(bytes, 0, bytes.length, 5)).toBe(3)
  expect(kept.endIn(bytes, 0, bytes.length, 500)).toBe(bytes.length)
  expect(kept.endIn(bytes, 0, bytes.length, 0)).toBe(4)
  // Only what was read is looked at.
  expect(kept.endIn(bytes, 0, 3, 0)).toBe(3)
})

test.each([
  ['a stranger', false, 4096],
  ['a client', true, 128 * 1024],
])(
  '%s may keep so much whatever others do, and more where there is room',
  (_, isLoggedIn, always) => {
    const full = unfinished(0).kept
    expect(full.hasRoomFor(always, 0, isLoggedIn)).toBe(true)
    expect(full.hasRoomFor(always + 1, 0, isLoggedIn)).toBe(false)
    expect(unfinished(4 * always).kept.hasRoomFor(always + 1, 0, isLoggedIn)).toBe(true)
  },
)

test('the gauges follow the buffer and the login, and come back to 0', () => {
  const { kept, lane } = unfinished(0)
  const gauges = (): (number | undefined)[] => [
    lane[COUNTER.read_buf_count],
    lane[COUNTER.read_buf_bytes],
    lane[COUNTER.unauthenticated_buf_bytes],
  ]
  kept.buffer.append(Buffer.alloc(600), 0, 600, 0)
  kept.settle(false, 0)
  expect(gauges()).toEqual([1, 1024, 1024])
  kept.settle(true, 0)
  expect(gauges()).toEqual([1, 1024, 0])
  kept.clear(true, 0)
  expect(gauges()).toEqual([0, 0, 0])
})

test('bytes are counted for the namespace of who is logged in, and move with the login', () => {
  const { kept, bytesOf } = unfinished(0)
  kept.buffer.append(Buffer.alloc(600), 0, 600, 0)
  kept.settle(false, 0)
  expect(bytesOf).toEqual({})
  kept.settle(true, 3)
  expect(bytesOf).toEqual({ 3: 1024 })
  kept.buffer.append(Buffer.alloc(600), 0, 600, 0)
  kept.settle(true, 3)
  expect(bytesOf).toEqual({ 3: 2048 })
  kept.settle(true, 5)
  expect(bytesOf).toEqual({ 3: 0, 5: 2048 })
  kept.settle(false, 0)
  expect(bytesOf).toEqual({ 3: 0, 5: 0 })
  kept.settle(true, 0)
  kept.clear(true, 0)
  expect(bytesOf).toEqual({ 0: 0, 3: 0, 5: 0 })
})
