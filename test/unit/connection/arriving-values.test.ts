/**
 * Values of 64 KiB and more in the three dialects, as they come: stored once, whole or not at all, whatever
 * the client, and whoever else writes, does in between.
 */

import { describe, expect, test } from 'vitest'
import { ARRIVING_COUNT_WORD } from '../../../src/storage/control-block.ts'
import { checkIntegrity } from '../../../src/storage/integrity.ts'
import { HIT } from '../../../src/storage/result.ts'
import { storeFrame } from '../../support/binary-frames.ts'
import type { ManualConnection } from '../../support/manual-connection.ts'
import { createManualServer, MANUAL_NOW, type ManualServer } from '../../support/manual-server.ts'

const SET = 0x01
const SETQ = 0x11
const NOOP = Buffer.from([0x80, 0x0a, ...new Array<number>(22).fill(0)])
const READ_BYTES = 20_000
const VALUE = 'v'.repeat(200_000)

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

function receive(open: ManualConnection, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += READ_BYTES) {
    const part = Buffer.from(bytes.subarray(at, at + READ_BYTES))
    open.connection.receive(part, part.length)
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

describe.each(WAYS)('a large value in $name', ({ dialect, set, stored, noMemory, ping, pong }) => {
  test('goes into the store as it comes, and is answered with its last byte', () => {
    const server = createManualServer()
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
    const server = createManualServer()
    receive(server.open(dialect), set('old'))
    const open = server.open(dialect)
    receive(open, set(VALUE).subarray(0, 150_000))
    expect(arriving(server)).toBeGreaterThan(0)
    open.connection.finish()
    expect(arriving(server)).toBe(0)
    expect(storedValue(server)).toBe('old')
    expectSound(server)
  })

  test('that another client overwrites meanwhile is there when it ends, and the other until then', () => {
    const server = createManualServer()
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
    const server = createManualServer()
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
    const server = createManualServer()
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
