/** Whose handshake is begun next, and how many in a turn, with a clock and turns that the test moves. */
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
  nowMs = 0
  /** What a handshake takes. */
  costMs = 1
  readonly begun: string[] = []
  readonly handshakes: TlsHandshakes
  private turn: (() => void) | undefined

  constructor() {
    this.handshakes = new TlsHandshakes({
      material: MATERIAL,
      nowMs: () => this.nowMs,
      soon: (run) => {
        this.turn = run
      },
    })
  }

  add(name: string, network = name.charAt(0)): HandshakeOwner {
    const begin = (): boolean => {
      this.begun.push(name)
      this.nowMs += this.costMs
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

  /** A turn of the event loop in which all else took so long. False: none was wanted. */
  runTurn(othersMs = 0): boolean {
    const { turn } = this
    this.turn = undefined
    this.nowMs += othersMs
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

test('one is begun in a turn while nobody else needs time', () => {
  const bench = new Bench()
  for (const name of ['a1', 'a2', 'a3']) bench.add(name)
  bench.runTurn()
  expect(bench.begun).toEqual(['a1'])
  bench.runTurn()
  expect(bench.begun).toEqual(['a1', 'a2'])
})

test('in a turn they take as long as all else took, and never more than two milliseconds', () => {
  const bench = new Bench()
  bench.costMs = 0.25
  for (let index = 0; index < 40; index++) bench.add(`a${index}`)
  bench.runTurn()
  const before = bench.begun.length
  bench.runTurn(1)
  expect(bench.begun.length - before).toBe(4)
  const later = bench.begun.length
  bench.runTurn(1000)
  expect(bench.begun.length - later).toBe(8)
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
