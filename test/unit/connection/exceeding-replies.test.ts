/** A write that has the connection given up, in the middle of what its turn does: nothing goes on behind it. */
import { expect, test } from 'vitest'
import type { LargeCopy } from '../../../src/command/transfers/large-copies.ts'
import type { Connection } from '../../../src/connection/connection.ts'
import { STATE_CLOSED } from '../../../src/connection/connection-state.ts'
import { COUNTER } from '../../../src/observe/counters.ts'
import type { ManualConnection } from '../../support/manual-connection.ts'
import { createManualServer, type ManualServer } from '../../support/manual-server.ts'

const MEBIBYTE = 1024 * 1024
const GATHERED_BYTES = 100
const PART_BYTES = 200_000

interface Bench {
  readonly server: ManualServer
  readonly peer: ManualConnection
  /** Times that the worker was told of the end. */
  readonly ends: () => number
  /** Unread replies of this connection. */
  readonly held: () => number
}

/** Others have left so much unread that the next reply is one too many, and some is gathered. */
function open(): Bench {
  const server = createManualServer({ replyBytesMax: 4 * MEBIBYTE })
  const others = 8 * MEBIBYTE
  server.replyMemory.hold(others, 0)
  const peer = server.open('text')
  let ends = 0
  peer.context.onClosed = () => {
    ends++
  }
  const version = Buffer.from('version\r\n')
  peer.transport.write = () => 0
  peer.connection.receive(version, version.length)
  peer.transport.write = (bytes) => {
    peer.transport.writtenBytes += bytes.length
    // As a pipe does that is not gone the moment it is dropped.
    peer.transport.unsentBytes += bytes.length
    return peer.transport.unsentBytes
  }
  server.sendBuffer.used = GATHERED_BYTES
  return {
    server,
    peer,
    ends: () => ends,
    held: () => server.lane[COUNTER.unread_reply_bytes]! - others,
  }
}

test.each<[string, (connection: Connection) => unknown]>([
  ['a large part', (connection) => connection.send(Buffer.alloc(PART_BYTES))],
  ['a lent buffer', (connection) => connection.sendLent(Buffer.alloc(PART_BYTES))],
  ['the end of the stream', (connection) => connection.drain()],
  ['a watch', (connection) => connection.watch()],
])(
  'replies that exceed their memory before %s end the connection once, and hold nothing',
  (_, act) => {
    const { peer, ends, held } = open()
    const { connection, transport } = peer
    act(connection)
    expect(connection.state).toBe(STATE_CLOSED)
    expect(transport.isOpen).toBe(false)
    expect(transport.writtenBytes).toBe(GATHERED_BYTES)
    expect(held()).toBe(0)
    connection.finish()
    expect(connection.state).toBe(STATE_CLOSED)
    expect(ends()).toBe(1)
  },
)

test('a copy is given back once, and not sent, where what is before it has the connection given up', () => {
  const { peer, held } = open()
  let backs = 0
  const copy = {
    withEnd: () => Buffer.alloc(PART_BYTES),
    giveBack: () => {
      backs++
    },
  } as unknown as LargeCopy
  peer.connection.sendCopy(copy, Buffer.from('\r\n'))
  expect(backs).toBe(1)
  expect(peer.transport.writtenBytes).toBe(GATHERED_BYTES)
  expect(held()).toBe(0)
})

test('what is written behind the end is held for nobody', () => {
  const { server, peer, held } = open()
  peer.connection.close()
  peer.connection.flush()
  expect(peer.transport.unsentBytes).toBe(GATHERED_BYTES)
  expect(held()).toBe(0)
  expect(server.sendBuffer.used).toBe(0)
})
