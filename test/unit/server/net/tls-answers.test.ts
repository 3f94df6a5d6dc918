/** Who is read in which turn, of those whose handshakes are under way; turns are moved by the test. */
import { expect, test } from 'vitest'
import { Peer } from '../../../../src/base/peer.ts'
import { type Answering, TlsAnswers } from '../../../../src/server/net/tls-answers.ts'

class Bench {
  /** Whether each is read. */
  readonly isRead: Map<string, boolean> = new Map()
  readonly owners: Map<string, Answering> = new Map()
  readonly turns: TlsAnswers[] = []
  readonly answers: TlsAnswers = new TlsAnswers({ defer: (step) => void this.turns.push(step) })

  add(...names: readonly string[]): void {
    for (const name of names) {
      const address = name.charAt(0)
      const owner: Answering = {
        peer: new Peer(address, address),
        pauseShaking: () => void this.isRead.set(name, false),
        goOnShaking: () => void this.isRead.set(name, true),
      }
      this.owners.set(name, owner)
      this.isRead.set(name, true)
      this.answers.await(owner)
    }
  }

  answer(...names: readonly string[]): void {
    for (const name of names) {
      this.answers.answered(this.owners.get(name)!)
      this.isRead.delete(name)
    }
  }

  leave(name: string): void {
    this.answers.leave(this.owners.get(name)!)
    this.isRead.delete(name)
  }

  runTurn(): boolean {
    return this.turns.shift()?.continueServing() ?? false
  }

  get read(): string[] {
    return [...this.isRead].filter(([, isRead]) => isRead).map(([name]) => name)
  }
}

async function nextTurn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

test('a few in each turn are read as they come, turn after turn', async () => {
  const bench = new Bench()
  bench.add('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'b1')
  for (const names of [['a1', 'a2', 'a3'], ['a4', 'a5'], ['a6']]) {
    bench.answer(...names)
    await nextTurn()
  }
  expect(bench.read).toEqual(['b1'])
  expect(bench.turns).toHaveLength(0)
})

test('once four were read in one turn the others have turns of their own, networks in turn', () => {
  const bench = new Bench()
  bench.add('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'b1')
  bench.answer('a1', 'a2', 'a3', 'a4')
  expect(bench.read).toEqual([])
  expect(bench.turns).toHaveLength(4)
  expect(bench.runTurn()).toBe(true)
  expect(bench.read).toEqual(['a5'])
  expect(bench.runTurn()).toBe(true)
  expect(bench.read).toEqual(['a5', 'b1'])
  bench.runTurn()
  bench.runTurn()
  expect(bench.read).toEqual(['a5', 'a6', 'a7', 'b1'])
  expect(bench.runTurn()).toBe(false)
})

test('who comes to it afterwards is read, until the next four in one turn', async () => {
  const bench = new Bench()
  bench.add('a1', 'a2', 'a3', 'a4', 'a5')
  bench.answer('a1', 'a2', 'a3', 'a4')
  bench.add('b1', 'b2', 'b3', 'b4', 'b5')
  expect(bench.read).toHaveLength(5)
  await nextTurn()
  bench.answer('b1', 'b2', 'b3')
  expect(bench.read).toHaveLength(2)
  bench.answer('b4')
  expect(bench.read).toEqual([])
  while (bench.runTurn());
  expect(bench.read).toEqual(['a5', 'b5'])
})

test('who has left has no turn, and counts for none', () => {
  const bench = new Bench()
  bench.add('a1', 'a2', 'a3', 'a4', 'a5', 'a6')
  bench.leave('a1')
  bench.answer('a1')
  bench.answer('a2', 'a3', 'a4')
  expect(bench.read).toEqual(['a5', 'a6'])
  bench.add('b1')
  bench.answer('b1')
  expect(bench.read).toEqual([])
  bench.leave('a5')
  bench.leave('a5')
  expect(bench.runTurn()).toBe(true)
  expect(bench.read).toEqual(['a6'])
  expect(bench.runTurn()).toBe(false)
})
