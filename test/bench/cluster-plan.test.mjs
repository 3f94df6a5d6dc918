/** The simulation of a large cluster: what can be calculated without it, and what docs/cluster-plan.md says of it. */
import { describe, expect, test } from 'vitest'
import { Events, formatPlan, planOf, randomFrom, simulate } from './cluster-plan.mjs'

const plan = (...words) => planOf(['--gates', '4', '--masters', '10', '--seconds', '8', ...words])
const between = (records, from, until) =>
  records.filter((record) => record.until > from && record.until <= until)
const mean = (records, figure) =>
  records.reduce((sum, record) => sum + record[figure], 0) / records.length

test('events come in the order of their times', () => {
  const random = randomFrom(5)
  const events = new Events()
  const times = Array.from({ length: 5000 }, random)
  for (const [index, time] of times.entries()) events.push(time, index)
  const seen = times.map(() => {
    const index = events.pop()
    expect(events.time).toBe(times[index])
    return events.time
  })
  expect(seen).toEqual([...times].sort((one, other) => one - other))
})

describe('a plan', () => {
  test('of a calm cluster serves what is asked for, in the time that is spent on it', () => {
    const records = between(simulate(plan('--dies-at', '100')), 0.5, 8)
    expect(mean(records, 'failedPerSecond')).toBe(0)
    expect(mean(records, 'requestsPerSecond')).toBeGreaterThan(4 * 5000 * 0.97)
    expect(mean(records, 'requestsPerSecond')).toBeLessThan(4 * 5000 * 1.03)
    // 30 us at the gate, 200 in the network, 2 at the master, and some waiting.
    expect(mean(records, 'p50')).toBeGreaterThan(232e-6)
    expect(mean(records, 'p50')).toBeLessThan(300e-6)
  })

  test('asks for no more than its gates can do', () => {
    const records = between(simulate(plan('--rate', '100000', '--dies-at', '100')), 0.5, 8)
    expect(mean(records, 'requestsPerSecond')).toBeLessThan(4 * (1e6 / 30) * 1.01)
    expect(mean(records, 'requestsPerSecond')).toBeGreaterThan(4 * (1e6 / 30) * 0.95)
  })

  test('loses most of its requests to a silent master, and with a breaker no more than that had', () => {
    const bare = between(simulate(plan()), 4, 6.5)
    const guarded = between(simulate(plan('--breaker-failures', '3')), 4, 6.5)
    expect(mean(bare, 'requestsPerSecond')).toBeLessThan(4 * 5000 * 0.3)
    expect(mean(bare, 'waiting')).toBeGreaterThan(0.6)
    expect(mean(guarded, 'requestsPerSecond')).toBeGreaterThan(4 * 5000 * 0.85)
    const failed = mean(guarded, 'failedPerSecond') / mean(guarded, 'requestsPerSecond')
    expect(failed).toBeGreaterThan(0.08)
    expect(failed).toBeLessThan(0.12)
  })

  test('loses only the requests of a master whose machine refuses', () => {
    const records = between(simulate(plan('--refuses')), 2.5, 6.5)
    expect(mean(records, 'requestsPerSecond')).toBeGreaterThan(4 * 5000 * 0.97)
    expect(mean(records, 'waiting')).toBe(0)
  })

  test('recovers when a replica serves', () => {
    const [last] = simulate(plan('--seconds', '10')).slice(-1)
    expect(last).toMatchObject({ failedPerSecond: 0, waiting: 0 })
  })

  test('is the same with the same seed, and is shown a line for each half second', () => {
    const once = formatPlan(simulate(plan('--seconds', '3')))
    expect(formatPlan(simulate(plan('--seconds', '3')))).toBe(once)
    expect(formatPlan(simulate(plan('--seconds', '3', '--seed', '2')))).not.toBe(once)
    expect(once.split('\n')).toHaveLength(7)
  })

  test('refuses what is no number', () => {
    expect(() => plan('--rate', 'many')).toThrow('--rate takes a number, not many')
    expect(() => plan('--rat', '5')).toThrow(/rat/)
    expect(planOf(['--help'])).toBeNull()
  })
})
