/** The lines that a binary STAT gathers before they leave are bounded over all who ask, and let go of once. */
import { beforeEach, expect, test } from 'vitest'
import { COUNTER } from '../../../src/observe/counters.ts'
import { PREFIX_GET } from '../../../src/observe/prefix-table.ts'
import { requestFrame } from '../../support/binary-frames.ts'
import type { ManualConnection } from '../../support/manual-connection.ts'
import { createManualServer, type ManualServer } from '../../support/manual-server.ts'

const MEBIBYTE = 1024 * 1024
const CLIENTS = 100
const PREFIXES = 5000
const REPLY_BYTES_MAX = 16 * MEBIBYTE
const STATUS_BYTE = 7
const STATUS_OUT_OF_MEMORY = 0x82
const DUMP = requestFrame({ opcode: 0x10, key: 'detail dump', opaque: 7 })

let server: ManualServer
let clients: ManualConnection[]

beforeEach(() => {
  server = createManualServer({ replyBytesMax: REPLY_BYTES_MAX, itemBytesMax: MEBIBYTE })
  for (let index = 0; index < PREFIXES; index++) {
    const key = Buffer.from(`${'p'.repeat(150)}${index}:key`)
    server.prefixes.count(PREFIX_GET, key, 0, key.length)
  }
  clients = Array.from({ length: CLIENTS }, () => server.open('binary'))
})

test('as many as ask side by side hold no more than readers may, and the rest are told that there is no room', () => {
  for (const { connection } of clients) connection.receive(Buffer.from(DUMP), DUMP.length)
  let heldMax = 0
  while (round()) heldMax = Math.max(heldMax, held())
  expect(heldMax).toBeGreaterThan(REPLY_BYTES_MAX / 4)
  expect(heldMax).toBeLessThanOrEqual(REPLY_BYTES_MAX)
  expect(held()).toBe(0)
  const refused = clients.filter(({ transport }) => transport.output[STATUS_BYTE] !== 0)
  for (const { transport } of refused) {
    expect(transport.output[STATUS_BYTE]).toBe(STATUS_OUT_OF_MEMORY)
    expect(transport.output.subarray(24).toString()).toBe('Out of memory')
  }
  expect(refused.length).toBeGreaterThan(CLIENTS / 2)
  expect(server.lane[COUNTER.unread_reply_oom]).toBe(refused.length)
  // Whoever asks when they are through has it whole.
  const late = server.open('binary')
  clients = [late]
  late.connection.receive(Buffer.from(DUMP), DUMP.length)
  while (round()) expect(held()).toBeLessThanOrEqual(REPLY_BYTES_MAX)
  const { output } = late.transport
  expect(output.readUInt32BE(8)).toBe(output.length - 48)
  expect(output.subarray(24, 39).toString()).toBe('detailedPREFIX ')
  expect(output.subarray(-29, -24).toString()).toBe('END\r\n')
  expect(output.toString('latin1').match(/PREFIX /g)).toHaveLength(PREFIXES)
})

test('what was gathered for a client that leaves is let go of', () => {
  for (const { connection } of clients.slice(0, 5)) {
    connection.receive(Buffer.from(DUMP), DUMP.length)
  }
  round()
  expect(held()).toBeGreaterThan(0)
  for (const { connection } of clients) connection.finish()
  expect(held()).toBe(0)
})

function held(): number {
  return server.replyMemory.heldByWorker
}

/** Gives each that waits for one a turn; false if nobody does. What they are sent they take at once. */
function round(): boolean {
  let hadTurn = false
  for (const { connection, transport, deferred } of clients) {
    const next = deferred.shift()
    if (next === undefined) continue
    hadTurn = true
    next.continueServing()
    if (transport.unsentBytes === 0) continue
    transport.unsentBytes = 0
    connection.onDrained()
  }
  return hadTurn
}
