/** Users get numbers to be counted by: few, whatever names log in, and the same in all workers. */
import { expect, test } from 'vitest'
import type { MetricFamily } from '../../../src/observe/metric-family.ts'
import {
  COUNTED_USERS_MAX,
  createUserMemory,
  NO_USER,
  OTHER_USERS,
  USER_REQUESTS,
  USER_SLOTS,
  UserCounts,
  type UserMemory,
  userFamilies,
} from '../../../src/observe/user-counts.ts'

function valuesOf(memory: UserMemory, name: string): Record<string, number> {
  const family = userFamilies(memory).find((each) => each.name === name) as MetricFamily
  return Object.fromEntries(
    family
      .samples()
      .map((sample) => [sample.labels.user, 'value' in sample ? sample.value : Number.NaN]),
  )
}

function countRequests(counts: UserCounts, user: number, times: number): void {
  counts.lane[user * USER_SLOTS + USER_REQUESTS]! += times
}

test('a user has one number in all workers, and what they count of it is added up', () => {
  const memory = createUserMemory(3)
  const workers = [0, 1, 2].map((index) => new UserCounts(memory, index))
  const numbers = workers.map((worker, index) => {
    const number = worker.numberOf('shop', false)
    countRequests(worker, number, 10 ** index)
    return number
  })
  expect(new Set(numbers).size).toBe(1)
  const other = workers[2]!.numberOf('blog', false)
  expect(workers[0]!.numberOf('blog', false)).toBe(other)
  expect(valuesOf(memory, 'user_requests')).toEqual({ shop: 111, blog: 0 })
})

test('COUNTED_USERS_MAX users are counted one by one, and all further ones together', () => {
  const memory = createUserMemory(2)
  const [one, two] = [new UserCounts(memory, 0), new UserCounts(memory, 1)]
  for (let index = 0; index < COUNTED_USERS_MAX; index++) {
    const worker = index % 2 === 0 ? one : two
    countRequests(worker, worker.numberOf(`user${index}`, false), 1)
  }
  expect(valuesOf(memory, 'user_requests')).not.toHaveProperty(OTHER_USERS)
  const late = new Set(
    Array.from({ length: 1000 }, (_, index) => one.numberOf(`late${index}`, false)),
  )
  expect(late.size).toBe(1)
  for (const number of late) countRequests(one, number, 7)
  const values = valuesOf(memory, 'user_requests')
  expect(Object.keys(values)).toHaveLength(COUNTED_USERS_MAX + 1)
  expect(values[OTHER_USERS]).toBe(7)
  // Who has a number keeps it.
  expect(one.numberOf('user0', false)).toBe(two.numberOf('user0', true))
  expect(late).not.toContain(one.numberOf('user1', false))
})

test('names that are no users here leave half of the numbers to those that are', () => {
  const memory = createUserMemory(1)
  const counts = new UserCounts(memory, 0)
  for (let index = 0; index < 10 * COUNTED_USERS_MAX; index++) counts.numberOf(`pod${index}`, true)
  const other = counts.numberOf('one pod more', true)
  expect(counts.numberOf('shop', false)).not.toBe(other)
  expect(Object.keys(valuesOf(memory, 'user_connections'))).toHaveLength(COUNTED_USERS_MAX / 2 + 1)
})

test('a name that is too long to be kept is among the others, and does not become another one', () => {
  const memory = createUserMemory(1)
  const counts = new UserCounts(memory, 0)
  const other = counts.numberOf(OTHER_USERS, false)
  expect(counts.numberOf('é'.repeat(128), false)).toBe(other)
  const longest = `${'é'.repeat(127)}x`
  expect(counts.numberOf(longest, false)).not.toBe(other)
  expect(Object.keys(valuesOf(memory, 'user_requests'))).toEqual([longest])
})

test('a user who is called like all others makes no second series of that name', () => {
  const memory = createUserMemory(1)
  const counts = new UserCounts(memory, 0)
  countRequests(counts, counts.numberOf(OTHER_USERS, false), 3)
  for (const family of userFamilies(memory)) {
    expect(family.samples().map(({ labels }) => labels.user)).toEqual([OTHER_USERS])
  }
})

test('who is not logged in is counted, and not shown', () => {
  const memory = createUserMemory(1)
  const counts = new UserCounts(memory, 0)
  countRequests(counts, NO_USER, 5)
  expect(valuesOf(memory, 'user_requests')).toEqual({})
})

test('connections are those of now, wherever they were made and ended', () => {
  const memory = createUserMemory(2)
  const [one, two] = [new UserCounts(memory, 0), new UserCounts(memory, 1)]
  const shop = one.numberOf('shop', false)
  const blog = two.numberOf('blog', false)
  one.move(NO_USER, shop)
  two.move(NO_USER, shop)
  two.move(shop, blog)
  one.move(shop, NO_USER)
  expect(valuesOf(memory, 'user_connections')).toEqual({ shop: 0, blog: 1 })
})
