/** Whose handshake is begun next, and one in a turn, with turns that the test moves. */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { connect } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import {
  type HandshakeOwner,
  type HandshakeStep,
  TlsHandshakes,
} from '../../../../src/server/net/tls-handshakes.ts'
import type { TlsMaterial } from '../../../../src/server/net/tls-material.ts'

const MATERIAL: TlsMaterial = {
  identities: [],
  ca: undefined,
  crl: undefined,
  ticketKeys: new Uint8Array(48),
  minVersion: 'TLSv1.2',
  ciphers: undefined,
  verifyMode: 0,
  generation: 1,
  loadedAtSeconds: 0,
}

const WORK_MS = 4

/** Handshakes that only take their time: they come to sockets that are gone. */
class Bench {
  readonly begun: string[] = []
  readonly handshakes: TlsHandshakes
  private readonly turns: HandshakeStep[] = []
  private ms = 0

  constructor() {
    // Each look at the clock takes as long as WORK_MS.
    const nowMs = (): number => {
      this.ms += WORK_MS
      return this.ms
    }
    const defer = (step: HandshakeStep): void => void this.turns.push(step)
    this.handshakes = new TlsHandshakes(MATERIAL, { nowMs }, { defer })
  }

  add(name: string, network = name.charAt(0)): HandshakeOwner {
    const begin = (): boolean => {
      this.begun.push(name)
      return true
    }
    const socket = {
      get destroyed() {
        return begin()
      },
    } as Socket
    const owner: HandshakeOwner = {
      socket,
      verify: 'none',
      network,
      takeHello: () => new Uint8Array(0),
      secured: () => undefined,
      failed: () => undefined,
    }
    this.handshakes.enqueue(owner)
    return owner
  }

  /** One of the turns that were asked for. False: there was none. */
  runTurn(): boolean {
    const turn = this.turns.shift()
    turn?.continueServing()
    return turn !== undefined
  }
}

test('networks take turns, and within one who came first is first', () => {
  const bench = new Bench()
  for (const name of ['a1', 'a2', 'a3', 'a4', 'b1', 'c1', 'b2']) bench.add(name)
  while (bench.runTurn());
  expect(bench.begun).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4'])
  expect(bench.handshakes.waitingCount).toBe(0)
})

test('each has a turn of its own', () => {
  const bench = new Bench()
  for (const name of ['a1', 'a2', 'a3']) bench.add(name)
  bench.runTurn()
  expect(bench.begun).toEqual(['a1'])
  bench.runTurn()
  expect(bench.begun).toEqual(['a1', 'a2'])
})

test('who has gone is not begun, and leaves no line behind', () => {
  const bench = new Bench()
  const first = bench.add('a1')
  const second = bench.add('a2')
  bench.add('b1')
  bench.handshakes.leave(first)
  bench.handshakes.leave(second)
  bench.handshakes.leave(second)
  expect(bench.handshakes.waitingCount).toBe(1)
  while (bench.runTurn());
  expect(bench.begun).toEqual(['b1'])
})

test('what a handshake took in the tick behind its step is said of the next ones', async () => {
  const bench = new Bench()
  const { handshakes } = bench
  const before = handshakes.takesMs
  const server = createServer({ pauseOnConnect: true })
  onTestFinished(() => void server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { readonly port: number }
  const client = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  client.on('error', () => undefined)
  onTestFinished(() => void client.destroy())
  const [socket] = (await once(server, 'connection')) as [Socket]
  const hello = once(socket, 'data') as Promise<[Buffer]>
  socket.resume()
  const [bytes] = await hello
  socket.pause()
  // Without a certificate it comes to nothing, which takes its time as well.
  const end = new Promise((resolve) => {
    handshakes.enqueue({
      socket,
      verify: 'none',
      network: 'a',
      takeHello: () => bytes,
      secured: resolve,
      failed: resolve,
    })
  })
  bench.runTurn()
  expect(handshakes.takesMs).toBe(before)
  await end
  expect(handshakes.takesMs).toBeGreaterThan(before)
  expect(handshakes.takesMs).toBeLessThan(WORK_MS)
})
