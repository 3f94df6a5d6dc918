/**
 * What a user can make the dialects do without the right to it: nothing. Every request there is, in all
 * three dialects, each with every single right that it takes missing, whole and cut to pieces; afterwards
 * the store is the same byte for byte, no counter of commands has moved, no operation was called, the
 * answer is the documented one, and the connection goes on.
 */

import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { refusalOf } from '../../../src/command/permission.ts'
import { KeyPrefixes } from '../../../src/credential/key-prefixes.ts'
import { NEVER, type Principal } from '../../../src/credential/principal.ts'
import {
  RIGHT,
  RIGHT_NAMES,
  RIGHTS_ALL,
  type Right,
  rightsOf,
} from '../../../src/credential/rights.ts'
import { COUNTER, COUNTER_NAMES } from '../../../src/observe/counters.ts'
import {
  OUTCOME_NO_KEY,
  OUTCOME_NO_RIGHT,
  OUTCOME_OK,
  Request,
} from '../../../src/protocol/request.ts'
import { VERB_SET } from '../../../src/protocol/verbs.ts'
import { requestFrame, storeFrame, words } from '../../support/binary-frames.ts'
import { type ManualConnection, openManualConnection } from '../../support/manual-connection.ts'
import { createManualServer, type ManualServer } from '../../support/manual-server.ts'
import { fixture, snapshotOf } from '../sasl/fixture.ts'

const VALUE_BYTES_MAX = 300_000
const LARGE = 'x'.repeat(200_000)
const { environment } = fixture(snapshotOf({ alice: 's3cret' }))

const NO_RIGHT = 'CLIENT_ERROR permission denied: this user lacks the right\r\n'
const NO_KEY = 'CLIENT_ERROR permission denied: this user may not use this key\r\n'

interface Asked {
  readonly request: Buffer
  readonly takes: readonly Right[]
  /** The answer when a right is missing. */
  readonly answer: Buffer
}

/** A text request: noreply is not answered; q of meta commands hides no error. */
function text(line: string, ...takes: Right[]): Asked {
  const answer = / noreply\r\n/.test(line) ? '' : NO_RIGHT
  return { request: Buffer.from(line, 'latin1'), takes, answer: Buffer.from(answer) }
}

const TEXT: readonly Asked[] = [
  ...['set', 'add', 'replace', 'append', 'prepend'].flatMap((verb) => [
    text(`${verb} victim 0 0 3\r\nnew\r\n`, 'write'),
    text(`${verb} victim 0 0 3 noreply\r\nnew\r\n`, 'write'),
    text(`${verb} victim 0 0 ${LARGE.length}\r\n${LARGE}\r\n`, 'write'),
    text(`${verb} victim 0 0 ${LARGE.length} noreply\r\n${LARGE}\r\n`, 'write'),
    text(
      `${verb} victim 0 0 ${2 * VALUE_BYTES_MAX}\r\n${'y'.repeat(2 * VALUE_BYTES_MAX)}\r\n`,
      'write',
    ),
  ]),
  text('cas victim 0 0 3 1\r\nnew\r\n', 'write'),
  text('get victim count\r\n', 'read'),
  text('gets victim\r\n', 'read'),
  text(`get ${'k '.repeat(5000)}victim\r\n`, 'read'),
  text('gat 1 victim count\r\n', 'read', 'touch'),
  text('gats 1 victim\r\n', 'read', 'touch'),
  text('touch victim 1\r\n', 'touch'),
  text('touch victim 1 noreply\r\n', 'touch'),
  text('delete victim\r\n', 'delete'),
  text('delete victim noreply\r\n', 'delete'),
  text('incr count 5\r\n', 'arithmetic'),
  text('decr count 5 noreply\r\n', 'arithmetic'),
  text('flush_all\r\n', 'flush'),
  text('flush_all 0 noreply\r\n', 'flush'),
  text('mg victim v t q\r\n', 'read'),
  text('mg victim\r\n', 'read'),
  text('mg victim v T1\r\n', 'read', 'touch'),
  text('mg vivified N30 v\r\n', 'read', 'write'),
  text('mg victim R30 v\r\n', 'read', 'write'),
  text('mg victim N30 R30 T30\r\n', 'read', 'write', 'touch'),
  ...['', ' ME', ' MA', ' MP', ' MR', ' MS', ' I C1', ' q', ' T30', ' MA N30'].flatMap((flags) => [
    text(`ms victim 3${flags}\r\nnew\r\n`, 'write'),
    text(`ms victim ${LARGE.length}${flags}\r\n${LARGE}\r\n`, 'write'),
    text(
      `ms victim ${2 * VALUE_BYTES_MAX}${flags}\r\n${'y'.repeat(2 * VALUE_BYTES_MAX)}\r\n`,
      'write',
    ),
  ]),
  text('ms dmljdGlt 3 b\r\nnew\r\n', 'write'),
  text('md victim\r\n', 'delete'),
  text('md victim I x q\r\n', 'delete'),
  text('md victim I T30\r\n', 'delete', 'touch'),
  text('ma count\r\n', 'arithmetic'),
  text('ma count MD v q\r\n', 'arithmetic'),
  text('ma count N0 J5\r\n', 'arithmetic', 'write'),
  text('ma count T30\r\n', 'arithmetic', 'touch'),
  text('me victim\r\n', 'read'),
  ...['', ' settings', ' items', ' slabs', ' conns', ' sizes', ' extstore'].map((group) =>
    text(`stats${group}\r\n`, 'stats'),
  ),
  text('stats reset\r\n', 'admin'),
  text('stats sizes_enable\r\n', 'admin'),
  text('stats sizes_disable\r\n', 'admin'),
  text('stats detail on\r\n', 'admin'),
  text('stats detail off\r\n', 'admin'),
  text('stats detail dump\r\n', 'dump'),
  text('stats cachedump 1 0\r\n', 'dump'),
  text('lru_crawler metadump all\r\n', 'dump'),
  text('lru_crawler mgdump all\r\n', 'dump'),
  text('watch mutations\r\n', 'watch'),
  text('verbosity 2\r\n', 'admin'),
  text('verbosity 2 noreply\r\n', 'admin'),
  text('cache_memlimit 64\r\n', 'admin'),
  text('shutdown\r\n', 'admin'),
  text('lru_crawler crawl all\r\n', 'admin'),
  text('slabs automove 1\r\n', 'admin'),
  text('refresh_certs\r\n', 'admin'),
]

/** The whole packet of an error with CAS 0. */
function errorFrame(opcode: number, status: number, body: string): Buffer {
  const frame = requestFrame({ opcode, value: body, opaque: 7 })
  frame[0] = 0x81
  frame.writeUInt16BE(status, 6)
  return frame
}

function binary(opcode: number, parts: object, ...takes: Right[]): Asked {
  const isArithmetic = [0x05, 0x06, 0x15, 0x16].includes(opcode)
  const answer = isArithmetic
    ? errorFrame(opcode, 0x24, 'No access.')
    : errorFrame(opcode, 0x20, 'Auth failure.')
  return { request: requestFrame({ opcode, opaque: 7, ...parts }), takes, answer }
}

const VICTIM = { key: 'victim' }
const BINARY: readonly Asked[] = [
  // Quiet ones tell of a refusal, too: they hide nothing but success and misses.
  ...[0x00, 0x09, 0x0c, 0x0d].map((opcode) => binary(opcode, VICTIM, 'read')),
  ...[0x01, 0x11, 0x02, 0x12, 0x03, 0x13].flatMap((opcode) => [
    binary(opcode, { ...VICTIM, extras: words(0, 0), value: 'new' }, 'write'),
    binary(opcode, { ...VICTIM, extras: words(0, 0), value: LARGE }, 'write'),
    binary(
      opcode,
      { ...VICTIM, extras: words(0, 0), value: 'y'.repeat(2 * VALUE_BYTES_MAX) },
      'write',
    ),
  ]),
  ...[0x0e, 0x19, 0x0f, 0x1a].flatMap((opcode) => [
    binary(opcode, { ...VICTIM, value: 'new' }, 'write'),
    binary(opcode, { ...VICTIM, value: LARGE }, 'write'),
  ]),
  ...[0x04, 0x14].map((opcode) => binary(opcode, VICTIM, 'delete')),
  ...[0x05, 0x15, 0x06, 0x16].flatMap((opcode) => [
    binary(opcode, { key: 'count', extras: words(0, 1, 0, 1, 0xffffffff) }, 'arithmetic'),
    binary(opcode, { key: 'made', extras: words(0, 1, 0, 1, 0) }, 'arithmetic', 'write'),
  ]),
  binary(0x1c, { ...VICTIM, extras: words(30) }, 'touch'),
  ...[0x1d, 0x1e, 0x23, 0x24].map((opcode) =>
    binary(opcode, { ...VICTIM, extras: words(30) }, 'read', 'touch'),
  ),
  ...[0x08, 0x18].flatMap((opcode) => [
    binary(opcode, {}, 'flush'),
    binary(opcode, { extras: words(0) }, 'flush'),
  ]),
  binary(0x1b, { extras: words(2) }, 'admin'),
  binary(0x10, {}, 'stats'),
  binary(0x10, { key: 'items' }, 'stats'),
  binary(0x10, { key: 'reset' }, 'admin'),
  binary(0x10, { key: 'detail on' }, 'admin'),
  binary(0x10, { key: 'detail dump' }, 'dump'),
]

const CUTS: Readonly<Record<string, (length: number) => readonly number[]>> = {
  whole: () => [],
  'cut in the head': (length) => [Math.min(length - 1, 12)],
  'cut behind the key': (length) => [Math.min(length - 1, 40)],
  'cut in the middle': (length) => [length >> 1],
  'byte by byte': (length) =>
    Array.from({ length: Math.min(length - 1, 80) }, (_, index) => index + 1),
  'read by read': (length) =>
    Array.from({ length: Math.ceil(length / 69_632) - 1 }, (_, index) => (index + 1) * 69_632),
}

const COMMAND_COUNTER =
  /^(cmd_|get_|delete_|incr_|decr_|cas_|touch_|store_|read_buf_oom|log_|request_too_large)/

/** Everything that a command could have changed. */
function fingerprint({ memory, lane }: ManualServer): string {
  const hash = createHash('sha256')
  for (const shared of [memory.control, ...memory.arenas]) hash.update(new Uint8Array(shared))
  for (const [index, name] of COUNTER_NAMES.entries()) {
    if (COMMAND_COUNTER.test(name)) hash.update(`${name} ${lane[index]}\n`)
  }
  return hash.digest('hex')
}

function filledServer(operations: string[] = []): ManualServer {
  const server = createManualServer({
    memoryBytes: 1024 * 1024,
    itemBytesMax: 400_000,
    valueBytesMax: VALUE_BYTES_MAX,
    saslBytesMax: 65_536,
    shutdownEnabled: true,
    onOperation: (name) => operations.push(name),
  })
  const { connection, transport } = openManualConnection(server, server.text)
  const filling = Buffer.from('set victim 7 0 5\r\nvalue\r\nset count 0 0 2\r\n10\r\n')
  connection.receive(filling, filling.length)
  expect(transport.output.toString()).toBe('STORED\r\nSTORED\r\n')
  return server
}

function principal(rights: number, keyPrefixes?: readonly string[]): Principal {
  return {
    name: 'alice',
    origin: 'users',
    rights,
    keyPrefixes:
      keyPrefixes && new KeyPrefixes(keyPrefixes.map((prefix) => Buffer.from(prefix, 'latin1'))),
    namespace: 0,
    roles: undefined,
    expiresAt: NEVER,
  }
}

type Dialect = 'text' | 'binary'

function logIn(server: ManualServer, dialect: Dialect, user: Principal): ManualConnection {
  const peer = openManualConnection(server, server[dialect], { sasl: environment })
  peer.connection.gate.become(user)
  peer.connection.loginChanged()
  return peer
}

/** Feeds the pieces, and gives the turns that were given away. */
function send(
  { connection, transport, deferred }: ManualConnection,
  request: Buffer,
  cuts: readonly number[],
): void {
  let from = 0
  for (const cut of [...cuts, request.length]) {
    if (cut <= from || !transport.isOpen) continue
    const readBuffer = Buffer.from(request.subarray(from, cut))
    connection.receive(readBuffer, readBuffer.length)
    readBuffer.fill(0xee)
    transport.unsentBytes = 0
    for (let turn = deferred.shift(); turn !== undefined; turn = deferred.shift()) {
      turn.continueServing()
      transport.unsentBytes = 0
    }
    from = cut
  }
}

const NOOP: Readonly<Record<Dialect, Buffer>> = {
  text: Buffer.from('mn\r\n'),
  binary: requestFrame({ opcode: 0x0a, opaque: 9 }),
}
const NOOP_ANSWER: Readonly<Record<Dialect, Buffer>> = {
  text: Buffer.from('MN\r\n'),
  binary: (() => {
    const frame = requestFrame({ opcode: 0x0a, opaque: 9 })
    frame[0] = 0x81
    return frame
  })(),
}

const ALL_BITS = rightsOf(RIGHT_NAMES)

describe.each([
  ['text', TEXT],
  ['binary', BINARY],
] as const)('%s', (dialect, requests) => {
  test.each(Object.keys(CUTS))('%s: a request that lacks a right does nothing', (name) => {
    const operations: string[] = []
    const server = filledServer(operations)
    const before = fingerprint(server)
    let refusedCount = 0
    for (const { request, takes, answer } of requests) {
      for (const right of takes) {
        const what = `${name}, without ${right}: ${JSON.stringify(request.toString('latin1', 0, 60))}`
        const peer = logIn(server, dialect, principal(ALL_BITS & ~RIGHT[right]))
        send(peer, request, CUTS[name]?.(request.length) ?? [])
        // What comes behind it is read at the right place.
        send(peer, NOOP[dialect], [])
        const expected = Buffer.concat([answer, NOOP_ANSWER[dialect]])
        expect(peer.transport.output.toString('latin1', 0, 200), what).toBe(
          expected.toString('latin1'),
        )
        expect(peer.connection.bufferedBytes, what).toBe(0)
        peer.connection.close()
        refusedCount++
      }
    }
    expect(server.lane[COUNTER.auth_denied_commands]).toBe(refusedCount)
    expect(operations).toEqual([])
    expect(fingerprint(server)).toBe(before)
  })

  test('a request that has just the rights it takes is not refused', () => {
    const server = filledServer()
    for (const { request, takes } of requests) {
      const peer = logIn(server, dialect, principal(rightsOf(takes)))
      send(peer, request, [])
      const output = peer.transport.output.toString('latin1')
      const what = JSON.stringify(request.toString('latin1', 0, 60))
      expect(output, what).not.toContain('permission denied')
      expect(output, what).not.toContain('Auth failure.')
      expect(output, what).not.toContain('No access.')
      peer.connection.close()
    }
    expect(server.lane[COUNTER.auth_denied_commands]).toBe(0)
  })

  test('what is about the connection takes no right', () => {
    const server = filledServer()
    const lines: Record<Dialect, Buffer[]> = {
      text: ['mn\r\n', 'version\r\n', 'sasl mech\r\n', 'nonsense\r\n'].map((line) =>
        Buffer.from(line),
      ),
      binary: [0x0a, 0x0b, 0x20, 0x77].map((opcode) => requestFrame({ opcode })),
    }
    const peer = logIn(server, dialect, principal(0))
    for (const line of lines[dialect]) send(peer, line, [])
    expect(server.lane[COUNTER.auth_denied_commands]).toBe(0)
    expect(peer.transport.isOpen).toBe(true)
  })
})

test('replies to refused and to allowed requests in one read keep their order', () => {
  const server = filledServer()
  const peer = logIn(server, 'text', principal(RIGHT.read))
  const pipeline = [
    'get victim\r\n',
    `set victim 0 0 ${LARGE.length}\r\n${LARGE}\r\n`,
    'set victim 0 0 3 noreply\r\nnew\r\n',
    'get victim\r\n',
    'ma count\r\n',
    'mg victim v\r\n',
  ].join('')
  send(peer, Buffer.from(pipeline), [70_000, 140_000])
  const hit = 'VALUE victim 7 5\r\nvalue\r\nEND\r\n'
  expect(peer.transport.output.toString()).toBe(
    `${hit}${NO_RIGHT}${hit}${NO_RIGHT}VA 5\r\nvalue\r\n`,
  )
})

test('nothing is kept of a value that may not be stored, from its head on', () => {
  const server = filledServer()
  const frame = storeFrame(0x01, 'other:1', LARGE)
  const line = Buffer.from(`set other:1 0 0 ${LARGE.length}\r\n${LARGE}\r\n`)
  for (const [dialect, request, head] of [
    ['binary', frame, 24 + 8 + 'other:1'.length],
    ['text', line, line.indexOf('\n') + 1],
  ] as const) {
    for (const user of [principal(RIGHT.read), principal(RIGHTS_ALL, ['shop:'])]) {
      const asked: number[] = []
      const peer = openManualConnection(server, server[dialect], {
        sasl: environment,
        hasRoomFor: (bytes) => asked.push(bytes) > 0,
      })
      peer.connection.gate.become(user)
      for (let end = 1; end <= head; end++) {
        send(peer, request.subarray(end - 1, end), [])
        expect(peer.connection.bufferedBytes, dialect).toBeLessThanOrEqual(4096)
      }
      // The head is here: it is answered, and the rest is dropped as it comes.
      expect(peer.transport.output.length, dialect).toBeGreaterThan(0)
      send(peer, request.subarray(head), [60_000])
      expect(peer.connection.bufferedBytes, dialect).toBe(0)
      expect(Math.max(0, ...asked), dialect).toBeLessThanOrEqual(4096)
      peer.connection.close()
    }
  }
})

describe('a user with key prefixes', () => {
  const SHOP = principal(RIGHTS_ALL & ~(RIGHT.flush | RIGHT.dump | RIGHT.watch | RIGHT.admin), [
    'shop:',
    'v',
  ])

  test.each([
    ['get shop:1\r\n', 'END\r\n'],
    ['get victim shop:1\r\n', 'VALUE victim 7 5\r\nvalue\r\nEND\r\n'],
    // One that may not be used spoils the list, wherever it stands.
    ['get count\r\n', NO_KEY],
    ['get victim count\r\n', NO_KEY],
    ['get count victim\r\n', NO_KEY],
    [`get ${'shop:1 '.repeat(3000)}count\r\n`, NO_KEY],
    ['gat 1 victim  count \r\n', NO_KEY],
    ['get shop\r\n', NO_KEY],
    ['get shop:\r\n', 'END\r\n'],
    ['get Shop:1\r\n', NO_KEY],
    ['set count 0 0 1\r\nx\r\n', NO_KEY],
    ['set count 0 0 1 noreply\r\nx\r\n', ''],
    ['mg count v q\r\n', NO_KEY],
    ['mg dmljdGlt b v\r\n', 'VA 5\r\nvalue\r\n'],
    // The base64 of it begins with a v, and what it stands for does not.
    ['mg vAAA b v\r\n', NO_KEY],
    ['ms Y291bnQ= 1 b\r\nx\r\n', NO_KEY],
    ['md count\r\n', NO_KEY],
    ['ma count\r\n', NO_KEY],
    ['me count\r\n', NO_KEY],
    ['touch count 1\r\n', NO_KEY],
    ['delete count\r\n', NO_KEY],
    ['incr count 1\r\n', NO_KEY],
    ['flush_all\r\n', NO_RIGHT],
    ['stats detail dump\r\n', NO_RIGHT],
    ['stats cachedump 1 0\r\n', NO_RIGHT],
    ['lru_crawler metadump all\r\n', NO_RIGHT],
    ['watch fetchers\r\n', NO_RIGHT],
    ['version\r\n', 'VERSION 0\r\n'],
  ])('is answered to %j: %j', (line, answer) => {
    const server = filledServer()
    const before = fingerprint(server)
    const peer = logIn(server, 'text', SHOP)
    send(peer, Buffer.from(line), [])
    expect(peer.transport.output.toString()).toBe(answer)
    if (answer === NO_KEY || answer === NO_RIGHT) expect(fingerprint(server)).toBe(before)
  })

  test('is answered a list up to the key that may not be used where more is before it than one turn judges', () => {
    const server = filledServer()
    const peer = logIn(server, 'text', SHOP)
    send(peer, Buffer.from(`get victim ${'shop:1 '.repeat(10_000)}count\r\nmn\r\n`), [])
    expect(peer.transport.output.toString()).toBe(`VALUE victim 7 5\r\nvalue\r\n${NO_KEY}MN\r\n`)
  })

  test('is answered each key of a binary multi-get by itself', () => {
    const server = filledServer()
    const peer = logIn(server, 'binary', SHOP)
    const keys = ['count', 'victim', 'shop:none', 'other']
    const gets = keys.map((key) => requestFrame({ opcode: 0x0d, key, opaque: 7 }))
    send(peer, Buffer.concat([...gets, NOOP.binary]), [])
    const { output } = peer.transport
    const refused = errorFrame(0x0d, 0x20, 'Auth failure.')
    const [hitStart, hitEnd] = [
      refused.length,
      output.length - refused.length - NOOP_ANSWER.binary.length,
    ]
    expect(output.subarray(0, hitStart)).toEqual(refused)
    expect(output.subarray(hitStart, hitEnd).toString('latin1')).toContain('victimvalue')
    expect(output.subarray(hitEnd)).toEqual(Buffer.concat([refused, NOOP_ANSWER.binary]))
  })
})

test('a prefix is compared byte by byte, at the offset of the key', () => {
  const bytes = Buffer.from([0xff, 0x73, 0x68, 0xc3, 0xa9, 0x31])
  const request = new Request()
  request.verb = VERB_SET
  request.keyOffset = 1
  request.keyLength = 5
  const told: string[] = []
  const restriction = {
    rights: RIGHTS_ALL,
    keyPrefixes: new KeyPrefixes([Buffer.from('shé1!'), Buffer.from('shé')]),
    refused: (command: string, lack: string) => told.push(`${command} ${lack}`),
  }
  expect(refusalOf(request, bytes, restriction)).toBe(OUTCOME_OK)
  request.keyLength = 3
  expect(refusalOf(request, bytes, restriction)).toBe(OUTCOME_NO_KEY)
  expect(refusalOf(request, bytes, { ...restriction, rights: RIGHT.read })).toBe(OUTCOME_NO_RIGHT)
  expect(told).toEqual(['set key', 'set right'])
})
