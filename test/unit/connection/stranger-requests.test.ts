/**
 * How much a client that is not logged in may ask, whatever it asks: each request that is answered is one of
 * 500, and what is skipped of those that were refused is summed up.
 */
import { describe, expect, test } from 'vitest'
import type { Dialect } from '../../../src/connection/connection.ts'
import { VERBS } from '../../../src/protocol/verbs.ts'
import { requestFrame } from '../../support/binary-frames.ts'
import { type ManualConnection, openManualConnection } from '../../support/manual-connection.ts'
import { createManualServer } from '../../support/manual-server.ts'
import { fixture, snapshotOf } from '../sasl/fixture.ts'

const SASL_BYTES_MAX = 1000
const REQUESTS_MAX = 500
const READ_BYTES = 65_536
const TOO_LONG = 'x'.repeat(SASL_BYTES_MAX + 1)

const server = createManualServer({ saslBytesMax: SASL_BYTES_MAX })
// Without PLAIN no key is derived, and every login is answered at once.
const { environment } = fixture(snapshotOf({ alice: 'secret' }), { mechanisms: ['SCRAM-SHA-256'] })

function openStranger(dialect: Dialect): ManualConnection {
  // So many attempts that they end nothing: the requests are to.
  return openManualConnection(server, dialect, { sasl: environment, loginAttemptsMax: 1e6 })
}

/** Sends bytes read by read, and has served what is to be gone on with; false: the connection has ended. */
function deliver({ connection, transport, deferred }: ManualConnection, bytes: Buffer): boolean {
  for (let from = 0; from < bytes.length && transport.isOpen; from += READ_BYTES) {
    const read = Buffer.from(bytes.subarray(from, from + READ_BYTES))
    connection.receive(read, read.length)
    for (let turn = deferred.shift(); turn !== undefined; turn = deferred.shift()) {
      turn.continueServing()
    }
    transport.unsentBytes = 0
    connection.onDrained()
  }
  return transport.isOpen
}

/** Which of so many times the same request ended the connection. */
function sentUntilEnd(dialect: Dialect, request: Buffer, most: number): number {
  const stranger = openStranger(dialect)
  let sent = 1
  while (sent <= most && deliver(stranger, request)) sent++
  return sent
}

/** Lines that are answered and end nothing. */
const LINES: readonly string[] = [
  '\n',
  '\r\n',
  ' \r\n',
  'a\r\n',
  'no_such_command\r\n',
  'no_such_command noreply\r\n',
  'VERSION\r\n',
  'version\r\n',
  'version of what\r\n',
  'sasl mech\r\n',
  // Wrong ones.
  'sasl\r\n',
  'sasl noreply\r\n',
  'sasl mech more\r\n',
  'sasl auth\r\n',
  'sasl auth x\r\n',
  'sasl auth PLAIN x\r\n',
  'sasl auth PLAIN 4294967295\r\n',
  'sasl auth PLAIN 1 noreply\r\n',
  'sasl auth PLAIN 3\r\nabcXX',
  'sasl auth 3\r\nabcXX',
  `sasl auth PLAIN ${TOO_LONG.length}\r\n${TOO_LONG}\r\n`,
  `sasl auth ${TOO_LONG.length}\r\n${TOO_LONG}\r\n`,
  `sasl auth ${TOO_LONG} 1\r\nx\r\n`,
  // Those that begin a login, or go on with one.
  'sasl auth SCRAM-SHA-256 0\r\n\r\n',
  'sasl auth SCRAM-SHA-256 1\r\nx\r\n',
  'sasl auth NO-SUCH 1\r\nx\r\n',
  'sasl auth 0\r\n\r\n',
  'sasl auth 1\r\nx\r\n',
  'set a 0 0 12\r\nalice secret\r\n',
  'set a 0 0 12 noreply\r\nalice secret\r\n',
  // Logins that are none.
  'set a 0 0 5\r\nalice\r\n',
  'set a 0 0 0\r\n\r\n',
  'set a 0 0 12\r\nalice secretXX',
  `set a 0 0 ${TOO_LONG.length}\r\n${TOO_LONG}\r\n`,
  `set ${'k'.repeat(300)} 0 0 5\r\nalice\r\n`,
  'set\r\n',
  'set a 0 0 x\r\n',
  'set a 0 0 4294967295\r\n',
  // Everything else.
  'verbosity 1\r\n',
  'verbosity 1 noreply\r\n',
  'get a\r\n',
  `get ${'k'.repeat(300)}\r\n`,
  'gat 1 a\r\n',
  'append a 0 0 3\r\nnew\r\n',
  'append a 0 0 3 noreply\r\nnew\r\n',
  'append a 0 0 3\r\nnewXX',
  'touch a 1 noreply\r\n',
  'incr a x\r\n',
  'flush_all noreply\r\n',
  'mn\r\n',
  'mg a v q\r\n',
  'ms a 3 q\r\nnew\r\n',
  'ms a x\r\n',
  'me a\r\n',
  'stats\r\n',
  'watch mutations\r\n',
  'shutdown\r\n',
]

/** Binary requests that are answered and end nothing. */
const FRAMES: Readonly<Record<string, Buffer>> = {
  version: requestFrame({ opcode: 0x0b }),
  'list mechs': requestFrame({ opcode: 0x20 }),
  auth: requestFrame({ opcode: 0x21, key: 'SCRAM-SHA-256', value: 'x' }),
  'auth without a response': requestFrame({ opcode: 0x21, key: 'SCRAM-SHA-256' }),
  'auth by what there is not': requestFrame({ opcode: 0x21, key: 'NO-SUCH', value: 'x' }),
  'auth by too long a name': requestFrame({ opcode: 0x21, key: 'k'.repeat(200), value: 'x' }),
  step: requestFrame({ opcode: 0x22, key: 'SCRAM-SHA-256', value: 'x' }),
  'step by too long a name': requestFrame({ opcode: 0x22, key: 'k'.repeat(200), value: 'x' }),
}

describe(`of a stranger ${REQUESTS_MAX} requests are answered, and one more with the end:`, () => {
  test.each(LINES.map((line) => [line.slice(0, 40), line]))('text, %j', (_, line) => {
    expect(sentUntilEnd(server.text, Buffer.from(line), REQUESTS_MAX + 1)).toBe(REQUESTS_MAX + 1)
  })

  test.each(Object.entries(FRAMES))('binary, %s', (_, frame) => {
    expect(sentUntilEnd(server.binary, frame, REQUESTS_MAX + 1)).toBe(REQUESTS_MAX + 1)
  })

  test('there are no others that a stranger may ask', () => {
    const verbs = VERBS.filter(({ beforeLogin }) => beforeLogin === true).map(({ name }) => name)
    expect(verbs).toEqual(['version', 'sasl_list', 'sasl_start', 'sasl_step'])
  })
})

test.each([...Array.from({ length: 0x40 }, (_, opcode) => opcode), 0xff])(
  'binary opcode %i of a stranger is one of those, or the last',
  (opcode) => {
    const stranger = openStranger(server.binary)
    const goesOn = deliver(stranger, requestFrame({ opcode, key: 'k', value: 'v' }))
    expect(goesOn).toBe(opcode === 0x21 || opcode === 0x22)
  },
)

test.each(['set a 0 0', 'append a 0 0', 'ms a', 'sasl auth PLAIN', 'sasl auth'])(
  'of all that a stranger is refused a megabyte is skipped: %s',
  (line) => {
    for (const [length, last] of [
      [1_000_000, 2],
      [200_000, 6],
      [2_000_000_000, 1],
    ] as const) {
      const head = Buffer.from(`${line} ${length}\r\n`)
      const stranger = openStranger(server.text)
      const body = Buffer.alloc(Math.min(length, 1_000_000) + 2, 'x')
      let sent = 1
      while (sent < 10 && deliver(stranger, head) && deliver(stranger, body)) sent++
      expect([length, sent]).toEqual([length, last])
    }
    // Who is logged in may store what it likes.
    const client = openManualConnection(server, server.text)
    for (let sent = 0; sent < 3; sent++) {
      deliver(client, Buffer.from(`append a 0 0 1000000\r\n${'x'.repeat(1_000_000)}\r\n`))
    }
    expect(client.transport.isOpen).toBe(true)
  },
)

test('a list of mechanisms ends the turn of who asks for it, in both dialects', () => {
  for (const [dialect, request] of [
    [server.text, Buffer.from('sasl mech\r\n')],
    [server.binary, requestFrame({ opcode: 0x20 })],
  ] as const) {
    const { connection, transport, deferred } = openStranger(dialect)
    const requests = Buffer.concat(Array.from({ length: 20 }, () => request))
    connection.receive(requests, requests.length)
    const answers = (): number => transport.output.toString('latin1').split('SCRAM-').length - 1
    for (let turn = 1; turn <= 20; turn++) {
      expect([turn, answers()]).toEqual([turn, turn])
      deferred.shift()?.continueServing()
    }
    expect(deferred).toEqual([])
  }
})
