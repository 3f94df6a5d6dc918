/** Who is read at a time, of those whose handshakes are under way; turns and time are moved by the test. */
import { expect, test } from 'vitest'
import { Peer } from '../../../../src/base/peer.ts'
import { type Answering, TlsAnswers } from '../../../../src/server/net/tls-answers.ts'

class Bench {
  readonly turns: TlsAnswers[] = []
  readonly timers: (() => void)[] = []
  readonly answers: TlsAnswers = new TlsAnswers(
    { defer: (step) => void this.turns.push(step) },
    (_, run) => void this.timers.push(run),
  )
  private readonly owners: Map<string, Answering> = new Map()
  private readonly reading: Set<string> = new Set()

  add(...names: readonly string[]): void {
    for (const name of names) {
      const address = name.charAt(0)
      const owner: Answering = {
        peer: new Peer(address, address),
        readAnswer: () => void this.reading.add(name),
        stopAnswer: () => void this.reading.delete(name),
      }
      this.owners.set(name, owner)
      this.answers.add(owner)
    }
  }

  remove(...names: readonly string[]): void {
    for (const name of names) {
      this.reading.delete(name)
      this.answers.remove(this.owners.get(name)!)
    }
  }

  /** Has time pass: who is read gives way after one round, or two. */
  passRounds(count: number): void {
    for (let passed = 0; passed < count; passed++) for (const end of this.timers.splice(0)) end()
  }

  runTurn(): boolean {
    return this.turns.shift()?.continueServing() ?? false
  }

  get read(): string {
    return [...this.reading].sort().join(' ')
  }
}

test('a few are read as soon as they are there, and for as long as nobody waits', () => {
  const bench = new Bench()
  bench.add('a1', 'a2', 'a3', 'a4')
  bench.passRounds(10)
  expect(bench.read).toBe('a1 a2 a3 a4')
  bench.remove('a1')
  bench.add('a5')
  expect(bench.read).toBe('a2 a3 a4 a5')
  expect(bench.turns).toHaveLength(0)
  expect(bench.timers).toHaveLength(0)
})

test('who comes to its end makes room for the next, in a turn that strangers have', () => {
  const bench = new Bench()
  bench.add('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'b1')
  bench.remove('a1', 'a2')
  expect(bench.read).toBe('a3 a4')
  expect(bench.turns).toHaveLength(2)
  expect(bench.runTurn()).toBe(true)
  expect(bench.read).toBe('a3 a4 a5')
  // Sites take turns.
  expect(bench.runTurn()).toBe(true)
  expect(bench.read).toBe('a3 a4 a5 b1')
  bench.remove('a6', 'b1')
  expect(bench.turns).toHaveLength(0)
  expect(bench.read).toBe('a3 a4 a5')
})

test('who says nothing gives way to who waits, and has its turn again', () => {
  const bench = new Bench()
  bench.add('a1', 'a2', 'a3', 'a4', 'a5', 'a6')
  const seen = new Map<string, number>()
  for (let round = 0; round < 60; round++) {
    const names = bench.read.split(' ')
    expect(names).toHaveLength(4)
    for (const name of names) seen.set(name, (seen.get(name) ?? 0) + 1)
    bench.passRounds(1)
  }
  expect(seen.size).toBe(6)
  expect(Math.min(...seen.values())).toBeGreaterThan(20)
})

test('a client is read soon beside a crowd of another site, however large that is', () => {
  const bench = new Bench()
  bench.add(...Array.from({ length: 600 }, (_, index) => `a${index}`), 'b1')
  bench.passRounds(6)
  expect(bench.read).toMatch(/\bb1\b/)
})

test('who has not been read yet does not wait for a crowd of the same site that is silent', () => {
  const bench = new Bench()
  bench.add(...Array.from({ length: 600 }, (_, index) => `a${index}`))
  bench.passRounds(1000)
  bench.add('a600')
  bench.passRounds(1)
  expect(bench.read).toMatch(/\ba600\b/)
})

test('nor does who was silent wait for those that keep coming', () => {
  const bench = new Bench()
  bench.add('a0', 'a1', 'a2', 'a3', 'a4')
  bench.passRounds(4)
  let readCount = 0
  for (let round = 5; round < 105; round++) {
    bench.add(`a${round}x`, `a${round}y`, `a${round}z`, `a${round}w`)
    bench.passRounds(1)
    if (/\ba0\b/.test(bench.read)) readCount++
  }
  expect(readCount).toBeGreaterThan(3)
})

test('who was let in by a turn has been read before it gives way', () => {
  const bench = new Bench()
  bench.add('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8', 'a9')
  bench.remove('a1')
  bench.runTurn()
  bench.passRounds(1)
  expect(bench.read).toMatch(/\ba5\b/)
})

test.each([1, 30, 300])(
  'beside %d sites that are silent a late client is read soon, again and again',
  (sites) => {
    const bench = new Bench()
    for (let site = 0; site < sites; site++) bench.add(`${String.fromCharCode(1000 + site)}1`)
    bench.add('b1')
    let readCount = 0
    for (let round = 0; round < 4000; round++) {
      bench.passRounds(1)
      if (/\bb1\b/.test(bench.read)) readCount++
    }
    // In one of a hundred and fifty milliseconds of the crowd, at least.
    expect(readCount).toBeGreaterThan(20)
  },
)

test('of one site those that are silent are read equally often, whoever of them leaves while it is read', () => {
  const bench = new Bench()
  const names = Array.from({ length: 20 }, (_, index) => `a${index}`)
  bench.add(...names)
  bench.passRounds(20)
  bench.remove(...bench.read.split(' ').slice(0, 2))
  const counts: Map<string, number> = new Map()
  for (let round = 0; round < 180; round++) {
    bench.passRounds(1)
    const read = bench.read.split(' ')
    expect(read).toHaveLength(4)
    for (const name of read) counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  // Four of eighteen are read in each round.
  expect(counts.size).toBe(18)
  expect(Math.min(...counts.values())).toBeGreaterThanOrEqual(38)
  expect(Math.max(...counts.values())).toBeLessThanOrEqual(42)
})

test('when all have gone nothing is left, and no timer', () => {
  const bench = new Bench()
  const names = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7']
  bench.add(...names)
  bench.passRounds(2)
  bench.remove(...names)
  bench.remove(...names)
  bench.passRounds(2)
  while (bench.turns.length > 0) expect(bench.runTurn()).toBe(false)
  expect(bench.answers.size).toBe(0)
  expect(bench.timers).toHaveLength(0)
})
