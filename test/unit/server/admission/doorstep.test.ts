import { expect, test } from 'vitest'
import { COUNTER, COUNTER_NAMES } from '../../../../src/observe/counters.ts'
import { Doorstep } from '../../../../src/server/admission/doorstep.ts'
import { createRosterMemory, Roster } from '../../../../src/server/admission/roster.ts'

/** A house with `places`, and what became of everybody who came. */
function makeHouse(
  heldMax: number,
  places: number,
  roster: Roster = new Roster(createRosterMemory(1, 0), 0),
) {
  const lane = new Float64Array(COUNTER_NAMES.length)
  const inside: string[] = []
  const refused: string[] = []
  const closed: string[] = []
  const names = new Map<object, string>()
  let nowMs = 0
  /** Runs while somebody is let in, before it is decided. */
  let meanwhile: () => void = () => undefined
  const doorstep: Doorstep = new Doorstep({
    heldMax,
    roster,
    lane,
    admit: (handle) => {
      meanwhile()
      const name = names.get(handle)!
      if (name.startsWith('crowd')) doorstep.turnedAway('crowd')
      else if (inside.length >= places) doorstep.turnedAway('full')
      else inside.push(name)
    },
    refuse: (handle) => refused.push(names.get(handle)!),
    monotonicMs: () => nowMs,
  })
  return {
    doorstep,
    lane,
    inside,
    refused,
    closed,
    arrive(name: string, address?: string): void {
      const getpeername = (out: { address?: string; port?: number; family?: string }): number => {
        const family = address?.includes(':') ? 'IPv6' : 'IPv4'
        Object.assign(out, { address, port: 40_000, family })
        return 0
      }
      const close = () => closed.push(name)
      const handle = address === undefined ? { close } : { close, getpeername }
      names.set(handle, name)
      doorstep.arrive(handle as never, '127.0.0.1:11211')
    },
    leave(name: string): void {
      inside.splice(inside.indexOf(name), 1)
      doorstep.letIn()
    },
    pass(ms: number): void {
      nowMs += ms
    },
    setMeanwhile(run: () => void): void {
      meanwhile = run
    },
  }
}

test('where nobody may wait, whoever finds the house full is refused at once, and counted', () => {
  const house = makeHouse(0, 1)
  house.arrive('a')
  house.arrive('b')
  expect(house).toMatchObject({ inside: ['a'], refused: ['b'] })
  expect(house.lane[COUNTER.rejected_connections]).toBe(1)
  expect(house.lane[COUNTER.listen_disabled_num]).toBe(0)
})

test('those who may wait are let in one for each place that comes free, in order', () => {
  const house = makeHouse(10, 2)
  for (const name of ['a', 'b', 'c', 'd', 'e']) house.arrive(name)
  expect(house.inside).toEqual(['a', 'b'])
  house.leave('a')
  expect(house.inside).toEqual(['b', 'c'])
  house.leave('c')
  house.leave('b')
  expect(house.inside).toEqual(['d', 'e'])
  expect(house).toMatchObject({ refused: [], closed: [] })
  expect(house.lane[COUNTER.rejected_connections]).toBe(0)
})

test('one of the source that crowds the server is refused, and nobody stands behind it', () => {
  const house = makeHouse(10, 1)
  house.arrive('crowd 1')
  house.arrive('a')
  house.arrive('b')
  house.arrive('crowd 2')
  house.arrive('c')
  expect(house).toMatchObject({ inside: ['a'], refused: ['crowd 1'] })
  house.leave('a')
  house.leave('b')
  expect(house).toMatchObject({ inside: ['c'], refused: ['crowd 1', 'crowd 2'] })
  expect(house.lane[COUNTER.rejected_connections]).toBe(2)
})

test('as many wait as may, the next one is refused', () => {
  const house = makeHouse(2, 1)
  for (const name of ['a', 'b', 'c', 'd']) house.arrive(name)
  expect(house).toMatchObject({ inside: ['a'], refused: ['d'] })
  expect(house.lane[COUNTER.rejected_connections]).toBe(1)
})

test('a newcomer does not pass those who wait, also when a place is free', () => {
  const house = makeHouse(10, 1)
  house.arrive('a')
  house.arrive('b')
  house.inside.length = 0
  house.arrive('c')
  expect(house.inside).toEqual([])
  house.doorstep.letIn()
  expect(house.inside).toEqual(['b'])
})

test('a place that comes free while somebody is let in is not given away twice', () => {
  const house = makeHouse(10, 1)
  for (const name of ['a', 'b', 'c']) house.arrive(name)
  house.setMeanwhile(() => {
    house.setMeanwhile(() => undefined)
    house.leave('a')
  })
  house.doorstep.letIn()
  expect(house.inside).toEqual(['b'])
})

test('how often and how long the house was full is counted', () => {
  const house = makeHouse(10, 1)
  house.arrive('a')
  house.arrive('b')
  house.pass(20)
  house.arrive('c')
  expect(house.doorstep.isFull).toBe(true)
  house.leave('a')
  house.pass(5)
  house.leave('b')
  expect(house.doorstep.isFull).toBe(false)
  expect(house.lane[COUNTER.listen_disabled_num]).toBe(1)
  expect(house.lane[COUNTER.time_in_listen_disabled_us]).toBe(25_000)
})

test('when the server stops, all that wait are closed', () => {
  const house = makeHouse(10, 1)
  for (const name of ['a', 'b', 'c']) house.arrive(name)
  house.doorstep.dismiss()
  expect(house.closed).toEqual(['b', 'c'])
  house.leave('a')
  expect(house.inside).toEqual([])
})

test.each([
  ['one address', () => '198.51.100.1'],
  ['an IPv4 /24', (index: number) => `198.51.100.${index % 256}`],
  ['4,096 /64s of one /48', (index: number) => `2001:db8:1:${(index % 4096).toString(16)}::1`],
])('%s can fill the line, but neither keep others out of it nor in it', (_, addressOf) => {
  const house = makeHouse(100, 1)
  house.arrive('inside')
  for (let index = 0; index < 600; index++) house.arrive(`attack ${index}`, addressOf(index))
  for (const other of [1, 2, 3]) house.arrive(`other ${other}`, `192.0.${other}.1`)
  for (let index = 600; index < 1200; index++) house.arrive(`attack ${index}`, addressOf(index))
  expect(house.refused.filter((name) => name.startsWith('other'))).toEqual([])
  house.lane.fill(0)
  house.inside.length = 0
  house.doorstep.letIn()
  for (let turn = 0; turn < 2 * 260 && house.inside.length > 0; turn++) {
    if (house.inside[0]?.startsWith('other 3')) break
    house.leave(house.inside[0] as string)
  }
  expect(house.inside).toEqual(['other 3'])
})

test('who owns a /48 has one turn of each round, as an address has', () => {
  const house = makeHouse(100, 1)
  house.arrive('inside')
  for (let index = 0; index < 90; index++) {
    house.arrive(`attack ${index}`, `2001:db8:1:${index.toString(16)}::1`)
  }
  house.arrive('other', '192.0.2.1')
  house.leave('inside')
  house.leave('attack 0')
  expect(house.inside).toEqual(['other'])
})

test('of one source, who came first is let in first', () => {
  const house = makeHouse(10, 1)
  house.arrive('inside')
  house.arrive('a', '192.0.2.1')
  house.arrive('b', '192.0.2.2')
  house.arrive('c', '192.0.2.1')
  house.leave('inside')
  house.leave('a')
  house.leave('b')
  expect(house.inside).toEqual(['c'])
})

test('a worker that holds none takes room from one that holds all, which drops its newest', () => {
  const memory = createRosterMemory(2, 0)
  const one = makeHouse(4, 1, new Roster(memory, 0))
  const other = makeHouse(4, 1, new Roster(memory, 1))
  one.arrive('inside', '198.51.100.1')
  for (const name of ['a', 'b', 'c', 'd']) one.arrive(name, '198.51.100.1')
  other.arrive('inside', '192.0.2.1')
  other.arrive('newcomer', '192.0.2.1')
  expect(other.refused).toEqual([])
  one.doorstep.settleWithOthers()
  expect(one.refused).toEqual(['d'])
  other.leave('inside')
  expect(other.inside).toEqual(['newcomer'])
})

test('a crowd that is refused is refused in parts, and others have their turn between', () => {
  const house = makeHouse(1000, 1)
  for (const name of ['inside', 'held']) house.arrive(name)
  for (let index = 0; index < 500; index++) house.arrive(`crowd ${index}`)
  house.leave('inside')
  const atOnce = house.refused.length
  expect(atOnce).toBeLessThan(100)
  house.doorstep.letIn()
  expect(house.refused.length).toBeGreaterThan(atOnce)
})
