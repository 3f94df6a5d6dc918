/** Whoever is logged in waits for one thing of a stranger's at a time, and strangers come to it all the same. */
import { describe, expect, test } from 'vitest'
import { StrangerTurns } from '../../../../src/server/worker/stranger-turns.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

/** A worker's loop: in each turn something arrives, then what was asked for soon is called. */
function makeLoop() {
  const clock = new ManualClock()
  const turns = new StrangerTurns(clock)
  const done: string[] = []
  const defer = (name: string, ms = 0.2, timesMore = 0): void => {
    turns.defer({
      continueServing() {
        done.push(name)
        clock.passBusily(ms)
        if (timesMore > 0) defer(name, ms, timesMore - 1)
      },
    })
  }
  /** What one turn of the loop did, of those in the line. */
  const turn = (arrives: () => void = () => undefined): string[] => {
    const before = done.length
    arrives()
    clock.turn()
    return done.slice(before)
  }
  return { clock, turns, defer, turn }
}

/** As many as come in at once from two hundred addresses. */
const CROWD = Array.from({ length: 200 }, (_, index) => String(index))

describe('one turn of the event loop', () => {
  test('has one step of a crowd, whatever its steps are: requests, late answers, ends', () => {
    const { clock, turns, defer, turn } = makeLoop()
    const seen: string[] = []
    for (const name of CROWD) {
      if (Number(name) % 2 === 0) {
        defer(name)
      } else {
        turns.soon(() => {
          seen.push(name)
          clock.passBusily(0.2)
        })
      }
    }
    for (let count = 1; count <= CROWD.length; count++) {
      const startMs = clock.nowMs()
      turn()
      expect(clock.nowMs() - startMs).toBeCloseTo(0.2)
    }
    expect(seen).toHaveLength(CROWD.length / 2)
    turn()
    expect(clock.isAwaited).toBe(false)
  })

  test('has a step of the walk along the deadlines in every other turn, however long the line is', () => {
    const { turns, defer, turn } = makeLoop()
    for (const name of CROWD) defer(name)
    let looks = 0
    const look = (): void => {
      looks++
      turns.lookAtDeadlines(look)
    }
    turns.lookAtDeadlines(look)
    const inLine = Array.from({ length: 40 }, () => turn().length)
    expect(looks).toBe(20)
    expect(inLine.filter((count) => count === 1)).toHaveLength(20)
  })

  test('goes on first with a login whose key was derived, however many wait', () => {
    const { turns, defer, turn } = makeLoop()
    for (const name of CROWD) defer(name)
    const seen: string[] = []
    for (const name of ['first', 'second']) turns.derived(() => seen.push(name))
    expect(turn()).toEqual([])
    expect(turn()).toEqual([])
    expect(seen).toEqual(['first', 'second'])
    expect(turn()).toEqual(['0'])
  })

  test('has more than one step of connections that have gone', () => {
    const { turns, defer, turn } = makeLoop()
    for (let count = 0; count < 1000; count++) turns.soon(() => false)
    defer('who is there')
    expect(turn()).toEqual(['who is there'])
  })

  test('has as many as are short', () => {
    const { defer, turn } = makeLoop()
    for (const name of ['a', 'b', 'c', 'd', 'e']) defer(name, 0.02)
    expect(turn()).toEqual(['a', 'b', 'c'])
    expect(turn()).toEqual(['d', 'e'])
  })

  test('serves one stranger at once, and puts the others into the line', () => {
    const { turns, turn } = makeLoop()
    const answers: boolean[] = []
    for (let count = 0; count < 3; count++) {
      turn(() => {
        for (let heard = 0; heard < 10; heard++) answers.push(turns.isOpen(true))
      })
    }
    expect(answers.filter(Boolean)).toHaveLength(3)
    expect(answers[0]).toBe(true)
  })

  test('that accepted somebody serves no stranger at once, and no step of the line', () => {
    const { turns, defer, turn } = makeLoop()
    turn(() => {
      turns.take()
      expect(turns.isOpen(true)).toBe(false)
    })
    expect(turn(() => expect(turns.isOpen(true)).toBe(true))).toEqual([])
    defer('a')
    expect(turn(() => turns.take())).toEqual([])
    expect(turn()).toEqual(['a'])
  })
})

test('one who cannot wait goes before the line, is the one of its turn, and stops nobody in it', () => {
  const { turns, defer, turn } = makeLoop()
  for (const name of ['a', 'b', 'c', 'd']) defer(name)
  const answers: boolean[][] = []
  const seen: string[][] = []
  for (let count = 0; count < 8; count++) {
    const arrives = (): void => {
      answers.push([turns.isOpen(false), turns.isOpen(false), turns.isOpen(true)])
    }
    seen.push(turn(arrives))
  }
  expect(answers).toEqual(Array.from({ length: 8 }, () => [true, false, false]))
  expect(seen.flat()).toEqual(['a', 'b', 'c', 'd'])
  const steps = seen.map(({ length }) => length)
  expect(steps).toEqual([0, 1, 0, 1, 0, 1, 0, 1])
})

test('nobody who can wait goes before those in the line', () => {
  const { turns, defer, turn } = makeLoop()
  for (const name of ['a', 'b']) defer(name)
  expect(turns.isOpen(true)).toBe(false)
  expect(turn()).toEqual(['a'])
  expect(turns.isOpen(true)).toBe(false)
  expect(turn()).toEqual(['b'])
  expect(turns.isOpen(true)).toBe(true)
})

test('what a step asks for comes after all that were there', () => {
  const { defer, turn } = makeLoop()
  defer('a', 0.01, 1)
  defer('b', 0.01)
  expect(turn()).toEqual(['a', 'b'])
  expect(turn()).toEqual(['a'])
})

test('a flood of newcomers lets the line move on in every second turn', () => {
  const { turns, defer, turn } = makeLoop()
  for (const name of CROWD) defer(name)
  const done: string[] = []
  for (let count = 0; count < 2 * CROWD.length; count++) done.push(...turn(() => turns.take()))
  expect(done).toEqual(CROWD)
})

test('where a turn is long for what clients ask, strangers have a part of it', () => {
  const { clock, defer, turn } = makeLoop()
  for (const name of CROWD) defer(name, 0.125)
  const busy = (): string[] => turn(() => clock.passBusily(4))
  // Nobody knows yet how long a turn is.
  expect(busy()).toHaveLength(1)
  for (let count = 0; count < 5; count++) expect(busy()).toHaveLength(8)
  // A pause of the machine is no turn.
  expect(turn(() => clock.passBusily(1000))).toHaveLength(32)
})

test('what follows from steps when they are over is in the part of strangers, and no time of others', () => {
  const { clock, turns, turn } = makeLoop()
  const begun: string[] = []
  for (const name of CROWD) {
    turns.defer({
      takesMs: 0.4,
      continueServing() {
        begun.push(name)
        clock.passBusily(0.1)
      },
    })
  }
  const counts: number[] = []
  for (let count = 0; count < 6; count++) {
    const before = begun.length
    turn(() => clock.passBusily(4))
    counts.push(begun.length - before)
    clock.passBusily(0.4 * (begun.length - before))
  }
  expect(counts).toEqual([1, 2, 2, 2, 2, 2])
})

test('a pause without strangers gives them nothing', () => {
  const { clock, defer, turn } = makeLoop()
  defer('a')
  turn()
  clock.pass(1000)
  for (const name of ['b', 'c']) defer(name)
  expect(turn()).toEqual(['b'])
})

test('a line that is never empty does not grow', () => {
  const { defer, turn } = makeLoop()
  const done: string[] = []
  for (const name of ['a', 'b', 'c']) defer(name, 0.2, 100)
  for (let count = 0; count < 303; count++) done.push(...turn())
  expect(done.slice(0, 6)).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
  expect(done).toHaveLength(303)
})
