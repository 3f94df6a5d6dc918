import { expect, test } from 'vitest'
import type { Engine } from '../../../src/remote/engine.ts'
import {
  FAILURE_BUSY,
  FAILURE_DOWN,
  FAILURE_NONE,
  FAILURE_TIMEOUT,
} from '../../../src/remote/failure.ts'
import type { Command } from '../../../src/remote/flight.ts'
import { CONFIRMED_MS, Generation, GRACE_MS } from '../../../src/remote/generation.ts'
import { WAITING_BYTES_MAX, WAITING_MAX } from '../../../src/remote/node-link.ts'

class Bench {
  readonly sent: Command[] = []
  ms = 1000
  readonly generation: Generation

  constructor(name = 'default') {
    const engine: Pick<Engine, 'send'> = { send: (command) => this.sent.push(command) }
    this.generation = new Generation(engine as Engine, { nowMs: () => this.ms }, name)
  }

  answer(number: number): void {
    this.sent.at(-1)?.settle(Buffer.from(String(number)), FAILURE_NONE)
  }

  key(text: string): string {
    const bytes = Buffer.from(text)
    return this.generation.keyOf(bytes, 0, bytes.length).toString()
  }

  /** What somebody is told who waits. */
  wait(heldBytes = 1): number[] {
    const told: number[] = []
    this.generation.wait({ heldBytes, ready: (failure) => told.push(failure) })
    return told
  }
}

test('nothing is sent under a generation that was not looked at', () => {
  const bench = new Bench()
  expect(bench.generation.isConfirmed()).toBe(false)
  const told = bench.wait()
  expect(told).toEqual([])
  bench.answer(7)
  expect(told).toEqual([FAILURE_NONE])
  expect(bench.generation.isConfirmed()).toBe(true)
  expect(bench.key('k')).toBe('mc:default:7:k')
})

test('a look holds from when it was asked, not from when it came back', () => {
  const bench = new Bench()
  bench.wait()
  bench.ms += CONFIRMED_MS - 1
  bench.answer(1)
  expect(bench.generation.isConfirmed()).toBe(true)
  bench.ms += 2
  expect(bench.generation.isConfirmed()).toBe(false)
})

test('those who wait together have one look', () => {
  const bench = new Bench()
  const all = [bench.wait(), bench.wait(), bench.wait()]
  expect(bench.sent).toHaveLength(1)
  bench.answer(0)
  expect(all).toEqual([[FAILURE_NONE], [FAILURE_NONE], [FAILURE_NONE]])
})

test.each([
  ['number', 1, WAITING_MAX],
  ['bytes', WAITING_BYTES_MAX / 4, 4],
])(
  'what waits for a look is bounded in %s, and what is too much is told so at once',
  (_, heldBytes, most) => {
    const bench = new Bench()
    const all = Array.from({ length: most }, () => bench.wait(heldBytes))
    expect(bench.wait()).toEqual([FAILURE_BUSY])
    expect(all.every((told) => told.length === 0)).toBe(true)
    bench.answer(0)
    expect(all.every(([failure]) => failure === FAILURE_NONE)).toBe(true)
    bench.ms += CONFIRMED_MS + 1
    expect(bench.wait(heldBytes)).toEqual([])
  },
)

test('a look that fails lets go on who was sure lately, and refuses who never was', () => {
  const bench = new Bench()
  const never = bench.wait()
  bench.sent.at(-1)?.settle(undefined, FAILURE_DOWN)
  expect(never).toEqual([FAILURE_DOWN])
  bench.wait()
  bench.answer(3)
  bench.ms += GRACE_MS - 1
  const lately = bench.wait()
  bench.sent.at(-1)?.settle(undefined, FAILURE_TIMEOUT)
  expect(lately).toEqual([FAILURE_NONE])
  bench.ms += 2
  const long = bench.wait()
  bench.sent.at(-1)?.settle(undefined, FAILURE_TIMEOUT)
  expect(long).toEqual([FAILURE_TIMEOUT])
})

test('a generation does not go back, and the engine is told of the one that is known', () => {
  const bench = new Bench()
  bench.wait()
  bench.answer(9)
  bench.ms += 1000
  bench.wait()
  expect(bench.sent.at(-1)?.args.slice(-2)).toEqual(['9', ''])
  bench.answer(4)
  expect(bench.key('k')).toBe('mc:default:9:k')
})

test('a flush counts up where the engine says so, and its failure is told', () => {
  const bench = new Bench()
  const told: number[] = []
  bench.generation.flush(0, (failure) => told.push(failure))
  expect(bench.sent.at(-1)?.args.slice(-2)).toEqual(['0', '0'])
  bench.answer(1)
  bench.generation.flush(5000, (failure) => told.push(failure))
  expect(bench.sent.at(-1)?.args.slice(-2)).toEqual(['1', '5000'])
  bench.sent.at(-1)?.settle(undefined, FAILURE_DOWN)
  expect(told).toEqual([FAILURE_NONE, FAILURE_DOWN])
})

test('a namespace in use is looked at again, one that is not is left alone', () => {
  const bench = new Bench()
  bench.generation.tick()
  expect(bench.sent).toHaveLength(0)
  bench.generation.isConfirmed()
  bench.generation.tick()
  expect(bench.sent).toHaveLength(1)
  bench.answer(0)
  bench.ms += 5000
  bench.generation.tick()
  expect(bench.sent).toHaveLength(1)
})

test('no name of a namespace makes keys that are those of another, or chooses a slot', () => {
  const odd = new Bench('a:1:{x}')
  expect(odd.key('k')).toBe('mc:a%3A1%3A%7Bx%7D:0:k')
  expect(String(odd.sent.length)).toBe('0')
})
