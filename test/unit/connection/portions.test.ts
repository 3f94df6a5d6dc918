/**
 * What a turn may cost: answers that cost more than a request come in portions, large values end the
 * turn, and what takes long waits for its round. Turns are given by hand and their work is counted.
 */
import { describe, expect, test } from 'vitest'
import type { RowSource, StatRows } from '../../../src/command/operations/rows.ts'
import { PINNED_BYTES_MIN } from '../../../src/connection/portions.ts'
import { SEND_BUFFER_BYTES } from '../../../src/connection/send-buffer.ts'
import { PREFIX_GET } from '../../../src/observe/prefix-table.ts'
import { requestFrame, storeFrame, words } from '../../support/binary-frames.ts'
import type { ManualConnection } from '../../support/manual-connection.ts'
import { createManualServer, type ManualServer } from '../../support/manual-server.ts'

const GET = 0x00
const SET = 0x01
const STAT = 0x10
const GAT = 0x1d
const SASL_LIST = 0x20
/** A turn makes 8 KiB, and with its last step some more. */
const TURN_BYTES_MAX = 24 * 1024
/** A turn takes so many steps at most. */
const TURN_STEPS_MAX = 4
const COPIED_BYTES_MAX = 256 * 1024
const ROW: StatRows[number] = ['name', 'value']

/** Counts the steps that are taken; each has `rowsPerStep` rows, and there are `stepCount`. */
class CountedRows {
  steps = 0
  private readonly stepCount: number
  private readonly rowsPerStep: number

  constructor(stepCount: number, rowsPerStep: number) {
    this.stepCount = stepCount
    this.rowsPerStep = rowsPerStep
  }

  source(): RowSource {
    let left = this.stepCount
    return {
      next: () => {
        if (left-- === 0) return undefined
        this.steps++
        return new Array<StatRows[number]>(this.rowsPerStep).fill(ROW)
      },
    }
  }
}

function ask(open: ManualConnection, request: string | Buffer): void {
  const bytes = Buffer.from(request as string, 'latin1')
  open.connection.receive(bytes, bytes.length)
}

/** Gives the next turn and takes what was sent; false if nobody waits for one. */
function turn(open: ManualConnection): boolean {
  const next = open.deferred.shift()
  next?.continueServing()
  settle(open)
  return next !== undefined
}

function settle({ connection, transport }: ManualConnection): void {
  if (transport.unsentBytes === 0) return
  transport.unsentBytes = 0
  connection.onDrained()
}

/** Gives turns until nobody waits for one; returns the bytes that each of them sent. */
function turns(open: ManualConnection): number[] {
  const bytes: number[] = []
  for (let before = open.transport.writtenBytes; turn(open); ) {
    const now = open.transport.writtenBytes
    bytes.push(now - before)
    before = now
  }
  return bytes
}

function server(rows: CountedRows): ManualServer {
  return createManualServer({
    memoryBytes: 64 * 1024 * 1024,
    stats: (group) => (group === 'none' ? undefined : rows.source()),
  })
}

/** With -M the value waits until it is complete; else it goes into the store as it comes. */
function letsOthersBeRead(evicts: boolean): void {
  const open = createManualServer({ memoryBytes: 64 * 1024 * 1024, evicts }).open('text')
  const bytes = Buffer.from(`set k 0 0 900000\r\n${'v'.repeat(900_000)}\r\n`)
  let turnCount = 0
  for (let offset = 0; offset < bytes.length; offset += 65_536) {
    const part = bytes.subarray(offset, offset + 65_536)
    expect(open.transport.writtenBytes).toBe(0)
    open.connection.receive(Buffer.from(part), part.length)
    if (offset + 65_536 < bytes.length) turnCount += turns(open).length
  }
  // The first part of what goes into the store at once is the turn's own.
  expect(turnCount).toBe(evicts ? 2 : 3)
  if (!evicts) {
    expect(open.transport.writtenBytes).toBe(0)
    turns(open)
  }
  expect(open.transport.output.toString()).toBe('STORED\r\n')
}

const STAT_REQUESTS = [
  ['text', 'stats conns\r\n'],
  ['binary', requestFrame({ opcode: STAT, key: 'conns' })],
] as const

describe.each(STAT_REQUESTS)('statistics in %s', (dialect, request) => {
  const pipelined = Buffer.concat(Array.from({ length: 30 }, () => Buffer.from(request)))

  test('are made with the turns that are given, a bounded number of steps in each', () => {
    const rows = new CountedRows(100, 30)
    const open = server(rows).open(dialect)
    ask(open, pipelined)
    // With the bytes themselves nothing is made: others may have sent something, too.
    expect(rows.steps).toBe(0)
    let before = 0
    while (turn(open)) {
      expect(rows.steps - before).toBeLessThanOrEqual(TURN_STEPS_MAX)
      before = rows.steps
    }
    expect(rows.steps).toBe(30 * 100)
  })

  test('are made in steps that are bounded also where a step finds nothing', () => {
    const rows = new CountedRows(100, 0)
    const open = server(rows).open(dialect)
    ask(open, request)
    expect(turns(open).length).toBeGreaterThan(100 / TURN_STEPS_MAX)
  })

  test('of a step or two take a turn each', () => {
    const rows = new CountedRows(1, 5)
    const open = server(rows).open(dialect)
    ask(open, pipelined)
    expect(turns(open).filter((bytes) => bytes > 0)).toHaveLength(30)
  })

  test('that are not read are not made', () => {
    const rows = new CountedRows(10_000, 30)
    const open = server(rows).open(dialect, { sendBufferBytesMax: 50_000 })
    ask(open, request)
    for (;;) {
      const next = open.deferred.shift()
      if (next === undefined) break
      next.continueServing()
    }
    expect(open.transport.unsentBytes).toBeLessThan(50_000 + TURN_BYTES_MAX)
    const { steps } = rows
    settle(open)
    turns(open)
    expect(rows.steps).toBeGreaterThan(steps)
    expect(rows.steps).toBe(10_000)
  })

  test('end with the peer', () => {
    const rows = new CountedRows(100, 30)
    const open = server(rows).open(dialect)
    ask(open, request)
    turn(open)
    const { steps } = rows
    expect(steps).toBeGreaterThan(0)
    open.connection.finish()
    turns(open)
    expect(rows.steps).toBe(steps)
  })

  test('are completed by a server that stops, and by a peer that only says that it is done', () => {
    for (const end of ['stop', 'receiveEnd'] as const) {
      const rows = new CountedRows(100, 30)
      const open = server(rows).open(dialect)
      ask(open, pipelined)
      turn(open)
      open.connection[end]()
      expect(open.transport.isOpen).toBe(true)
      turns(open)
      expect(rows.steps).toBe(30 * 100)
      if (end === 'receiveEnd') expect(open.transport.isOpen).toBe(false)
    }
  })

  test('do not make their client an idle one, however long they take', () => {
    const rows = new CountedRows(100, 30)
    const open = server(rows).open(dialect, { idleTimeoutMs: 1 })
    ask(open, request)
    turn(open)
    open.connection.lastActivityMs = -1000
    open.connection.checkDeadlines()
    turns(open)
    expect(rows.steps).toBe(100)
    expect(open.transport.isOpen).toBe(true)
    open.connection.checkDeadlines()
    expect(open.transport.isOpen).toBe(false)
  })
})

test('answers in portions are complete, and in order among others', () => {
  const rows = new CountedRows(40, 30)
  const open = server(rows).open('text')
  ask(open, 'set k 0 0 1\r\nv\r\nstats\r\nget k\r\nstats none\r\nstats conns\r\nversion\r\n')
  turns(open)
  const answer = `${'STAT name value\r\n'.repeat(1200)}END\r\n`
  expect(open.transport.output.toString()).toBe(
    `STORED\r\n${answer}VALUE k 0 1\r\nv\r\nEND\r\nERROR\r\n${answer}VERSION 0\r\n`,
  )
})

test.each([
  ['stats reset', 'text', 'stats reset\r\n'],
  ['STAT reset', 'binary', requestFrame({ opcode: STAT, key: 'reset' })],
  ['a message of a login', 'binary', requestFrame({ opcode: SASL_LIST })],
  ['a message of a login', 'text', 'sasl auth PLAIN 3\r\nabc\r\n'],
] as const)('%s in %s ends the turn', (_, dialect, request) => {
  const open = server(new CountedRows(1, 0)).open(dialect)
  const bytes = Buffer.from(request as string)
  ask(open, Buffer.concat(Array.from({ length: 30 }, () => bytes)))
  expect(turns(open).length).toBeGreaterThanOrEqual(29)
})

describe('dumps', () => {
  test.each([
    ['stats detail dump', 'END\r\n'],
    ['stats sizes', 'END\r\n'],
    ['stats cachedump 1 0', 'END\r\n'],
    ['lru_crawler metadump all', 'END\r\n'],
    ['lru_crawler mgdump all', 'EN\r\n'],
  ])('%s comes with the turns that are given, a bounded part in each', (command, end) => {
    const made = server(new CountedRows(1, 1))
    const setter = made.open('text')
    made.sizes.enable()
    for (let index = 0; index < 3000; index++) {
      ask(setter, `set prefix${index}:key 0 0 ${index} noreply\r\n${'v'.repeat(index)}\r\n`)
      const key = Buffer.from(`prefix${index}:key`)
      made.prefixes.count(PREFIX_GET, key, 0, key.length)
      turns(setter)
    }
    const open = made.open('text')
    ask(open, `${command}\r\n`.repeat(10))
    // At most that it begins.
    expect(['', 'OK\r\n']).toContain(open.transport.output.toString())
    const sent = turns(open)
    expect(Math.max(...sent)).toBeLessThan(TURN_BYTES_MAX)
    const answers = open.transport.output.toString('latin1').split(end)
    expect(answers).toHaveLength(11)
    for (const answer of answers.slice(0, 10)) expect(answer).toBe(answers[0])
    expect(answers[0]?.split('\n').length).toBeGreaterThan(90)
  })
})

describe('large values', () => {
  const VALUE = 'v'.repeat(100_000)
  const TEXT = `set k 0 0 100000\r\n${VALUE}\r\n`
  const cases: readonly (readonly [string, 'text' | 'binary', string | Buffer])[] = [
    ['get', 'text', 'get k\r\n'],
    ['gat', 'text', 'gat 0 k\r\n'],
    ['a list of keys', 'text', `get${' k'.repeat(5)}\r\n`],
    ['mg', 'text', 'mg k v\r\n'],
    ['GET', 'binary', requestFrame({ opcode: GET, key: 'k' })],
    ['GAT', 'binary', requestFrame({ opcode: GAT, key: 'k', extras: words(0) })],
  ]
  test.each(cases)('%s in %s ends the turn after 256 KiB', (_, dialect, request) => {
    const made = server(new CountedRows(1, 1))
    const setter = made.open('text')
    ask(setter, TEXT)
    turns(setter)
    const open = made.open(dialect, { sendBufferBytesMax: 1024 * 1024 })
    const bytes = Buffer.from(request as string)
    ask(open, Buffer.concat(Array.from({ length: 30 }, () => bytes)))
    const sent = [open.transport.writtenBytes, ...turns(open)]
    expect(Math.max(...sent)).toBeLessThan(COPIED_BYTES_MAX + VALUE.length + 1000)
    expect(open.transport.writtenBytes).toBeGreaterThan(30 * VALUE.length)
  })

  test.each([
    ['set', 'text', TEXT, 'STORED\r\n'],
    ['ms', 'text', `ms k 100000\r\n${VALUE}\r\n`, 'HD\r\n'],
    ['SET', 'binary', storeFrame(SET, 'k', VALUE), undefined],
    ['append', 'text', 'append k 0 0 1\r\nx\r\n', 'STORED\r\n'],
    ['prepend', 'text', 'prepend k 0 0 1\r\nx\r\n', 'STORED\r\n'],
    ['ms in mode append', 'text', 'ms k 1 MA\r\nx\r\n', 'HD\r\n'],
  ] as const)('%s in %s ends the turn after 256 KiB', (_, dialect, request, answer) => {
    const made = server(new CountedRows(1, 1))
    const setter = made.open('text')
    ask(setter, TEXT)
    turns(setter)
    const open = made.open(dialect)
    const bytes = Buffer.from(request as string)
    ask(open, Buffer.concat(Array.from({ length: 30 }, () => bytes)))
    const sent = [open.transport.writtenBytes, ...turns(open)]
    const answerBytes = answer?.length ?? 24
    expect(Math.max(...sent) / answerBytes).toBeLessThanOrEqual(3)
    expect(open.transport.writtenBytes).toBe(30 * answerBytes)
  })

  test('a client that has just had a long turn has its next one after the others', () => {
    const open = server(new CountedRows(1, 1)).open('text', { sendBufferBytesMax: 1024 * 1024 })
    ask(open, TEXT)
    turns(open)
    ask(open, 'get k k k\r\n')
    expect(open.deferred).toHaveLength(0)
    const before = open.transport.writtenBytes
    expect(before).toBeGreaterThan(3 * VALUE.length)
    settle(open)
    ask(open, 'get none\r\n')
    expect(open.transport.writtenBytes).toBe(before)
    expect(turns(open)).toEqual(['END\r\n'.length])
    // That one was short, so the next is served as it comes.
    ask(open, 'get none\r\n')
    expect(open.deferred).toHaveLength(0)
    expect(open.transport.writtenBytes).toBe(before + 2 * 'END\r\n'.length)
  })

  test('a large request lets others be read from while it arrives, and one that waited is served in its turn', () => {
    for (const evicts of [true, false]) letsOthersBeRead(evicts)
  })

  test('a reader that fell behind goes on in its turn', () => {
    const open = server(new CountedRows(1, 1)).open('text', { sendBufferBytesMax: 1000 })
    ask(open, TEXT)
    turns(open)
    ask(open, 'get k\r\nget k\r\nget k\r\n')
    const before = open.transport.writtenBytes
    settle(open)
    expect(open.transport.writtenBytes).toBe(before)
    turns(open)
    expect(open.transport.writtenBytes).toBeGreaterThan(3 * VALUE.length)
  })
})

/** How many writes the replies take, each of which the peer takes at once. */
function writesOf(open: ManualConnection, request: Buffer): number {
  const { transport } = open
  const write = transport.write.bind(transport)
  let count = 0
  transport.write = (bytes) => {
    write(bytes)
    transport.unsentBytes = 0
    count++
    return 0
  }
  ask(open, request)
  return count
}

describe.each([
  ['get', 'text', Buffer.from('get k\r\n'.repeat(15))],
  ['a list of keys', 'text', Buffer.from(`get${' k'.repeat(15)}\r\n`)],
  ['mg', 'text', Buffer.from('mg k v\r\n'.repeat(15))],
  [
    'GET',
    'binary',
    Buffer.concat(new Array<Buffer>(15).fill(requestFrame({ opcode: GET, key: 'k' }))),
  ],
] as const)('values that are gathered, by %s in %s', (_, dialect, requests) => {
  // With 12,000 bytes the send buffer has room for ten and most of an eleventh.
  test.each([12_000, PINNED_BYTES_MIN - 1])(
    'of %i bytes take no write more than fill the send buffer',
    (valueBytes) => {
      const made = server(new CountedRows(0, 0))
      const value = 'v'.repeat(valueBytes)
      ask(made.open('text'), `set k 0 0 ${valueBytes}\r\n${value}\r\n`)
      const open = made.open(dialect)
      const writes = writesOf(open, requests)
      expect(open.transport.output.toString('latin1').split(value)).toHaveLength(16)
      const perWrite = Math.floor((SEND_BUFFER_BYTES - PINNED_BYTES_MIN) / valueBytes)
      expect(writes).toBeLessThanOrEqual(Math.ceil(15 / perWrite))
    },
  )
})
