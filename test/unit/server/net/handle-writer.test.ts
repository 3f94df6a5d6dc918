/**
 * Writes past stream.Writable, on real sockets: what a peer gets must not depend on whether this
 * release of Node lets them through.
 */
import { once } from 'node:events'
import net from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { UNKNOWN_PEER } from '../../../../src/base/peer.ts'
import type { Receiver } from '../../../../src/connection/transport.ts'
import type { AcceptedHandle } from '../../../../src/server/net/accepted-handle.ts'
import {
  HandleWriter,
  type LateWrite,
  type WritableHandle,
} from '../../../../src/server/net/handle-writer.ts'
import { SocketTransport } from '../../../../src/server/net/socket-transport.ts'

/** What a release of Node would be like that keeps its request objects to itself. */
class UnlearnedWriter extends HandleWriter {
  override learnFrom(): boolean {
    return false
  }
}

const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

/** Of what a transport tells its receiver, what comes of writing. */
class Drained implements Receiver {
  readonly intake = { nextRoom: () => undefined }
  count = 0
  private waiting: (() => void) | undefined

  onDrained(): void {
    this.count++
    this.waiting?.()
  }

  receive(): boolean {
    return true
  }

  heard(): void {}
  receiveEnd(): void {}
  finish(): void {}

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting = resolve
    })
  }
}

/** A transport over a real accepted socket, and the client at its other end. */
async function pair(
  writer: HandleWriter,
): Promise<{ transport: SocketTransport; client: net.Socket; drained: Drained }> {
  const server = net.createServer({ pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const listening = (
    server as unknown as {
      _handle: { onconnection: (status: number, handle: AcceptedHandle) => void }
    }
  )._handle
  const accepted = new Promise<AcceptedHandle>((resolve) => {
    listening.onconnection = (_, handle) => resolve(handle)
  })
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1')
  const transport = new SocketTransport(
    await accepted,
    { peer: UNKNOWN_PEER, channel: { kind: 'tcp', listenerIndex: 0 } },
    { readBuffer: Buffer.alloc(1024), sendBufferBytesMax: 1024, writer },
  )
  const drained = new Drained()
  transport.attach(drained)
  ends.push(() => {
    transport.destroy()
    client.destroy()
    server.close()
  })
  return { transport, client, drained }
}

async function receive(client: net.Socket, length: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let received = 0
  for await (const part of client) {
    parts.push(part)
    received += part.length
    if (received >= length) break
  }
  return Buffer.concat(parts)
}

const WRITERS = [
  ['to the handle', () => new HandleWriter()],
  ['ordinarily', () => new UnlearnedWriter()],
] as const

test.each(WRITERS)('small and large writes arrive in order when written %s', async (_, make) => {
  const { transport, client } = await pair(make())
  const written: Buffer[] = []
  for (let number = 0; number < 200; number++) {
    const bytes = Buffer.alloc(number % 50 === 49 ? 300_000 : 1 + number, number)
    written.push(bytes)
    transport.write(bytes)
  }
  const expected = Buffer.concat(written)
  expect((await receive(client, expected.length)).equals(expected)).toBe(true)
})

test.each(WRITERS)(
  'a reader that falls behind is reported and waited for when written %s',
  async (_, make) => {
    const { transport, client, drained } = await pair(make())
    client.pause()
    let length = 0
    let unsentBytes = 0
    while (unsentBytes < 1_000_000) {
      unsentBytes = transport.write(Buffer.alloc(100_000))
      length += 100_000
      expect(transport.unsentBytes).toBe(unsentBytes)
    }
    expect(drained.count).toBe(0)
    const next = drained.next()
    const received = receive(client, length)
    await next
    expect(transport.unsentBytes).toBe(0)
    expect((await received).length).toBe(length)
  },
)

test('after one ordinary write this release of Node lets writes through to the handle', async () => {
  const writer = new HandleWriter()
  const { transport, client } = await pair(writer)
  expect(writer.isReady).toBe(false)
  transport.write(Buffer.from('first'))
  expect(writer.isReady).toBe(true)
  transport.write(Buffer.from(' second'))
  expect((await receive(client, 12)).toString()).toBe('first second')
})

/** As Node's: used only by a write that the kernel does not take at once. */
class KnownRequest {
  asyncId = -1
  oncomplete?: (status: number) => void

  getAsyncId(): number {
    return this.asyncId
  }
}

class Late implements LateWrite {
  waits = 0
  readonly statuses: number[] = []

  onWriteWaits(): void {
    this.waits++
  }

  onWritten(status: number): void {
    this.statuses.push(status)
  }
}

test('a request object that is in use is not handed out again', () => {
  const requests: KnownRequest[] = []
  let isKernelFull = false
  class Handle {
    readonly writeQueueSize = 0

    writeBuffer(request: KnownRequest, _bytes: Uint8Array): number {
      expect(request.asyncId).toBe(-1)
      requests.push(request)
      if (isKernelFull) request.asyncId = requests.length
      return 0
    }
  }
  const handle = new Handle()
  const writer = new HandleWriter()
  writer.learnFrom(handle as never)
  handle.writeBuffer(new KnownRequest(), Buffer.from('x'))
  expect(writer.isReady).toBe(true)
  const late = new Late()
  for (isKernelFull of [false, false, true, true, false, false]) {
    writer.write(handle as never, Buffer.from('y'), late)
  }
  expect(late.waits).toBe(2)
  const [, first, second, third, fourth, fifth, sixth] = requests
  expect(first).toBe(second)
  expect(second).toBe(third)
  expect(fourth).not.toBe(third)
  expect(fifth).not.toBe(fourth)
  expect(sixth).toBe(fifth)
  fourth?.oncomplete?.(0)
  third?.oncomplete?.(-32)
  expect(late.statuses).toEqual([0, -32])
})

test.each([
  ['has no async id', class {}],
  [
    'has one before it is used',
    class {
      getAsyncId = (): number => 7
    },
  ],
])('a request object that %s leaves all writes ordinary', (_, Unknown) => {
  const handle = { writeQueueSize: 0, writeBuffer: () => 0 }
  const writer = new HandleWriter()
  writer.learnFrom(handle as never)
  ;(handle.writeBuffer as (...parameters: unknown[]) => number)(new Unknown(), Buffer.from('x'))
  expect(writer.isReady).toBe(false)
})

test('a handle without the calls that are needed leaves all writes ordinary', () => {
  const handle = { writeBuffer: () => 0 }
  const { writeBuffer } = handle
  new HandleWriter().learnFrom(handle)
  expect(handle.writeBuffer).toBe(writeBuffer)
})

/** As Node's from 26.10 on: made by the handle for a write that the kernel did not take whole. */
class ReturnedRequest {
  oncomplete: ((status: number) => void) | null = null
  buffer: Uint8Array | null = null
  writeStatus: number | null

  constructor(writeStatus: number | null) {
    this.writeStatus = writeStatus
  }
}

test('requests that the handle returns are waited for, unless they have ended already', () => {
  const results: (number | ReturnedRequest)[] = []
  class Handle {
    readonly writeQueueSize = 0

    writeBuffer(request: unknown, _bytes: Uint8Array): number | ReturnedRequest {
      expect(request).toBe(null)
      return results.shift() ?? 0
    }
  }
  const handle = new Handle()
  let unsupportedCount = 0
  const writer = new HandleWriter(() => unsupportedCount++)
  writer.learnFrom(handle as never)
  expect(handle.writeBuffer(null, Buffer.from('x'))).toBe(0)
  writer.endLearning(handle as never)
  expect(writer.isReady).toBe(true)
  const late = new Late()
  const [waiting, failing] = [new ReturnedRequest(null), new ReturnedRequest(null)]
  results.push(0, -32, waiting, failing, new ReturnedRequest(0), new ReturnedRequest(-104))
  const bytes = Buffer.from('y')
  const statuses = results.map(() => 0).map(() => writer.write(handle as never, bytes, late))
  expect(statuses).toEqual([0, -32, 0, 0, 0, -104])
  expect(late.waits).toBe(2)
  expect(waiting.buffer).toBe(bytes)
  failing.oncomplete?.(-104)
  waiting.oncomplete?.(0)
  expect(late.statuses).toEqual([-104, 0])
  expect(unsupportedCount).toBe(0)
})

test.each([
  ['passes null and gets nothing', null, undefined],
  ['passes null and gets another object', null, {}],
  ['passes a request and gets another object', new KnownRequest(), {}],
  ['passes a plain object', {}, 0],
])(
  'a stream layer that %s leaves all writes ordinary, and it is said once',
  (_, request, result) => {
    const handle = { writeQueueSize: 0, writeBuffer: (..._: unknown[]) => result }
    let unsupportedCount = 0
    const writer = new HandleWriter(() => unsupportedCount++)
    expect(writer.learnFrom(handle as never)).toBe(true)
    handle.writeBuffer(request, Buffer.from('x'))
    expect(writer.isReady).toBe(false)
    expect(unsupportedCount).toBe(1)
    expect(writer.learnFrom(handle as never)).toBe(false)
    expect(unsupportedCount).toBe(1)
  },
)

test('a stream layer that writes without the handle call leaves all writes ordinary', () => {
  class Handle {
    readonly writeQueueSize = 0
    writeBuffer(): number {
      return 0
    }
  }
  const handle = new Handle()
  let unsupportedCount = 0
  const writer = new HandleWriter(() => unsupportedCount++)
  expect(writer.learnFrom(handle as never)).toBe(true)
  writer.endLearning(handle)
  expect(Object.hasOwn(handle, 'writeBuffer')).toBe(false)
  expect(unsupportedCount).toBe(1)
})

describe('a write whose end is told only to who asks', () => {
  /** A handle that takes every write late, as a TLS handle does. */
  function lateHandle(): {
    handle: WritableHandle
    requests: KnownRequest[]
    writer: HandleWriter
  } {
    const requests: KnownRequest[] = []
    class Handle {
      readonly writeQueueSize = 0

      writeBuffer(request: KnownRequest, _bytes: Uint8Array): number {
        request.asyncId = requests.push(request)
        return 0
      }
    }
    const handle = new Handle()
    const writer = new HandleWriter()
    writer.learnFrom(handle as never)
    handle.writeBuffer(new KnownRequest(), Buffer.from('x'))
    return { handle: handle as never, requests, writer }
  }

  test('is under way until it has ended, and nothing is called then', () => {
    const { handle, requests, writer } = lateHandle()
    const request = writer.begin(handle, Buffer.from('y'))
    if (typeof request === 'number') throw new Error(`ended with ${request}`)
    expect(writer.isUnderWay(request)).toBe(true)
    expect(requests[1]?.oncomplete).toBeUndefined()
    requests[1]!.asyncId = -1
    expect(writer.isUnderWay(request)).toBe(false)
  })

  test('is told of when it was asked for meanwhile, with its status', () => {
    const { handle, requests, writer } = lateHandle()
    const late = new Late()
    const request = writer.begin(handle, Buffer.from('y'))
    if (typeof request === 'number') throw new Error(`ended with ${request}`)
    writer.tellEnd(request, late)
    requests[1]!.oncomplete?.(-32)
    expect(late.statuses).toEqual([-32])
  })

  test.each([
    ['with a status', -32, -32],
    ['without one', 0, -4095],
  ])('that failed at once, %s, is its status', (_, status, expected) => {
    const { writer } = lateHandle()
    const handle = { writeQueueSize: 0, writeBuffer: () => status }
    expect(writer.begin(handle, Buffer.from('y'))).toBe(expected)
  })

  test('may be a request that the handle returns', () => {
    class AsyncRequest extends ReturnedRequest {
      asyncId = 5

      getAsyncId(): number {
        return this.asyncId
      }
    }
    const [waiting, ended] = [new AsyncRequest(null), new AsyncRequest(-104)]
    const results: (number | AsyncRequest)[] = [0, waiting, ended]
    const handle = { writeQueueSize: 0, writeBuffer: () => results.shift() ?? 0 }
    const { writeBuffer } = handle
    const writer = new HandleWriter()
    writer.learnFrom(handle as never)
    ;(handle.writeBuffer as (...parameters: unknown[]) => unknown)(null, Buffer.from('x'))
    handle.writeBuffer = writeBuffer
    expect(writer.begin(handle as never, Buffer.from('y'))).toBe(waiting)
    expect(writer.isUnderWay(waiting)).toBe(true)
    expect(writer.begin(handle as never, Buffer.from('y'))).toBe(-104)
  })
})
