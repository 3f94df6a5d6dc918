/** What unread replies may hold: one namespace apart from another, and strangers apart from all of them. */
import { expect, test } from 'vitest'
import {
  createNamespaceShares,
  STRANGERS_HOLDER,
} from '../../../src/connection/namespace-shares.ts'
import { ReplyMemory } from '../../../src/connection/reply-memory.ts'
import { REPLIES_LEFT, ReplyWriter } from '../../../src/connection/reply-writer.ts'
import { SendBuffer } from '../../../src/connection/send-buffer.ts'
import { counterLane, createCounterMemory, sumCounter } from '../../../src/observe/counters.ts'
import { openManualConnection } from '../../support/manual-connection.ts'
import { compareWithModel } from '../../support/shares-model.ts'

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))

const MEBIBYTE = 1024 * 1024
const BOUND = 64 * MEBIBYTE
const STRANGER_BOUND = 8 * MEBIBYTE

interface Bench {
  readonly workers: readonly ReplyMemory[]
  held(): number
  /** As after a reload. */
  setNamespaceCount(count: number): void
}

function bench(namespaceCount: number, valueBytesMax = MEBIBYTE): Bench {
  let namespaces = namespaceCount
  const counters = createCounterMemory(2)
  const shares = createNamespaceShares(2)
  const workers = [0, 1].map(
    (workerIndex) =>
      new ReplyMemory({
        lane: counterLane(counters, workerIndex),
        bytesMax: Math.max(BOUND, 4 * valueBytesMax),
        valueBytesMax,
        shares,
        workerIndex,
        namespaceCount: () => namespaces,
      }),
  )
  return {
    workers,
    held: () => sumCounter(counters, 'unread_reply_bytes'),
    setNamespaceCount(count) {
      namespaces = count
    },
  }
}

/** Holds what there is room for, on one worker and the other by turns. */
function holdAll({ workers }: Bench, holder: number, bytes = MEBIBYTE): number {
  let held = 0
  for (let turn = 0; workers[turn % 2]!.hasRoomFor(bytes, holder); turn++) {
    workers[turn % 2]!.hold(bytes, holder)
    held += bytes
  }
  return held
}

test('the readers of the only namespace may leave all of it unread', () => {
  const one = bench(1)
  expect(holdAll(one, 0)).toBe(BOUND)
  for (const worker of one.workers) expect(worker.isFull(0)).toBe(true)
})

test('readers of one namespace that take all they can leave each other its share', () => {
  const four = bench(4)
  // The half for all, and its own share.
  expect(holdAll(four, 2)).toBe(BOUND / 2 + BOUND / 8)
  const fullness = [0, 1, 2, 3].map((namespace) => four.workers[0]!.isFull(namespace))
  expect(fullness).toEqual([false, false, true, false])
  for (const namespace of [0, 1, 3]) expect(holdAll(four, namespace)).toBe(BOUND / 8)
  expect(holdAll(four, 2)).toBe(0)
  expect(four.held()).toBeLessThanOrEqual(BOUND)
})

test('at twice its bound a namespace is given up at once, and others are not', () => {
  const two = bench(2)
  const [worker] = two.workers
  // What could not be refused: the replies of a turn of each of its connections.
  worker!.hold(BOUND + BOUND / 2 - 1, 1)
  expect([0, 1].map((namespace) => worker!.isExceeded(namespace))).toEqual([false, false])
  worker!.hold(1, 1)
  expect([0, 1].map((namespace) => worker!.isExceeded(namespace))).toEqual([false, true])
  expect(worker!.isFull(0)).toBe(false)
})

test.each([
  [65, MEBIBYTE],
  [2, 128 * MEBIBYTE],
])(
  'each of %i namespaces has room for one copy of the largest value, of %i bytes, whatever others hold',
  (namespaceCount, valueBytesMax) => {
    const many = bench(namespaceCount, valueBytesMax)
    holdAll(many, 0)
    for (let namespace = 1; namespace < namespaceCount; namespace++) {
      expect(many.workers[1]!.hasRoomFor(valueBytesMax + 2, namespace)).toBe(true)
      many.workers[1]!.hold(valueBytesMax + 2, namespace)
    }
  },
)

test('strangers have a bound of their own, and neither take of the others nor give', () => {
  const two = bench(2)
  expect(holdAll(two, STRANGERS_HOLDER)).toBe(STRANGER_BOUND)
  expect(holdAll(two, 0)).toBe(BOUND / 2 + BOUND / 4)
  expect(holdAll(two, 1)).toBe(BOUND / 4)
  const other = bench(1)
  holdAll(other, 0)
  expect(holdAll(other, STRANGERS_HOLDER)).toBe(STRANGER_BOUND)
  const [worker] = other.workers
  worker!.hold(STRANGER_BOUND, STRANGERS_HOLDER)
  expect(worker!.isExceeded(STRANGERS_HOLDER)).toBe(true)
  expect(worker!.isExceeded(0)).toBe(false)
})

test('what is let go is there again, on whichever worker it was held', () => {
  const two = bench(2)
  for (const worker of two.workers) worker.hold(30 * MEBIBYTE, 1)
  expect(two.workers[0]!.isFull(1)).toBe(true)
  for (const worker of two.workers) worker.letGo(30 * MEBIBYTE, 1)
  expect(two.held()).toBe(0)
  expect(holdAll(two, 1)).toBe(BOUND / 2 + BOUND / 4)
})

test('what others hold within their shares takes nothing from the half for all', () => {
  const four = bench(4)
  const [first, second] = four.workers
  for (const namespace of [0, 1, 3]) first!.hold(BOUND / 8, namespace)
  expect(first!.isFull(2)).toBe(false)
  expect(holdAll(four, 2)).toBe(BOUND / 2 + BOUND / 8)
  second!.letGo(2 * MEBIBYTE, 2)
  // What is above a share does.
  first!.hold(MEBIBYTE, 0)
  expect(first!.hasRoomFor(MEBIBYTE, 2)).toBe(true)
  expect(first!.hasRoomFor(MEBIBYTE + 1, 2)).toBe(false)
  first!.letGo(MEBIBYTE, 0)
  expect(holdAll(four, 2)).toBe(2 * MEBIBYTE)
  // What is let go of a share is there for nobody else.
  first!.letGo(MEBIBYTE, 3)
  expect(second!.isFull(2)).toBe(true)
  expect(holdAll(four, 3)).toBe(MEBIBYTE)
  expect(four.held()).toBe(BOUND)
})

test('a reader is given up at once for what its own namespace holds, not for what others do within their shares', () => {
  const two = bench(2)
  const [worker] = two.workers
  worker!.hold(BOUND / 4, 0)
  // Twice the half for all, and twice its own share.
  worker!.hold(BOUND + BOUND / 2 - 1, 1)
  expect([0, 1].map((namespace) => worker!.isExceeded(namespace))).toEqual([false, false])
  worker!.hold(1, 1)
  expect([0, 1].map((namespace) => worker!.isExceeded(namespace))).toEqual([false, true])
})

test('shares that a reload makes smaller or larger count what is held by them from then on', () => {
  const server = bench(2)
  const [first, second] = server.workers
  expect(holdAll(server, 1)).toBe(BOUND / 2 + BOUND / 4)
  server.setNamespaceCount(4)
  second!.letGo(8 * MEBIBYTE, 1)
  expect(first!.isFull(1)).toBe(true)
  first!.letGo(MEBIBYTE, 1)
  expect(holdAll(server, 1)).toBe(MEBIBYTE)
  expect(holdAll(server, 3)).toBe(8 * MEBIBYTE)
  server.setNamespaceCount(2)
  expect(holdAll(server, 3)).toBe(16 * MEBIBYTE)
  // The last of the others goes away, and what it held is still held for a while.
  server.setNamespaceCount(1)
  expect(first!.isFull(0)).toBe(true)
  second!.letGo(8 * MEBIBYTE, 3)
  expect(holdAll(server, 0)).toBe(8 * MEBIBYTE)
})

test(`what there is room for agrees with a plain model (SEED=${SEED})`, () => {
  const server = bench(3)
  const { workers } = server
  compareWithModel(
    {
      workerCount: 2,
      commonBytes: BOUND / 2,
      shareBytesMin: MEBIBYTE + 4096,
      setNamespaceCount: server.setNamespaceCount,
      hasRoom: (worker, namespace, bytes) => workers[worker]!.hasRoomFor(bytes, namespace),
      isFull: (worker, namespace) => workers[worker]!.isFull(namespace),
      isExceeded: (worker, namespace) => workers[worker]!.isExceeded(namespace),
      change: (worker, namespace, bytes) => {
        if (bytes > 0) workers[worker]!.hold(bytes, namespace)
        else workers[worker]!.letGo(-bytes, namespace)
      },
      changeStrangers: (worker, bytes) => workers[worker]!.hold(bytes, STRANGERS_HOLDER),
    },
    SEED,
  )
})

test('who logs in as somebody of another namespace takes along what is unread', () => {
  const two = bench(2)
  const [replyMemory] = two.workers
  const lane = counterLane(createCounterMemory(1), 0)
  const parts = { sendBuffer: new SendBuffer(), lane, replyMemory: replyMemory! }
  const { context, transport } = openManualConnection(parts, undefined as never)
  const owner = { isOpen: true, namespace: 1 }
  const replies = new ReplyWriter(context, transport, owner)
  const bytes = 10 * MEBIBYTE
  expect(replies.send(Buffer.alloc(10_000), bytes)).toBe(REPLIES_LEFT)
  // Of 16 MiB of its own; the rest of the bound is somebody else's.
  holdAll(two, 0)
  const roomOf = (holder: number) => replyMemory!.hasRoomFor(bytes, holder)
  expect(roomOf(1)).toBe(false)
  owner.namespace = 0
  replies.send(Buffer.alloc(1), 1)
  expect(roomOf(1)).toBe(true)
  owner.isOpen = false
  replies.send(Buffer.alloc(1), 1)
  expect(replyMemory!.hasRoomFor(1, STRANGERS_HOLDER)).toBe(false)
  transport.unsentBytes = 0
  replies.settle()
  expect(replyMemory!.hasRoomFor(STRANGER_BOUND, STRANGERS_HOLDER)).toBe(true)
})

test('what is held is wanted for a second after a refusal on any worker, while what was refused and a quarter do not fit', () => {
  const one = bench(1)
  const { workers } = one
  const [first, second] = workers
  const held = holdAll(one, 0) - MEBIBYTE
  first!.letGo(MEBIBYTE, 0)
  expect(second!.isWantedOf(0)).toBe(false)
  first!.refuse(2 * MEBIBYTE, 0)
  second!.look(100)
  expect(second!.isWantedOf(0)).toBe(true)
  second!.look(1000)
  expect(second!.isWantedOf(0)).toBe(true)
  second!.look(1100)
  expect(second!.isWantedOf(0)).toBe(false)
  second!.refuse(2 * MEBIBYTE, 0)
  first!.look(2000)
  expect(first!.isWantedOf(0)).toBe(true)
  const kept = BOUND - BOUND / 4 - 2 * MEBIBYTE
  first!.letGo(held - kept - 1, 0)
  expect(first!.isWantedOf(0)).toBe(true)
  first!.letGo(1, 0)
  expect(first!.isWantedOf(0)).toBe(false)
})

test('who holds less than the share of its namespace gives way to its own users alone', () => {
  const [worker] = bench(4).workers
  const share = BOUND / 8
  worker!.hold(BOUND / 2 + share, 1)
  worker!.hold(share - 1, 0)
  worker!.hold(share - 1, 2)
  worker!.refuse(MEBIBYTE, 2)
  worker!.look(100)
  const wanted = (): boolean[] => [0, 1, 2].map((namespace) => worker!.isWantedOf(namespace))
  // The second is full, too.
  expect(wanted()).toEqual([false, true, true])
  worker!.letGo(MEBIBYTE, 1)
  expect(wanted()).toEqual([false, true, true])
  worker!.letGo(BOUND / 2, 1)
  expect(wanted()).toEqual([false, false, false])
})
