/** Whose handshake is begun next, and one in a turn, with turns that the test moves. */
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { type HandshakeOwner, TlsHandshakes } from '../../../../src/server/net/tls-handshakes.ts'
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

/** Handshakes that only take their time: they come to sockets that are gone. */
class Bench {
  readonly begun: string[] = []
  readonly handshakes: TlsHandshakes
  private readonly turns: (() => void)[] = []

  constructor() {
    this.handshakes = new TlsHandshakes({
      material: MATERIAL,
      soon: (run) => this.turns.push(run),
    })
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
    turn?.()
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
