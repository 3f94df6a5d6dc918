import { expect, test } from 'vitest'
import type { Channel } from '../../../../src/base/channel.ts'
import type { AcceptedHandle } from '../../../../src/server/net/accepted-handle.ts'
import { HandleWriter } from '../../../../src/server/net/handle-writer.ts'
import { SocketNewcomer } from '../../../../src/server/net/socket-newcomer.ts'
import type { SocketParts } from '../../../../src/server/net/socket-transport.ts'

const ENOTCONN = -107
const TCP: Channel = { kind: 'tcp', listenerIndex: 0 }
const PARTS: SocketParts = {
  readBuffer: Buffer.alloc(0),
  sendBufferBytesMax: 0,
  writer: new HandleWriter(),
}

function newcomer(getpeername: AcceptedHandle['getpeername'], channel = TCP): SocketNewcomer {
  const handle = { close: () => undefined, ...(getpeername && { getpeername }) }
  return new SocketNewcomer(handle, channel, PARTS)
}

test.each([
  ['192.0.2.1', '192.0.2.1:4711', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1:4711', '192.0.2.1'],
  ['2001:db8::1', '[2001:db8::1]:4711', '2001:db8:0:0::/64'],
])('a peer at %s is named with its port, and belongs to its network', (address, text, network) => {
  let askedCount = 0
  const { peer } = newcomer((out) => {
    askedCount++
    Object.assign(out, { address, port: 4711 })
    return 0
  })
  expect(peer).toMatchObject({ text, network })
  expect(askedCount).toBe(1)
})

test('a peer on a Unix socket is told from one that has reset its TCP connection', () => {
  expect(newcomer(undefined, { kind: 'unix', listenerIndex: 1 }).peer.text).toBe('unix')
  expect(newcomer(() => ENOTCONN).peer.text).toBe('unknown')
})
