/** Appends to one large value by several clients of a worker: one goes on, the others wait for its end. */
import { expect, test, vi } from 'vitest'
import { OUTCOME_CHANGED } from '../../../../src/protocol/request.ts'
import { requestFrame } from '../../../support/binary-frames.ts'
import type { ManualConnection } from '../../../support/manual-connection.ts'
import { createManualServer, type ManualServer } from '../../../support/manual-server.ts'

const MEBIBYTE = 1024 * 1024
const VALUE_BYTES = 4 * MEBIBYTE
const APPEND = 0x0e
const TEXT = 'append large 0 0 1\r\nt\r\n'

function send({ connection }: ManualConnection, bytes: string | Buffer): void {
  const readBuffer = Buffer.from(bytes as string, 'latin1')
  connection.receive(readBuffer, readBuffer.length)
  readBuffer.fill(0xee)
}

/** One turn of each who waits for one. */
function round(...peers: ManualConnection[]): number {
  let turns = 0
  for (const { deferred } of peers) {
    for (const connection of deferred.splice(0)) {
      connection.continueServing()
      turns++
    }
  }
  return turns
}

function filled(): ManualServer {
  const server = createManualServer({ memoryBytes: 64 * MEBIBYTE, itemBytesMax: 16 * MEBIBYTE })
  const writer = server.open('text')
  send(writer, `set large 0 0 ${VALUE_BYTES}\r\n${'v'.repeat(VALUE_BYTES)}\r\n`)
  while (round(writer) > 0);
  expect(writer.transport.output.toString()).toBe('STORED\r\n')
  return server
}

function endOf(server: ManualServer): string {
  const { store } = server
  const key = Buffer.from('large')
  store.lookup(key, 0, 5, 1_700_000_000)
  const value = Buffer.alloc(store.valueBytes)
  store.copyValue(value, 0)
  store.release()
  expect(value.subarray(0, VALUE_BYTES).every((byte) => byte === 0x76)).toBe(true)
  return value.subarray(VALUE_BYTES).toString()
}

test('clients of both dialects have their turn one after the other, without turns in vain', () => {
  const server = filled()
  const first = server.open('text')
  const second = server.open('binary')
  send(first, TEXT)
  send(second, requestFrame({ opcode: APPEND, key: 'large', value: 'b' }))
  expect(second.connection.stateName).toBe('conn_parse_cmd')
  let rounds = 0
  while (first.transport.writtenBytes === 0 && rounds++ < 100) {
    expect(second.deferred).toEqual([])
    round(first)
  }
  expect(first.transport.output.toString()).toBe('STORED\r\n')
  expect(second.deferred).toHaveLength(1)
  while (round(second) > 0);
  expect(second.transport.output.readUInt16BE(6)).toBe(0)
  expect(endOf(server)).toBe('tb')
})

test.each([
  ['closes', ({ connection }: ManualConnection) => connection.close()],
  ['is drained', ({ connection }: ManualConnection) => connection.drain()],
])('a client that %s lets the others go on, and what it had made is gone', (_, end) => {
  const server = filled()
  const first = server.open('text')
  const second = server.open('text')
  const third = server.open('text')
  send(first, TEXT)
  send(second, TEXT)
  send(third, TEXT)
  end(third)
  round(first)
  end(first)
  while (round(first, second, third) > 0);
  expect(second.transport.output.toString()).toBe('STORED\r\n')
  expect(first.transport.writtenBytes + third.transport.writtenBytes).toBe(0)
  expect(endOf(server)).toBe('t')
})

test('a client that takes no replies holds nobody up, and begins anew when it does', () => {
  const server = filled()
  const first = server.open('text', { sendBufferBytesMax: 1 })
  const second = server.open('text')
  send(first, `mn\r\n${TEXT}`)
  expect(first.connection.stateName).toBe('conn_mwrite')
  send(second, TEXT)
  while (round(second, first) > 0);
  expect(second.transport.output.toString()).toBe('STORED\r\n')
  expect(first.transport.output.toString()).toBe('MN\r\n')
  first.transport.unsentBytes = 0
  first.connection.onDrained()
  while (round(first) > 0);
  expect(first.transport.output.toString()).toBe('MN\r\nSTORED\r\n')
  expect(endOf(server)).toBe('tt')
})

test('a client that waits and takes no replies goes on when it does', () => {
  const server = filled()
  const first = server.open('text')
  const second = server.open('text', { sendBufferBytesMax: 1 })
  send(first, TEXT)
  send(second, `mn\r\n${TEXT}`)
  expect(second.connection.stateName).toBe('conn_mwrite')
  while (round(first, second) > 0);
  expect(first.transport.output.toString()).toBe('STORED\r\n')
  expect(second.transport.output.toString()).toBe('MN\r\n')
  second.transport.unsentBytes = 0
  second.connection.onDrained()
  while (round(second) > 0);
  expect(second.transport.output.toString()).toBe('MN\r\nSTORED\r\n')
  expect(endOf(server)).toBe('tt')
})

test('a client that was called and finds the item changed once more is not left waiting', () => {
  const server = filled()
  const first = server.open('text')
  const second = server.open('text')
  send(first, TEXT)
  send(second, TEXT)
  while (second.deferred.length === 0) round(first)
  // Another worker makes the item small, and then large again, before it is appended to.
  vi.spyOn(server.commands, 'beginExtension').mockImplementationOnce(() => undefined)
  vi.spyOn(server.commands, 'execute').mockImplementationOnce(() => OUTCOME_CHANGED)
  while (round(second) > 0);
  expect(second.transport.output.toString()).toBe('STORED\r\n')
  expect(endOf(server)).toBe('tt')
})
