import { Socket } from 'node:net'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { sourceSite } from '../../../../src/base/source-network.ts'
import { HelloTurns } from '../../../../src/server/http/hello-turns.ts'

/** Longer than any test. */
const WAIT_MS = 600_000
/** A record of a handshake that has an empty ClientHello. */
const HELLO = Buffer.of(0x16, 3, 1, 0, 4, 1, 0, 0, 0)

let begun: string[] = []
let names: Map<Socket, string>
let turns: HelloTurns

beforeEach(() => {
  begun = []
  names = new Map()
  turns = turnsWithin(WAIT_MS)
})

afterEach(() => {
  for (const socket of names.keys()) socket.destroy()
})

function turnsWithin(waitMs: number): HelloTurns {
  return new HelloTurns({ begin: (socket) => begun.push(names.get(socket) ?? ''), waitMs })
}

function accept(name: string, source: string): Socket {
  const socket = new Socket()
  names.set(socket, name)
  turns.add(socket, { site: sourceSite(source), network: source })
  return socket
}

function hear(name: string, source: string): Socket {
  const socket = accept(name, source)
  socket.push(HELLO)
  return socket
}

/** A turn of the event loop, with what the turn before put off. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

test('one handshake is begun a turn, and sites have them by turns, however many sources one has', async () => {
  for (const index of [1, 2, 3]) hear(`a${index}`, `2001:db8:1:${index}::/64`)
  hear('b', '192.0.2.1')
  hear('c', '192.0.2.2')
  await turn()
  for (let count = 1; count <= 5; count++) {
    await turn()
    expect(begun.length).toBeLessThanOrEqual(count + 1)
  }
  await vi.waitUntil(() => begun.length === 5)
  expect(begun).toEqual(['a1', 'b', 'c', 'a2', 'a3'])
})

test('a hello is waited for until it is whole, and read again with what came behind it', async () => {
  const socket = accept('a', '192.0.2.1')
  for (const byte of HELLO.subarray(0, -1)) {
    socket.push(Buffer.of(byte))
    await turn()
  }
  expect(begun).toEqual([])
  socket.push(HELLO.subarray(-1))
  socket.push(Buffer.from('behind'))
  await vi.waitUntil(() => begun.length === 1)
  expect(socket.read()).toEqual(Buffer.concat([HELLO, Buffer.from('behind')]))
})

test('who has gone, says no hello, or says too much of one, is begun nothing with', async () => {
  const gone = hear('gone', '192.0.2.1')
  await vi.waitUntil(() => gone.listenerCount('data') === 1)
  gone.destroy()
  const plain = accept('plain', '192.0.2.1')
  plain.push(Buffer.from('GET /live HTTP/1.1\r\n'))
  const long = hear('long', '192.0.2.2')
  long.push(Buffer.alloc(64 * 1024))
  await vi.waitUntil(() => plain.destroyed && long.destroyed)
  hear('next', '192.0.2.3')
  await vi.waitUntil(() => begun.length > 0)
  expect(begun).toEqual(['next'])
})

test('who says nothing is closed when its time is over', async () => {
  turns = turnsWithin(1)
  const socket = accept('a', '192.0.2.1')
  await vi.waitUntil(() => socket.destroyed)
})
