import { expect, test } from 'vitest'
import { LoginMemory } from '../../../src/sasl/login-memory.ts'

const KEY = Buffer.alloc(32, 3)

function remember(memory: LoginMemory, name: string, digest: Uint8Array, verifier = 'one') {
  return memory.remember({ name, digest, verifier })
}

test('what was remembered is known, as long as it is right', () => {
  const memory = new LoginMemory(KEY, 10)
  const digest = memory.digest('alice', 'secret')
  expect(memory.has('alice', digest)).toBe(false)
  remember(memory, 'alice', digest)
  expect(memory.has('alice', memory.digest('alice', 'secret'))).toBe(true)
  expect(memory.has('alice', memory.digest('alice', 'wrong'))).toBe(false)
  expect(memory.has('bob', digest)).toBe(false)
  remember(memory, 'bob', memory.digest('bob', 'secret'))
  const other = memory.digest('alice', 'other')
  remember(memory, 'alice', other, 'another')
  memory.retain((user, verifier) => user === 'bob' || verifier === 'another')
  expect(memory.has('alice', digest)).toBe(false)
  expect(memory.has('alice', other)).toBe(true)
  memory.retain((user) => user === 'bob')
  expect(memory.has('alice', other)).toBe(false)
  expect(memory.userCount).toBe(1)
  expect(memory.has('bob', memory.digest('bob', 'secret'))).toBe(true)
})

test('a digest of all zeros is not taken for the absence of one', () => {
  const memory = new LoginMemory(KEY, 10)
  const zeros = new Uint8Array(32)
  expect(memory.has('alice', zeros)).toBe(false)
  remember(memory, 'alice', memory.digest('alice', 'x'))
  expect(memory.has('alice', zeros)).toBe(false)
})

test('name and password do not run into each other, and the key matters', () => {
  const memory = new LoginMemory(KEY, 10)
  expect(memory.digest('ab', 'c')).not.toEqual(memory.digest('a', 'bc'))
  const other = new LoginMemory(Buffer.alloc(32, 4), 10)
  expect(memory.digest('a', 'b')).not.toEqual(other.digest('a', 'b'))
})

test('of one user the four newest are known: two passwords, in two forms each', () => {
  const memory = new LoginMemory(KEY, 10)
  for (const password of ['1', '2', '2', '3', '4', '5']) {
    remember(memory, 'alice', memory.digest('alice', password))
  }
  const known = ['1', '2', '3', '4', '5'].map((password) =>
    memory.has('alice', memory.digest('alice', password)),
  )
  expect(known).toEqual([false, true, true, true, true])
})

test('at its limit it holds all, above it the oldest leaves', () => {
  const memory = new LoginMemory(KEY, 3)
  const users = ['a', 'b', 'c', 'd']
  const digests = new Map(users.map((user) => [user, memory.digest(user, 'x')]))
  const known = (): boolean[] => users.map((user) => memory.has(user, digests.get(user) ?? KEY))
  for (const user of ['a', 'b', 'c']) remember(memory, user, digests.get(user) ?? KEY)
  expect(known()).toEqual([true, true, true, false])
  remember(memory, 'd', digests.get('d') ?? KEY)
  expect(known()).toEqual([false, true, true, true])
  expect(memory.userCount).toBe(3)
})
