/**
 * Many clients of a TLS listener who do the same at one moment, on real sockets: whoever is logged in is to wait for a few of
 * them at a time. Turns are moved by the test.
 */
import { once } from 'node:events'
import tls from 'node:tls'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { GARBAGE, LEAVES, nextTurn, type ServedTls, TlsBench } from '../../../support/tls-bench.ts'

const bench = new TlsBench()
const hello = await bench.clientHello()

afterEach(() => bench.end())
afterAll(() => {
  expect(bench.handshakes.waitingCount).toBe(0)
  expect(bench.handshakes.answers.size).toBe(0)
})

/** A client that has come so far, and what it is told of when it goes. */
const PHASES: readonly [phase: string, told: string, come: () => Promise<ServedTls>][] = [
  [
    'that have said nothing',
    'finish',
    async () => {
      const come = await bench.served(new Uint8Array(0))
      await nextTurn()
      return come
    },
  ],
  ['in the middle of their hello', 'finish', async () => await bench.served(hello.subarray(0, 20))],
  [
    'whose handshakes wait',
    'finish',
    async () => {
      const come = await bench.served(hello)
      await come.recorder.until('heard')
      return come
    },
  ],
  [
    'in the middle of their handshakes',
    'finish',
    async () => {
      const come = await bench.served(hello)
      await come.recorder.until('heard')
      bench.giveTurns()
      await once(come.socket, 'data')
      return come
    },
  ],
  ['that could log in now', 'end', async () => await bench.secured(false)],
]

test('many that end their handshakes at one moment are read in turns, and all are served', async () => {
  const clients = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const [handle, socket] = await bench.accept(false)
      const served = bench.serve(handle)
      const client = tls.connect({ socket, rejectUnauthorized: false })
      client.on('error', () => undefined)
      await served.recorder.until('heard')
      return { ...served, client }
    }),
  )
  const countOpen = (): number => clients.filter(({ transport }) => transport.channel.tls).length
  bench.giveTurns()
  let most = 0
  while (countOpen() < clients.length) {
    const before = countOpen()
    await nextTurn()
    most = Math.max(most, countOpen() - before)
    bench.giveTurns()
  }
  expect(most).toBeGreaterThan(0)
  expect(most).toBeLessThanOrEqual(4)
  expect(bench.handshakes.answers.size).toBe(0)
  for (const { client, recorder } of clients) {
    client.write('x')
    await recorder.until('bytes')
  }
})

test('many that send at one moment a part of what ends their handshakes are read in turns as well', async () => {
  const clients = await Promise.all(Array.from({ length: 20 }, () => bench.served(hello)))
  for (const { recorder } of clients) await recorder.until('heard')
  bench.giveTurns()
  for (const { socket } of clients) await once(socket, 'data')
  const countRead = (): number =>
    clients.filter(({ transport }) => transport.receivedBytes > hello.length).length
  for (const { socket } of clients) socket.write(Uint8Array.of(0x16, 3, 3))
  let most = 0
  while (countRead() < clients.length) {
    const before = countRead()
    await nextTurn()
    most = Math.max(most, countRead() - before)
    bench.giveTurns()
  }
  expect(most).toBeLessThanOrEqual(4)
})

describe.each(PHASES)('many %s', (_, told, come) => {
  test.each(LEAVES)('where each %s at one moment end one in each turn', async (_how, leave) => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => come()))
    const countEnded = (): number =>
      clients.filter(({ recorder }) => recorder.hasHeard(told) || recorder.hasHeard('finish'))
        .length
    await nextTurn()
    const countBegun = (): number => bench.turns.filter((turn) => turn === bench.handshakes).length
    const begunBefore = countBegun()
    bench.holdsEnds = true
    for (const { socket } of clients) leave(socket)
    while (bench.endings.length < clients.length && countEnded() === 0) await nextTurn()
    for (let count = 0; count < 5; count++) await nextTurn()
    expect(countEnded()).toBe(0)
    expect(bench.endings).toHaveLength(clients.length)
    expect(countBegun()).toBe(begunBefore)
    // Who has left costs no handshake, also where its turn comes before its end.
    const wrote = clients.map(({ transport }) => transport.sentBytes)
    bench.giveTurns()
    await nextTurn()
    expect(clients.map(({ transport }) => transport.sentBytes)).toEqual(wrote)
    for (let ended = 1; ended <= clients.length; ended++) {
      bench.endings[ended - 1]!()
      while (countEnded() < ended) await nextTurn()
      for (let count = 0; count < 5; count++) await nextTurn()
      expect(countEnded()).toBe(ended)
    }
  })
})

describe.each(PHASES.slice(-2))('many %s', (_, _told, come) => {
  test('that send at one moment what OpenSSL refuses end one in each turn', async () => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => come()))
    const countEnded = (): number =>
      clients.filter(({ recorder }) => recorder.hasHeard('finish')).length
    bench.holdsEnds = true
    for (const { socket } of clients) socket.write(GARBAGE)
    while (bench.endings.length < clients.length && countEnded() === 0) {
      bench.giveTurns()
      await nextTurn()
    }
    // What comes behind is not read.
    const read = clients.map(({ transport }) => transport.receivedBytes)
    for (const { transport, socket } of clients) {
      socket.write(GARBAGE)
      transport.resume()
    }
    for (let count = 0; count < 20; count++) await nextTurn()
    expect(clients.map(({ transport }) => transport.receivedBytes)).toEqual(read)
    expect(countEnded()).toBe(0)
    expect(bench.endings).toHaveLength(clients.length)
    for (let ended = 1; ended <= clients.length; ended++) {
      bench.endings[ended - 1]!()
      while (countEnded() < ended) await nextTurn()
      for (let count = 0; count < 5; count++) await nextTurn()
      expect(countEnded()).toBe(ended)
    }
  })
})
