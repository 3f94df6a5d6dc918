/** Whose handshake is begun next, and one in a turn, with turns that the test moves. */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { connect } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { Peer } from '../../../../src/base/peer.ts'
import {
  type HandleOwner,
  type HandshakeStep,
  TlsHandshakes,
} from '../../../../src/server/net/tls-handshakes.ts'
import { tlsMaterial } from '../../../support/tls-material.ts'

/** Handshakes of which nothing comes. */
class Bench {
  readonly begun: string[] = []
  readonly handshakes: TlsHandshakes
  private readonly turns: HandshakeStep[] = []
  private ms = 0

  /** Each look at the clock takes so long. */
  constructor(workMs = 1) {
    const nowMs = (): number => {
      this.ms += workMs
      return this.ms
    }
    const defer = (step: HandshakeStep): void => void this.turns.push(step)
    this.handshakes = new TlsHandshakes(tlsMaterial(), { nowMs, after: () => undefined }, { defer })
  }

  add(name: string, address = name.charAt(0)): HandleOwner {
    const owner: HandleOwner = {
      verify: 'none',
      peer: new Peer(address, address),
      sentBytes: 0,
      isOver: false,
      shake: () => {
        this.begun.push(name)
        return false
      },
      readAnswer: () => undefined,
      stopAnswer: () => undefined,
      failed: () => undefined,
      destroy: () => undefined,
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

test('who owns a /48 has the turns of one, from however many of its /64s', () => {
  const bench = new Bench()
  for (let index = 0; index < 100; index++) {
    bench.add(`stranger ${index}`, `2001:db8:7:${index.toString(16)}::1`)
  }
  bench.add('client', '192.0.2.1')
  while (bench.runTurn());
  expect(bench.begun.slice(0, 3)).toEqual(['stranger 0', 'client', 'stranger 1'])
  expect(bench.begun).toHaveLength(101)
})

test('within a site its sources take turns', () => {
  const bench = new Bench()
  for (const name of ['a1', 'a2', 'a3']) bench.add(name, '2001:db8:7:a::1')
  bench.add('b1', '2001:db8:7:b::1')
  while (bench.runTurn());
  expect(bench.begun).toEqual(['a1', 'b1', 'a2', 'a3'])
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

test.each([
  ['is said of the next ones', 4, 4],
  ['is half a millisecond at least: hellos that fail at once say nothing of others', 0, 0.5],
  ['is some at most: a process that stood still says nothing either', 10_000, 16],
])('what a handshake took in the tick behind its step %s', async (_, workMs, takenForMs) => {
  const bench = new Bench(workMs)
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
      peer: new Peer('a', 'a'),
      sentBytes: 0,
      isOver: false,
      takeHello: () => bytes,
      secured: resolve,
      failed: resolve,
      destroy: () => undefined,
    })
  })
  bench.runTurn()
  expect(handshakes.takesMs).toBe(before)
  await end
  expect(handshakes.takesMs).toBeCloseTo(before + (takenForMs - before) / 8)
})
