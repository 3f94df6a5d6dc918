/**
 * Clients of a TLS listener that go, on real sockets: in each phase of their connection they must be noticed then, not
 * when a deadline has passed. Turns for handshakes are moved by the test.
 */
import { once } from 'node:events'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { RECORD_BYTES_MIN, ROW_BYTES_MAX } from '../../../../src/server/net/read-row.ts'
import type { TlsHandleTransport } from '../../../../src/server/net/tls-handle-transport.ts'
import { isReset, LEAVES, nextTurn, TlsBench } from '../../../support/tls-bench.ts'
import { HANDSHAKE, plainRecord } from '../../../support/tls-records.ts'

const bench = new TlsBench()
const hello = await bench.clientHello()

afterEach(() => bench.end())
afterAll(() => {
  expect(bench.handshakes.waitingCount).toBe(0)
  expect(bench.handshakes.answers.size).toBe(0)
})

describe.each([
  ['a handle', false],
  ['a socket of Node', true],
])('accepted as %s, a client that', (_, asSocket) => {
  test.each(LEAVES)('%s before its hello is whole is noticed', async (how, leave) => {
    const [handle, client] = await bench.accept(asSocket)
    const { transport, recorder } = bench.serve(handle)
    client.write(hello.subarray(0, 20))
    while (transport.receivedBytes < 20) await nextTurn()
    leave(client)
    await recorder.until('finish')
    expect(bench.failures.at(-1)).toBe(how === 'resets it' ? 'ECONNRESET' : 'not-finished')
  })

  test.each(LEAVES)(
    '%s while its handshake waits is noticed, and costs no handshake',
    async (_how, leave) => {
      const [handle, client] = await bench.accept(asSocket)
      const { recorder } = bench.serve(handle)
      client.write(hello)
      await recorder.until('heard')
      leave(client)
      await recorder.until('finish')
      expect(bench.handshakes.waitingCount).toBe(0)
      bench.giveTurns()
    },
  )

  test.each(LEAVES)('%s in the middle of the handshake is noticed', async (_how, leave) => {
    const [handle, client] = await bench.accept(asSocket)
    const { recorder } = bench.serve(handle)
    client.write(hello)
    await recorder.until('heard')
    bench.giveTurns()
    await once(client, 'data')
    leave(client)
    await recorder.until('finish')
    expect(bench.failures.at(-1)).toBe('ECONNRESET')
  })

  test('sends its hello in two records waits for no turn before the second', async () => {
    const [handle, client] = await bench.accept(asSocket)
    const { transport, recorder } = bench.serve(handle)
    const [first, second] = [hello.subarray(5, 10), hello.subarray(10)].map((content) =>
      plainRecord(HANDSHAKE, content, 0x0301),
    ) as [Buffer, Buffer]
    client.write(first)
    while (transport.receivedBytes < first.length) await nextTurn()
    await nextTurn()
    expect(bench.handshakes.waitingCount).toBe(0)
    client.write(second)
    await recorder.until('heard')
    expect(bench.handshakes.waitingCount).toBe(1)
    bench.giveTurns()
    const [answer] = (await once(client, 'data')) as [Buffer]
    expect(answer[0]).toBe(HANDSHAKE)
  })

  test('claims a hello that is longer than any is dropped, and costs no handshake', async () => {
    const [handle, client] = await bench.accept(asSocket)
    const { recorder } = bench.serve(handle)
    // 131 396 bytes, for which OpenSSL takes the room.
    client.write(plainRecord(HANDSHAKE, Uint8Array.of(1, 2, 1, 0x44), 0x0301))
    await recorder.until('finish')
    expect(bench.failures.at(-1)).toBe('not-a-client-hello')
    expect(bench.turns).toHaveLength(0)
  })

  test('sends more than a hello while it waits is served all the same', async () => {
    const [handle, client] = await bench.accept(asSocket)
    const { recorder } = bench.serve(handle)
    client.write(hello)
    await recorder.until('heard')
    // An alert that it closes, say: it is part of what the handshake begins with.
    client.write(Buffer.from([0x15, 3, 3, 0, 2, 1, 0]))
    bench.giveTurns()
    await recorder.until('finish')
    expect(bench.failures.at(-1)).toBe('ECONNRESET')
  })

  test('sends without end while it waits is dropped', async () => {
    const [handle, client] = await bench.accept(asSocket)
    const { recorder } = bench.serve(handle)
    client.write(hello)
    await recorder.until('heard')
    client.write(Buffer.alloc(64 * 1024))
    await recorder.until('finish')
    expect(bench.failures.at(-1)).toBe('not-a-client-hello')
    bench.giveTurns()
  })

  test('sends each byte in a record of its own while it is not read has them passed on as one', async () => {
    const { transport, recorder, client, socket } = await bench.secured(asSocket)
    recorder.readsOn = false
    const digits = Array.from({ length: 1000 }, (_, index) => String(index % 10))
    socket.cork()
    for (const digit of digits) client.write(digit)
    socket.uncork()
    while (recorder.received.length < 2) await nextTurn()
    // What had come with the first of them is here by then.
    for (let count = 0; count < 5; count++) await nextTurn()
    recorder.readsOn = true
    const before = recorder.receiveCount
    transport.resume()
    while (recorder.received.length < 1 + digits.length) await nextTurn()
    expect(recorder.received).toBe(`x${digits.join('')}`)
    // Node's own buffers hand on what they were given.
    if (!asSocket) expect(recorder.receiveCount - before).toBeLessThan(digits.length / 2)
  })

  test('never pauses, with a thousand small records, lets others have their turn', async () => {
    const { recorder, client } = await bench.secured(asSocket)
    const [recordBytes, records] = [512, 1024]
    const wantedBytes = recorder.received.length + recordBytes * records
    let [row, longest] = [0, 0]
    const receive = recorder.receive.bind(recorder)
    recorder.receive = (...args) => {
      longest = Math.max(longest, ++row)
      return receive(...args)
    }
    expect(client.setMaxSendFragment(recordBytes)).toBe(true)
    client.write(Buffer.alloc(recordBytes * records, 'z'))
    while (recorder.received.length < wantedBytes) {
      await nextTurn()
      row = 0
    }
    expect(recorder.received).toHaveLength(wantedBytes)
    expect(longest).toBeGreaterThan(1)
    // What was decrypted all the same comes as one, before the others' turn has begun.
    expect(longest).toBeLessThanOrEqual(ROW_BYTES_MAX / RECORD_BYTES_MIN + 1)
  })

  test('resets its connection has sent no end', async () => {
    const { recorder, socket } = await bench.secured(asSocket)
    socket.resetAndDestroy()
    await recorder.until('finish')
    expect(recorder.hasHeard('end')).toBe(false)
  })

  test('ends its stream while it is not read is told of behind what it said', async () => {
    const { transport, recorder, client } = await bench.secured(asSocket)
    recorder.readsOn = false
    recorder.received = ''
    client.end('last')
    while (recorder.received !== 'last') await nextTurn()
    expect(isReset(transport)).toBe(false)
    recorder.readsOn = true
    transport.resume()
    await recorder.until('end')
    transport.end()
    expect(isReset(transport)).toBe(false)
    await recorder.until('finish')
    expect(isReset(transport)).toBe(false)
  })
})

test('a client that resets its connection while it is not read is lost', async () => {
  const { transport, recorder, client, socket } = await bench.secured(false)
  recorder.readsOn = false
  recorder.received = ''
  client.write('last')
  while (recorder.received !== 'last') await nextTurn()
  expect(isReset(transport)).toBe(false)
  socket.resetAndDestroy()
  while (!isReset(transport)) await nextTurn()
})

/** A client who has said ten digits and goodbye at one moment, of which the first is to be the last that is read. */
async function unread() {
  const secured = await bench.secured(false)
  const { recorder, client, socket } = secured
  recorder.readsOn = false
  recorder.received = ''
  socket.cork()
  for (const digit of '0123456789') client.write(digit)
  client.end()
  socket.uncork()
  return secured
}

describe('served right from its handle, a client that', () => {
  test('says goodbye is told so, too', async () => {
    const { recorder, client, socket, transport } = await bench.secured(false)
    const ended = once(client, 'end')
    client.end()
    await recorder.until('end')
    transport.write(Buffer.from('last'))
    await once(client, 'data')
    const before = socket.bytesRead
    transport.destroy()
    await Promise.all([ended, recorder.until('finish')])
    // A record with an alert.
    expect(socket.bytesRead - before).toBe(24)
  })

  test('is sent a large reply gets all of it, and the end behind it', async () => {
    const { recorder, client, transport } = await bench.secured(false)
    const large = Buffer.alloc(3_000_000, 'r')
    client.pause()
    expect(transport.write(large)).toBeGreaterThan(0)
    expect(transport.write(Buffer.from('and more'))).toBeGreaterThan(0)
    transport.end()
    let receivedBytes = 0
    client.on('data', (chunk: Buffer) => {
      receivedBytes += chunk.length
    })
    client.resume()
    await Promise.all([once(client, 'end'), recorder.until('drained')])
    expect(receivedBytes).toBe(large.length + 'and more'.length)
    client.end()
    await recorder.until('finish')
  })

  test('ends behind what was decrypted while it was not read is told of both, in order', async () => {
    const { recorder, transport } = await unread()
    while (recorder.received === '') await nextTurn()
    for (let count = 0; count < 20; count++) await nextTurn()
    expect(recorder.received).toBe('0')
    expect(recorder.hasHeard('end')).toBe(false)
    recorder.readsOn = true
    transport.resume()
    await recorder.until('end')
    expect(recorder.received).toBe('0123456789')
  })

  test('ends behind that, is told of it also where the receiver stops once more', async () => {
    const { recorder, transport } = await unread()
    for (let count = 0; count < 50; count++) await nextTurn()
    transport.resume()
    while (recorder.received !== '0123456789') await nextTurn()
    expect(recorder.hasHeard('end')).toBe(false)
    transport.resume()
    await recorder.until('end')
  })

  test('is gone behind its goodbye has an end, also where replies to it wait', async () => {
    const { recorder, client, socket, transport } = await bench.secured(false)
    client.end()
    await recorder.until('end')
    socket.resetAndDestroy()
    for (let count = 0; count < 10; count++) await nextTurn()
    // Of the first of these the kernel says that there is nobody, or of the second.
    for (let count = 0; count < 3; count++) {
      transport.write(Buffer.alloc(100_000))
      await nextTurn()
    }
    transport.end()
    await recorder.until('finish')
  })

  test('reads nothing in the hello and then sends it all has one handshake', async () => {
    const [handle, client] = await bench.accept(false)
    const { transport, recorder } = bench.serve(handle)
    client.write(hello.subarray(0, 20))
    while (transport.receivedBytes < 20) await nextTurn()
    bench.holdsEnds = true
    // As where the kernel has nothing after all (EAGAIN).
    ;(transport as TlsHandleTransport).onRead()
    client.write(hello.subarray(20))
    await recorder.until('heard')
    for (const end of bench.endings.splice(0)) end()
    expect(bench.handshakes.waitingCount).toBe(1)
    bench.giveTurns()
    expect(bench.handshakes.waitingCount).toBe(0)
    const [answer] = (await once(client, 'data')) as [Buffer]
    expect(answer[0]).toBe(HANDSHAKE)
  })

  test('is over says no more of its session', async () => {
    const { recorder, client, transport } = await bench.secured(false)
    const { tls: channel } = transport.channel
    expect(channel?.exporter()).toHaveLength(32)
    client.destroy()
    await recorder.until('end')
    transport.destroy()
    await recorder.until('finish')
    expect(channel?.exporter()).toBeUndefined()
    expect(channel?.localCertificate).toBeUndefined()
    expect(transport.write(Buffer.from('x'))).toBe(0)
    expect(transport.unsentBytes).toBe(0)
    transport.resume()
    transport.end()
    transport.destroy()
  })
})
