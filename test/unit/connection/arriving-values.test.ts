/**
 * Values of 64 KiB and more in the three dialects, as they come: stored once, whole or not at all, whatever
 * the client, and whoever else writes, does in between.
 */

import { beforeEach, describe, expect, test } from 'vitest'
import { ARRIVING_COUNT_WORD } from '../../../src/storage/control-block.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { HIT } from '../../../src/storage/result.ts'
import { storeFrame } from '../../support/binary-frames.ts'
import { type ManualConnection, openManualConnection } from '../../support/manual-connection.ts'
import { createManualServer, MANUAL_NOW, type ManualServer } from '../../support/manual-server.ts'
import { fixture, snapshotOf } from '../sasl/fixture.ts'

const SET = 0x01
const SETQ = 0x11
const NOOP = Buffer.from([0x80, 0x0a, ...new Array<number>(22).fill(0)])
const READ_BYTES = 20_000
const VALUE = 'v'.repeat(200_000)
/** Its segments are long enough for rooms. */
const ROOMY = { memoryBytes: 64 * 1024 * 1024 }

interface Way {
  readonly name: string
  readonly dialect: 'text' | 'binary'
  /** A set of the key `k`, to be answered only if it fails where it is `quiet`. */
  set(value: string, quiet?: boolean): Buffer
  /** How the answers begin. */
  readonly stored: string
  readonly noMemory: string
  /** Asks for a reply that comes whatever was before. */
  readonly ping: Buffer
  readonly pong: string
}

const WAYS: readonly Way[] = [
  {
    name: 'text',
    dialect: 'text',
    set: (value, quiet) =>
      Buffer.from(`set k 5 0 ${value.length}${quiet ? ' noreply' : ''}\r\n${value}\r\n`),
    stored: 'STORED\r\n',
    noMemory: 'SERVER_ERROR out of memory',
    ping: Buffer.from('mn\r\n'),
    pong: 'MN\r\n',
  },
  {
    name: 'meta',
    dialect: 'text',
    set: (value, quiet) =>
      Buffer.from(`ms k ${value.length} F5${quiet ? ' q' : ''}\r\n${value}\r\n`),
    stored: 'HD\r\n',
    noMemory: 'SERVER_ERROR out of memory',
    ping: Buffer.from('mn\r\n'),
    pong: 'MN\r\n',
  },
  {
    name: 'binary',
    dialect: 'binary',
    set: (value, quiet) => storeFrame(quiet ? SETQ : SET, 'k', value, { flags: 5 }),
    stored: '\x81\x01\0\0\0\0\0\0',
    noMemory: '\x81\x01\0\0\0\0\0\x82',
    ping: NOOP,
    pong: '\x81\x0a\0\0\0\0\0\0',
  },
]

/** Whether what is sent comes to the room that a connection names, as from a bare handle, or is read and copied. */
let namesRooms = false
/** How many bytes came there. */
let roomBytes = 0

function receive(open: ManualConnection, bytes: Uint8Array): void {
  const { connection } = open
  for (let at = 0; at < bytes.length; ) {
    const room = namesRooms ? connection.intake.nextRoom() : undefined
    const end = Math.min(at + Math.min(READ_BYTES, room?.length ?? READ_BYTES), bytes.length)
    const part = room ?? Buffer.alloc(end - at)
    part.set(bytes.subarray(at, end))
    if (room !== undefined) roomBytes += end - at
    connection.receive(part, end - at)
    at = end
    giveTurns(open)
  }
}

function giveTurns({ deferred }: ManualConnection): void {
  for (let next = deferred.shift(); next !== undefined; next = deferred.shift()) {
    next.continueServing()
  }
}

function output(open: ManualConnection): string {
  open.transport.unsentBytes = 0
  return open.transport.output.toString('latin1')
}

/** Nothing was answered before that. */
function expectAnswer(open: ManualConnection, answer: string): void {
  expect(output(open).slice(0, answer.length)).toBe(answer)
}

function arriving(server: ManualServer): number {
  return new Int32Array(server.memory.control)[ARRIVING_COUNT_WORD]!
}

function storedValue({ store }: ManualServer, key = 'k'): string | undefined {
  const bytes = Buffer.from(key)
  if (store.lookup(bytes, 0, bytes.length, MANUAL_NOW) !== HIT) return undefined
  const value = Buffer.alloc(store.valueBytes)
  store.copyValue(value, 0)
  store.release()
  return value.toString('latin1')
}

function expectSound(server: ManualServer): void {
  expect(checkIntegrity(server.memory)).toEqual([])
}

const ROUTES = WAYS.flatMap((way) => [
  { ...way, into: 'the read buffer', isByRoom: false },
  { ...way, into: 'its room', isByRoom: true },
])

describe.each(ROUTES)('a large value in $name, read to $into', (route) => {
  const { dialect, set, stored, noMemory, ping, pong, isByRoom } = route
  beforeEach(() => {
    namesRooms = isByRoom
    roomBytes = 0
  })

  test('goes into the store as it comes, and is answered with its last byte', () => {
    const server = createManualServer(ROOMY)
    const open = server.open(dialect)
    const request = set(VALUE)
    receive(open, request.subarray(0, 60_000))
    expect(arriving(server)).toBeGreaterThan(0)
    expect(open.connection.bufferedBytes).toBe(0)
    expect(storedValue(server)).toBeUndefined()
    receive(open, request.subarray(60_000))
    expectAnswer(open, stored)
    expect(storedValue(server)).toBe(VALUE)
    expect(server.store.flags).toBe(5)
    expect(roomBytes > VALUE.length / 2).toBe(isByRoom)
    expect(open.transport.leftRooms).toBe(0)
    expect(arriving(server)).toBe(0)
    expectSound(server)
  })

  test('of which little is here gets its room when a 16th has come, a byte at a time', () => {
    const server = createManualServer()
    const open = server.open(dialect)
    const request = set(VALUE)
    const headBytes = request.indexOf('v'.repeat(100))
    const begun = headBytes + VALUE.length / 16
    for (let at = 0; at < begun - 1; at += 100) {
      receive(open, request.subarray(at, Math.min(at + 100, begun - 1)))
    }
    expect(arriving(server)).toBe(0)
    expect(open.connection.bufferedBytes).toBeLessThan(VALUE.length / 8)
    receive(open, request.subarray(begun - 1, begun))
    expect(arriving(server)).toBeGreaterThan(0)
    expect(open.connection.bufferedBytes).toBe(0)
    receive(open, request.subarray(begun))
    expectAnswer(open, stored)
    expect(storedValue(server)).toBe(VALUE)
  })

  test('whose client vanishes leaves the old one, and nothing of itself', () => {
    const server = createManualServer(ROOMY)
    receive(server.open(dialect), set('old'))
    const open = server.open(dialect)
    receive(open, set(VALUE).subarray(0, 150_000))
    expect(arriving(server)).toBeGreaterThan(0)
    open.connection.finish()
    expect(open.transport.leftRooms).toBe(1)
    expect(arriving(server)).toBe(0)
    expect(storedValue(server)).toBe('old')
    expectSound(server)
  })

  test('that another client overwrites meanwhile is there when it ends, and the other until then', () => {
    const server = createManualServer(ROOMY)
    const open = server.open(dialect)
    const request = set(VALUE)
    receive(open, request.subarray(0, 150_000))
    const other = server.open(dialect)
    receive(other, set('w'.repeat(100_000)))
    expectAnswer(other, stored)
    expect(storedValue(server)).toBe('w'.repeat(100_000))
    receive(open, request.subarray(150_000))
    expectAnswer(open, stored)
    expect(storedValue(server)).toBe(VALUE)
    expectSound(server)
  })

  test('outlives a flush that comes before its end', () => {
    const server = createManualServer(ROOMY)
    receive(server.open(dialect), set('old'))
    const open = server.open(dialect)
    const request = set(VALUE)
    receive(open, request.subarray(0, 150_000))
    receive(server.open('text'), Buffer.from('flush_all\r\n'))
    expect(storedValue(server)).toBeUndefined()
    receive(open, request.subarray(150_000))
    expectAnswer(open, stored)
    expect(storedValue(server)).toBe(VALUE)
    expectSound(server)
  })

  test('is stored without an answer if none is wanted, and what follows is answered', () => {
    const server = createManualServer(ROOMY)
    const open = server.open(dialect)
    receive(open, Buffer.concat([set(VALUE, true), ping]))
    expectAnswer(open, pong)
    expect(storedValue(server)).toBe(VALUE)
  })

  test('waits in a block where too many arrive, and is stored all the same', () => {
    const server = createManualServer()
    const under: ManualConnection[] = []
    for (;;) {
      const open = server.open(dialect)
      under.push(open)
      receive(open, set(VALUE).subarray(0, 150_000))
      if (open.connection.bufferedBytes > 0) break
    }
    for (const open of under) {
      receive(open, set(VALUE).subarray(150_000))
      expectAnswer(open, stored)
    }
    expect(storedValue(server)).toBe(VALUE)
    expect(arriving(server)).toBe(0)
    expectSound(server)
  })

  test('is refused where memory is full and nothing may go, as one that waited', () => {
    const server = createManualServer({ memoryBytes: 1024 * 1024, evicts: false })
    for (let index = 0; index < 9; index++) {
      const value = 'f'.repeat(95_000)
      receive(server.open('text'), Buffer.from(`set ${index} 0 0 95000\r\n${value}\r\n`))
    }
    const open = server.open(dialect)
    receive(open, Buffer.concat([set(VALUE), ping]))
    expectAnswer(open, noMemory)
    expect(storedValue(server)).toBeUndefined()
    expectSound(server)
  })

  test('in full memory makes its room by evicting', () => {
    const server = createManualServer({ memoryBytes: 2 * 1024 * 1024 })
    const filler = server.open('text')
    for (let index = 0; index < 800; index++) {
      const value = 'f'.repeat(4000)
      receive(filler, Buffer.from(`set ${index} 0 0 4000 noreply\r\n${value}\r\n`))
    }
    const open = server.open(dialect)
    receive(open, set(VALUE))
    expectAnswer(open, stored)
    expect(storedValue(server)).toBe(VALUE)
    expectSound(server)
  })
})

describe('the room of a value', () => {
  beforeEach(() => {
    namesRooms = true
    roomBytes = 0
  })

  test('is left before it is given back when the server ends the connection, which reads on', () => {
    for (const end of ['drain', 'close', 'finish'] as const) {
      const server = createManualServer(ROOMY)
      const open = server.open('text')
      receive(open, Buffer.from(`set k 0 0 200000\r\n${'v'.repeat(100_000)}`))
      const room = open.connection.intake.nextRoom()
      expect(room?.length).toBeGreaterThan(0)
      const heldWhenLeft: number[] = []
      open.transport.leaveRoom = () => heldWhenLeft.push(arriving(server))
      open.connection[end]()
      expect(heldWhenLeft).toEqual([expect.any(Number)])
      expect(heldWhenLeft[0]).toBeGreaterThan(0)
      expect(arriving(server)).toBe(0)
      expect(open.connection.intake.nextRoom()).toBeUndefined()
      expectSound(server)
    }
  })

  test('never has the last byte of a request, nor what is behind it', () => {
    for (const { dialect, set, ping, pong, stored } of WAYS) {
      const server = createManualServer(ROOMY)
      const open = server.open(dialect)
      const request = set(VALUE)
      receive(open, request.subarray(0, 150_000))
      const room = open.connection.intake.nextRoom()!
      const missing = request.length - 150_000
      expect(room.length).toBeLessThan(missing)
      receive(open, request.subarray(150_000, 150_000 + room.length))
      expect(open.connection.intake.nextRoom()).toBeUndefined()
      expect(output(open)).toBe('')
      receive(open, Buffer.concat([request.subarray(150_000 + room.length), ping]))
      expectAnswer(open, stored)
      expect(output(open).endsWith(pong) || output(open).includes(pong)).toBe(true)
      expect(storedValue(server)).toBe(VALUE)
    }
  })

  test('is none where few bytes are missing, for a short value, or before the value is begun', () => {
    const server = createManualServer(ROOMY)
    const short = server.open('text')
    receive(short, Buffer.from(`set k 0 0 60000\r\n${'v'.repeat(50_000)}`))
    expect(short.connection.intake.nextRoom()).toBeUndefined()
    const begun = server.open('text')
    receive(begun, Buffer.from('set k 0 0 1000000\r\nvvv'))
    expect(begun.connection.intake.nextRoom()).toBeUndefined()
    const ending = server.open('text')
    receive(ending, Buffer.from(`set k 0 0 200000\r\n${'v'.repeat(190_000)}`))
    expect(ending.connection.intake.nextRoom()).toBeUndefined()
    expect(arriving(server)).toBeGreaterThan(0)
  })

  test('is not had by a client that is not logged in, whatever it sends', () => {
    const server = createManualServer()
    const { connection } = openManualConnection(server, server.text, {
      sasl: fixture(snapshotOf({ alice: 'secret' })).environment,
    })
    const request = Buffer.from(`set k 0 0 200000\r\n${'v'.repeat(100_000)}`)
    for (let at = 0; at < request.length; at += READ_BYTES) {
      const part = request.subarray(at, at + READ_BYTES)
      connection.receive(part, part.length)
      expect(connection.intake.nextRoom()).toBeUndefined()
    }
    expect(arriving(server)).toBe(0)
  })

  test('of a value in segments of its own ends where the segment does', () => {
    const server = createManualServer({ ...ROOMY, itemBytesMax: 4 * 1024 * 1024 })
    const value = Buffer.alloc(3 * 1024 * 1024)
    for (let at = 0; at < value.length; at++) value[at] = (at * 7 + (at >> 11)) & 255
    const open = server.open('text')
    const request = Buffer.concat([
      Buffer.from(`set k 0 0 ${value.length}\r\n`),
      value,
      Buffer.from('\r\n'),
    ])
    receive(open, request)
    expectAnswer(open, 'STORED\r\n')
    expect(roomBytes).toBeGreaterThan(value.length / 2)
    expect(storedValue(server) === value.toString('latin1')).toBe(true)
    expectSound(server)
  })
})

test('a value that is longer than it says is refused with its first byte too many, and the old one stays', () => {
  for (const line of ['set k 0 0', 'ms k']) {
    const server = createManualServer()
    const open = server.open('text')
    receive(open, Buffer.from('set k 0 0 3\r\nold\r\n'))
    receive(open, Buffer.from(`${line} 100000\r\n${'v'.repeat(100_002)}\r\nmn\r\n`))
    expect(output(open)).toMatch(/^STORED\r\nCLIENT_ERROR bad data chunk\r\n/)
    expect(output(open)).toMatch(/MN\r\n$/)
    expect(storedValue(server)).toBe('old')
    expect(arriving(server)).toBe(0)
    expectSound(server)
  }
})

test('values that are behind each other in one stream are each stored', () => {
  for (const { dialect, set, ping } of WAYS) {
    const server = createManualServer()
    const open = server.open(dialect)
    const requests = Array.from({ length: 20 }, (_, index) =>
      set(String(index % 10).repeat(70_000 + index), true),
    )
    receive(open, Buffer.concat([...requests, ping]))
    expect(storedValue(server)).toBe('9'.repeat(70_019))
    expect(arriving(server)).toBe(0)
    expectSound(server)
  }
})
