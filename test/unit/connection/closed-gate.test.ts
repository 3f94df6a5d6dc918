/**
 * What a client that is not logged in can make the dialects do: nothing. Every request there is, under
 * every kind of trouble, through every entry of a dialect; afterwards the store is the same byte for
 * byte, no counter of commands has moved, no operation has been called, and all that was said is that
 * one must log in.
 */

import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { Commands } from '../../../src/command/commands.ts'
import { LargeBody } from '../../../src/command/transfers/large-body.ts'
import type { Dialect } from '../../../src/connection/connection.ts'
import { COUNTER_NAMES } from '../../../src/observe/counters.ts'
import { OUTCOME_REFUSED, Request } from '../../../src/protocol/request.ts'
import { VERB_SET } from '../../../src/protocol/verbs.ts'
import type { LargeValue } from '../../../src/storage/large-value.ts'
import { requestFrame, storeFrame, words } from '../../support/binary-frames.ts'
import { type ManualConnection, openManualConnection } from '../../support/manual-connection.ts'
import { createManualServer, type ManualServer } from '../../support/manual-server.ts'
import { fixture, snapshotOf } from '../sasl/fixture.ts'

const VALUE_BYTES_MAX = 300_000
const SASL_BYTES_MAX = 65_536
const LARGE = 'x'.repeat(200_000)
const { environment } = fixture(snapshotOf({ alice: 's3cret' }))

/** Whole requests of the text dialects; `victim` and `count` are stored. */
const TEXT_REQUESTS: readonly string[] = [
  ...['set', 'add', 'replace', 'append', 'prepend'].flatMap((verb) => [
    `${verb} victim 0 0 3\r\nnew\r\n`,
    `${verb} victim 0 0 3 noreply\r\nnew\r\n`,
    `${verb} victim 0 0 ${LARGE.length}\r\n${LARGE}\r\n`,
    `${verb} victim 0 0 ${10 * VALUE_BYTES_MAX}\r\n`,
  ]),
  'cas victim 0 0 3 1\r\nnew\r\n',
  ...['get', 'gets', 'gat 1', 'gats 1'].map((verb) => `${verb} victim count\r\n`),
  `get ${'k '.repeat(5000)}victim\r\n`,
  'touch victim 1\r\n',
  'delete victim\r\n',
  'delete victim noreply\r\n',
  'incr count 5\r\n',
  'decr count 5 noreply\r\n',
  'flush_all\r\n',
  'flush_all 0 noreply\r\n',
  'mg victim v t T1 q\r\n',
  'mg vivified N30 v\r\n',
  ...['', ' ME', ' MA', ' MP', ' MR', ' I C1', ' q'].flatMap((flags) => [
    `ms victim 3${flags}\r\nnew\r\n`,
    `ms victim ${LARGE.length}${flags}\r\n${LARGE}\r\n`,
    `ms victim ${10 * VALUE_BYTES_MAX}${flags}\r\n`,
  ]),
  'ms dmljdGlt 3 b\r\nnew\r\n',
  'md victim\r\n',
  'md victim I x q\r\n',
  'ma count N0 J5\r\n',
  'ma count MD q\r\n',
  'me victim\r\n',
  'mn\r\n',
  ...['', ' reset', ' settings', ' items', ' slabs', ' conns', ' sizes', ' sizes_enable'].map(
    (group) => `stats${group}\r\n`,
  ),
  'stats cachedump 1 0\r\n',
  'stats detail on\r\n',
  'stats detail dump\r\n',
  'lru_crawler metadump all\r\n',
  'lru_crawler mgdump all\r\n',
  'lru_crawler crawl all\r\n',
  'watch mutations\r\n',
  'verbosity 2\r\n',
  'cache_memlimit 8\r\n',
  'shutdown\r\n',
  'shutdown graceful\r\n',
  'slabs automove 1\r\n',
  'refresh_certs\r\n',
  'no_such_command\r\n',
]

function binaryRequests(): Buffer[] {
  const requests: Buffer[] = []
  for (const opcode of [...Array(0x40).keys(), 0x80, 0xff]) {
    // LIST MECHS, AUTH, STEP and VERSION are what a stranger may ask.
    if ((opcode >= 0x20 && opcode <= 0x22) || opcode === 0x0b) continue
    for (const key of ['', 'victim']) {
      requests.push(requestFrame({ opcode, key, opaque: 7 }))
      requests.push(requestFrame({ opcode, key, extras: words(30) }))
      requests.push(requestFrame({ opcode, key, extras: words(0, 0), value: 'new' }))
      requests.push(requestFrame({ opcode, key, extras: words(0, 1, 0, 1, 0) }))
      requests.push(requestFrame({ opcode, key, value: 'new' }))
    }
    requests.push(requestFrame({ opcode, extras: words(0, 0), key: 'victim', value: LARGE }))
    requests.push(
      requestFrame({
        opcode,
        extras: words(0, 0),
        key: 'victim',
        bodyLength: 10 * VALUE_BYTES_MAX,
      }),
    )
  }
  return requests
}

interface Trouble {
  readonly name: string
  readonly hasRoom: boolean
  /** Many strangers ask at once, and each waits for a round. */
  readonly isCrowded?: boolean
  /** Where the request is cut, if it is. */
  readonly cuts: (length: number) => readonly number[]
  /** Before the request. */
  readonly before?: (peer: ManualConnection) => void
  /** Behind each piece. */
  readonly after?: (peer: ManualConnection) => void
}

const whole = (): number[] => []
const half = (length: number): number[] => [length >> 1]
const header = (length: number): number[] => [Math.min(length - 1, 12)]
const head = (length: number): number[] => [Math.min(length - 1, 40)]
const byteByByte = (length: number): number[] =>
  Array.from({ length: Math.min(length - 1, 80) }, (_, index) => index + 1)
const reads = (length: number): number[] =>
  Array.from({ length: Math.ceil(length / 69_632) - 1 }, (_, index) => (index + 1) * 69_632)

const TROUBLES: readonly Trouble[] = [
  ...[true, false].flatMap((hasRoom): Trouble[] => {
    const room = hasRoom ? 'with room' : 'with every budget full'
    return [
      { name: `whole, ${room}`, hasRoom, cuts: whole },
      { name: `cut in the header, ${room}`, hasRoom, cuts: header },
      { name: `cut behind the key, ${room}`, hasRoom, cuts: head },
      { name: `cut in the middle, ${room}`, hasRoom, cuts: half },
      { name: `byte by byte, ${room}`, hasRoom, cuts: byteByByte },
      { name: `read by read, ${room}`, hasRoom, cuts: reads },
    ]
  }),
  { name: 'whole, behind other strangers', hasRoom: true, isCrowded: true, cuts: whole },
  { name: 'cut in the middle, behind others', hasRoom: true, isCrowded: true, cuts: half },
  { name: 'behind others, with every budget full', hasRoom: false, isCrowded: true, cuts: half },
  {
    name: 'to a peer that takes nothing',
    hasRoom: true,
    cuts: half,
    before: ({ transport }) => {
      transport.unsentBytes = 10_000_000
    },
  },
  {
    name: 'while the server stops',
    hasRoom: true,
    cuts: head,
    before: ({ context }) => {
      context.isStopping = true
    },
    after: ({ connection }) => connection.stop(),
  },
  {
    name: 'behind a login that failed',
    hasRoom: true,
    cuts: half,
    before: ({ connection }) => {
      void connection.gate.start('SCRAM-SHA-256', Buffer.from('nonsense'))
    },
  },
  {
    name: 'at the end of the stream',
    hasRoom: false,
    cuts: half,
    after: ({ connection }) => connection.receiveEnd(),
  },
]

/** Everything that a command could have changed. */
function fingerprint({ memory, lane }: ManualServer): string {
  const hash = createHash('sha256')
  for (const shared of [memory.control, ...memory.arenas]) hash.update(new Uint8Array(shared))
  for (const [index, name] of COUNTER_NAMES.entries()) {
    if (COMMAND_COUNTER.test(name)) hash.update(`${name} ${lane[index]}\n`)
  }
  return hash.digest('hex')
}

const COMMAND_COUNTER = /^(cmd_|get_|delete_|incr_|decr_|cas_|touch_|store_|read_buf_oom|log_)/

function filledServer(operations: string[]): ManualServer {
  const server = createManualServer({
    memoryBytes: 1024 * 1024,
    itemBytesMax: 400_000,
    valueBytesMax: VALUE_BYTES_MAX,
    saslBytesMax: SASL_BYTES_MAX,
    shutdownEnabled: true,
    onOperation: (name) => operations.push(name),
  })
  const { connection, transport } = openManualConnection(server, server.text)
  const filling = Buffer.from('set victim 7 0 5\r\nvalue\r\nset count 0 0 2\r\n10\r\n')
  connection.receive(filling, filling.length)
  expect(transport.output.toString()).toBe('STORED\r\nSTORED\r\n')
  return server
}

function send(peer: ManualConnection, request: Buffer, trouble: Trouble): void {
  trouble.before?.(peer)
  let from = 0
  for (const cut of [...trouble.cuts(request.length), request.length]) {
    if (cut > from && peer.transport.isOpen) {
      // The read buffer is somebody else's again afterwards.
      const readBuffer = Buffer.from(request.subarray(from, cut))
      peer.connection.receive(readBuffer, readBuffer.length)
      readBuffer.fill(0xee)
      for (let turn = peer.deferred.shift(); turn !== undefined; turn = peer.deferred.shift()) {
        turn.continueServing()
      }
      peer.connection.checkDeadlines()
      trouble.after?.(peer)
    }
    from = cut
  }
}

/** Answers that a stranger may be given; lines of the text dialects. */
const TEXT_ANSWER =
  /^(CLIENT_ERROR (unauthenticated|authentication failure|bad authentication token format|bad command line termination|auth token too long)\r\n)*$/

function expectBinaryRefusal(output: Buffer, what: string): void {
  for (let offset = 0; offset < output.length; ) {
    const status = output.readUInt16BE(offset + 6)
    // 0x81 is the answer to lengths that contradict each other, which are looked at before all else.
    expect([0x20, 0x81], what).toContain(status)
    offset += 24 + output.readUInt32BE(offset + 8)
  }
}

/** Sends the requests, each on a connection of its own; what was changed is looked at in the end. */
function tryRequests(
  name: string,
  requests: readonly Buffer[],
  choose: (server: ManualServer) => Dialect,
  trouble: Trouble,
): boolean {
  const operations: string[] = []
  const server = filledServer(operations)
  const before = fingerprint(server)
  for (const request of requests) {
    const what = `${trouble.name}: ${JSON.stringify(request.toString('latin1', 0, 60))}`
    const peer = openManualConnection(server, choose(server), {
      sasl: environment,
      hasRoomFor: () => trouble.hasRoom,
      isStrangersTurn: () => trouble.isCrowded !== true,
    })
    send(peer, request, trouble)
    const { output } = peer.transport
    if (name === 'text') expect(output.toString('latin1'), what).toMatch(TEXT_ANSWER)
    else expectBinaryRefusal(output, what)
    peer.connection.close()
    expect(server.sendBuffer.used, what).toBe(0)
  }
  return fingerprint(server) === before && operations.length === 0
}

function tryAll(
  name: string,
  requests: readonly Buffer[],
  choose: (server: ManualServer) => Dialect,
): void {
  test.each(TROUBLES)(`${name}, $name: a stranger changes nothing`, (trouble) => {
    if (tryRequests(name, requests, choose, trouble)) return
    const guilty = requests.filter((request) => !tryRequests(name, [request], choose, trouble))
    expect(guilty.map((request) => request.toString('latin1', 0, 60))).toEqual([])
    throw new Error('several of the requests together have changed something')
  })
}

tryAll(
  'text',
  TEXT_REQUESTS.map((request) => Buffer.from(request, 'latin1')),
  ({ text }) => text,
)
tryAll('binary', binaryRequests(), ({ binary }) => binary)

test('the entries of a dialect that only a served request should reach refuse a stranger, too', () => {
  const operations: string[] = []
  const server = filledServer(operations)
  const before = fingerprint(server)
  const unfinished = {
    text: Buffer.from(`set victim 0 0 ${LARGE.length}\r\nxxx`),
    binary: storeFrame(0x01, 'victim', LARGE).subarray(0, 100),
  }
  for (const name of ['text', 'binary'] as const) {
    const dialect = server[name]
    const bytes = unfinished[name]
    for (let end = 1; end <= bytes.length; end++) {
      const peer = openManualConnection(server, dialect, { sasl: environment })
      dialect.refuseUnfinished(peer.connection, bytes, 0, end)
      expect(peer.transport.isOpen, `${name}, ${end} bytes`).toBe(false)
      expect(fingerprint(server), `${name}, ${end} bytes`).toBe(before)
    }
    for (const hasRoom of [true, false]) {
      const peer = openManualConnection(server, dialect, { sasl: environment })
      const valueOffset = name === 'text' ? bytes.indexOf('\n') + 1 : 24 + 8 + 'victim'.length
      const value = { missingBytes: 0, abandon: () => undefined } as unknown as LargeValue
      const body = new LargeBody(server.commands, value, bytes.subarray(0, valueOffset), 2)
      body.end.set([13, 10])
      dialect.serveLarge(peer.connection, body, hasRoom)
      peer.connection.close()
      expect(fingerprint(server)).toBe(before)
    }
  }
  expect(operations).toEqual([])
})

test('no command does anything for a caller that is not logged in', () => {
  const server = filledServer([])
  const before = fingerprint(server)
  const closed = { isOpen: false, restriction: undefined, namespace: 0 }
  const request = new Request()
  const key = Buffer.from('victim')
  request.verb = VERB_SET
  request.keyLength = key.length
  request.valueLength = 0
  const value = {} as LargeValue
  const extension = { value } as never
  const { commands } = server
  /** One call of each method that takes a caller; a new one fails the comparison below. */
  const calls: Record<string, () => unknown> = {
    execute: () => commands.execute(request, key, closed),
    executeLarge: () => commands.executeLarge(value, request, key, closed),
    executeExtension: () => commands.executeExtension(extension, request, key, closed),
    refuseOversize: () => commands.refuseOversize(request, key, closed),
    refuseUnfinished: () => commands.refuseUnfinished(closed),
    refuseLarge: () => commands.refuseLarge(request, key, closed),
    refuseExtension: () => commands.refuseExtension(0, closed),
    proceedExtension: () => commands.proceedExtension(extension, request, key, 1, closed),
    beginLarge: () => commands.beginLarge(request, key, 0, closed) ?? OUTCOME_REFUSED,
    beginExtension: () => commands.beginExtension(request, key, closed) ?? OUTCOME_REFUSED,
    hold: () => commands.hold(key, 0, key.length, closed) || OUTCOME_REFUSED,
  }
  /** They work on what was begun or is held for a caller that was let through, or on registers. */
  const goOn = ['appendLarge', 'takePending', 'letGo', 'copyHeldRange', 'beginTurn', 'clearCas']
  const held = ['heldBytes', 'heldLocation', 'heldSequence']
  const registers = ['nowSeconds', 'extendedBytesMin', ...held]
  // How the others find the store of a namespace, and whom they refuse.
  const inner = ['enter', 'forget', 'isIn', 'isAllowed', 'refusalFor', 'refusalOf', 'refusalOfList']
  const methods = Object.getOwnPropertyNames(Commands.prototype)
  expect([...Object.keys(calls), ...goOn, ...registers, ...inner, 'constructor'].sort()).toEqual(
    methods.sort(),
  )
  for (const [name, call] of Object.entries(calls)) {
    expect(call(), name).toBe(OUTCOME_REFUSED)
    expect(fingerprint(server), name).toBe(before)
  }
})

test('a request that is not complete says nothing of the one before it', () => {
  const server = filledServer([])
  const first = openManualConnection(server, server.binary)
  const set = storeFrame(0x01, 'victim', 'of another', { opaque: 0x0badcafe })
  first.connection.receive(set, set.length)
  const stranger = openManualConnection(server, server.binary, { sasl: environment })
  server.binary.refuseUnfinished(stranger.connection, set, 0, 12)
  const client = openManualConnection(server, server.binary)
  server.binary.refuseUnfinished(client.connection, set, 0, 12)
  for (const { transport } of [stranger, client]) {
    expect(transport.output.length).toBe(0)
    expect(transport.isOpen).toBe(false)
  }
})

test('a stranger that asks for the version for ever is ended', () => {
  const server = createManualServer()
  const version = requestFrame({ opcode: 0x0b })
  for (const [dialect, request] of [
    [server.binary, version],
    [server.text, Buffer.from('version\r\n')],
  ] as const) {
    const stranger = openManualConnection(server, dialect, { sasl: environment })
    let sent = 0
    while (stranger.transport.isOpen && sent < 10_000) {
      stranger.connection.receive(request, request.length)
      sent++
      stranger.transport.unsentBytes = 0
    }
    expect(sent).toBe(501)
    const client = openManualConnection(server, dialect)
    for (let count = 0; count < 1000; count++) client.connection.receive(request, request.length)
    expect(client.transport.isOpen).toBe(true)
  }
})

test('of a request that is refused before login a megabyte is skipped, and no more', () => {
  const server = createManualServer()
  for (const [length, isOpen] of [
    [1_000_000, true],
    [2_000_000_000, false],
  ] as const) {
    for (const line of [`set k 0 0 ${length}`, `append k 0 0 ${length}`]) {
      const request = Buffer.from(`${line}\r\n`)
      const stranger = openManualConnection(server, server.text, { sasl: environment })
      stranger.connection.receive(request, request.length)
      expect(stranger.transport.output.toString()).toMatch(/^CLIENT_ERROR .+\r\n$/)
      expect([line, stranger.transport.isOpen]).toEqual([line, isOpen])
    }
    const client = openManualConnection(server, server.text)
    const request = Buffer.from(`set k 0 0 ${length}\r\n`)
    client.connection.receive(request, request.length)
    expect(client.transport.isOpen).toBe(true)
  }
})

test('a stranger is refused so often, then its connection ends, however short its lines are', () => {
  const server = createManualServer()
  for (const line of ['\n', 'get a\r\n', 'nothing that there is\r\n']) {
    const stranger = openManualConnection(server, server.text, { sasl: environment })
    const lines = Buffer.from(line.repeat(1000))
    for (let sent = 0; sent < 10 && stranger.transport.isOpen; sent++) {
      stranger.connection.receive(lines, lines.length)
      for (let turn = stranger.deferred.shift(); turn; turn = stranger.deferred.shift()) {
        turn.continueServing()
      }
    }
    expect([line, stranger.transport.isOpen]).toEqual([line, false])
    expect(stranger.transport.output.toString()).toBe(
      'CLIENT_ERROR unauthenticated\r\n'.repeat(501),
    )
  }
})

test('a stop waits for nobody who is not logged in', () => {
  const server = createManualServer()
  const halves = [
    [server.text, Buffer.from('set login 0 0 100\r\nhalf')],
    [server.binary, requestFrame({ opcode: 0x21, key: 'PLAIN', value: 'x'.repeat(100) })],
  ] as const
  for (const [dialect, half] of halves) {
    const stranger = openManualConnection(server, dialect, { sasl: environment })
    stranger.connection.receive(half, half.length - 1)
    expect(stranger.transport.isOpen).toBe(true)
    stranger.connection.stop()
    expect(stranger.transport.isOpen).toBe(false)
    const client = openManualConnection(server, dialect)
    const begun = dialect === server.text ? Buffer.from('set k 0 0 10\r\n') : half
    client.connection.receive(begun, begun.length - 1)
    client.connection.stop()
    expect(client.transport.isOpen).toBe(true)
  }
})
