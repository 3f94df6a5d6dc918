/** A crowd whose time is up is ended a few at a time, and each connection is looked at once a walk. */
import { expect, test } from 'vitest'
import { NO_SLOT, Slots } from '../../../../src/base/slots.ts'
import { DeadlineWalk, type Walked } from '../../../../src/server/worker/deadline-walk.ts'

const CLOSED = 5

class Fake implements Walked {
  state = 1
  slot: number = NO_SLOT
  lookedAt = 0
  readonly gate: { readonly isOpen: boolean }
  private readonly isOverdue: boolean
  private readonly onClosed: () => void

  constructor(isOverdue: boolean, onClosed: () => void = () => undefined, isLoggedIn = false) {
    this.isOverdue = isOverdue
    this.onClosed = onClosed
    this.gate = { isOpen: isLoggedIn }
  }

  checkDeadlines(): void {
    this.lookedAt++
    if (!this.isOverdue || this.state === CLOSED) return
    this.state = CLOSED
    this.onClosed()
  }
}

/** Walks to the end; returns how many ended and how many were looked at in each step. */
function walk(connections: Slots<Fake>, all: readonly Fake[]): [ended: number, lookedAt: number][] {
  const steps: (() => void)[] = []
  const deadlines = new DeadlineWalk(connections, { lookAtDeadlines: (step) => steps.push(step) })
  const sums = (): [number, number] => [
    all.filter(({ state }) => state === CLOSED).length,
    all.reduce((sum, { lookedAt }) => sum + lookedAt, 0),
  ]
  const portions: [number, number][] = []
  let before: [number, number] = [0, 0]
  deadlines.begin()
  for (;;) {
    const now = sums()
    portions.push([now[0] - before[0], now[1] - before[1]])
    before = now
    const step = steps.shift()
    if (step === undefined) return portions
    // The timer comes again before the walk is over.
    deadlines.begin()
    step()
  }
}

test('a thousand that are overdue end one at a time, and who is let in for them stays', () => {
  const connections = new Slots<Fake>()
  const all: Fake[] = []
  const admit = (isOverdue: boolean): void => {
    const fake: Fake = new Fake(isOverdue, () => {
      connections.remove(fake)
      if (isOverdue) admit(false)
    })
    connections.add(fake)
    all.push(fake)
  }
  for (let count = 0; count < 1000; count++) admit(true)
  const portions = walk(connections, all)
  expect(Math.max(...portions.map(([ended]) => ended))).toBe(1)
  expect(portions.reduce((sum, [ended]) => sum + ended, 0)).toBe(1000)
  expect(connections.size).toBe(1000)
  // Who has taken the slot of one that ended is looked at by the next walk.
  expect(all.map(({ lookedAt }) => lookedAt)).toEqual([
    ...Array.from({ length: 1000 }, () => 1),
    ...Array.from({ length: 1000 }, () => 0),
  ])
  walk(connections, all)
  for (const { lookedAt } of all) expect(lookedAt).toBe(1)
})

test('of logins that are over more end in a step than of strangers', () => {
  const connections = new Slots<Fake>()
  const all = Array.from({ length: 40 }, () => new Fake(true, () => undefined, true))
  for (const fake of all) connections.add(fake)
  const portions = walk(connections, all)
  expect(portions.map(([ended]) => ended)).toEqual([0, 16, 16, 8])
})

test('many that are in time are looked at once each, a bounded number in a step', () => {
  const all = Array.from({ length: 10_000 }, () => new Fake(false))
  const connections = new Slots<Fake>()
  for (const fake of all) connections.add(fake)
  const portions = walk(connections, all)
  expect(portions.map(([, lookedAt]) => lookedAt)).toEqual([
    0,
    ...Array.from({ length: 9 }, () => 1024),
    784,
  ])
})
