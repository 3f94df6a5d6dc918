import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { userPrincipal } from '../../../src/credential/principal.ts'
import { hashPassword, hashPasswordWith, parseVerifier } from '../../../src/credential/verifier.ts'
import type { RememberedLogin } from '../../../src/sasl/login-memory.ts'
import { decodePlainMessage } from '../../../src/sasl/plain.ts'
import { SaslSession, type SaslStep } from '../../../src/sasl/session.ts'
import { pipeAt } from '../../support/pipe.ts'
import { fuzzParameters } from '../credential/fuzz-parameters.ts'
import { type Fixture, fixture, plain, plaintextSnapshotOf, snapshotOf } from './fixture.ts'

const LONG_NAME = '\u{1F511}'.repeat(256)
const LONG_PASSWORD = '\u00f6'.repeat(512)
const snapshot = snapshotOf({
  alice: 'secret',
  'tenant-1/bob@example.com': 'pa:ss:word',
  [LONG_NAME]: LONG_PASSWORD,
  rotating: ['one', 'two'],
  IX: 'I\u00adX',
})

function send({ environment }: Fixture, message: Uint8Array): SaslStep | Promise<SaslStep> {
  return new SaslSession(environment, pipeAt('192.0.2.1')).start('PLAIN', message)
}

async function reasonOf(setup: Fixture, message: Uint8Array): Promise<string> {
  const step = await send(setup, message)
  return step.kind === 'failure' ? step.reason : step.kind
}

describe('PLAIN logs in', () => {
  test.each([
    ['alice', 'secret', ''],
    ['alice', 'secret', 'alice'],
    ['tenant-1/bob@example.com', 'pa:ss:word', ''],
    [LONG_NAME, LONG_PASSWORD, LONG_NAME],
    ['rotating', 'one', ''],
    ['rotating', 'two', ''],
    ['\u2168', 'I\u00adX', 'IX'],
  ])('%s with password %s and authzid %j', async (user, password, authzid) => {
    expect(await send(fixture(snapshot), plain(user, password, authzid))).toEqual({
      kind: 'success',
      principal: userPrincipal(user === '\u2168' ? 'IX' : user),
      mechanism: 'PLAIN',
    })
  })

  test('with a password that stands in the clear in a file', async () => {
    const setup = fixture(await plaintextSnapshotOf({ alice: 'secret' }))
    expect(await reasonOf(setup, plain('alice', 'secret'))).toBe('success')
    expect(await reasonOf(setup, plain('alice', 'Secret'))).toBe('wrong-password')
  })
})

describe('PLAIN refuses', () => {
  test.each([
    ['a wrong password', plain('alice', 'wrong'), 'wrong-password'],
    ['an unknown user', plain('nobody', 'secret'), 'unknown-user'],
    ['the authzid of somebody else', plain('alice', 'secret', 'rotating'), 'bad-authzid'],
    ['no NUL', Buffer.from('alice'), 'malformed'],
    ['one NUL', Buffer.from('alice\0secret'), 'malformed'],
    ['three NULs', Buffer.from('\0alice\0secret\0'), 'malformed'],
    ['an empty user', plain('', 'secret'), 'malformed'],
    ['an empty password', plain('alice', ''), 'malformed'],
    ['a user of 1025 bytes', plain('a'.repeat(1025), 'x'), 'malformed'],
    ['a password of 1025 bytes', plain('alice', 'x'.repeat(1025)), 'malformed'],
    ['an authzid of 1025 bytes', plain('alice', 'secret', 'a'.repeat(1025)), 'malformed'],
    ['more than there may be', Buffer.alloc(100_000, 0x61), 'malformed'],
    ['text that is not UTF-8', Buffer.from('\0alice\0\xff', 'latin1'), 'malformed'],
    ['overlong UTF-8', Buffer.from('\0\xc1\xa1lice\0secret', 'latin1'), 'malformed'],
    ['a user with a character more', plain('alice ', 'secret'), 'unknown-user'],
  ])('%s', async (_what, message, reason) => {
    expect(await reasonOf(fixture(snapshot), message)).toBe(reason)
  })

  test('what is malformed without deriving a key or waiting', () => {
    const setup = fixture(snapshot)
    expect(send(setup, Buffer.from('alice'))).not.toBeInstanceOf(Promise)
    expect(send(setup, plain('alice', 'x', 'bob'))).not.toBeInstanceOf(Promise)
    expect(setup.derived).toEqual([])
  })

  test('messages at their limits only for what they say', async () => {
    const message = plain('a'.repeat(1024), 'x'.repeat(1024), 'a'.repeat(1024))
    expect(await reasonOf(fixture(snapshot), message)).toBe('unknown-user')
  })
})

test('an unknown user costs exactly what a wrong password costs', async () => {
  const { environment, derived } = fixture(snapshot)
  const setup = { environment, derived }
  await reasonOf(setup, plain('alice', 'wrong'))
  await reasonOf(setup, plain('nobody', 'wrong'))
  await reasonOf(setup, plain('rotating', 'wrong'))
  const costs = derived.map(({ password, parameters: { hash, iterations, salt } }) => {
    return { password, hash: hash.name, iterations, saltBytes: salt.length }
  })
  const cost = { password: 'wrong', hash: 'SCRAM-SHA-256', iterations: 4096, saltBytes: 16 }
  expect(costs).toEqual([cost, cost, cost])
})

describe('a login that succeeded', () => {
  test('is remembered: the next is answered at once and derives nothing', async () => {
    const setup = fixture(snapshot)
    const first = send(setup, plain('alice', 'secret'))
    expect(first).toBeInstanceOf(Promise)
    await first
    expect(send(setup, plain('alice', 'secret', 'alice'))).toMatchObject({
      kind: 'success',
      principal: userPrincipal('alice'),
    })
    expect(setup.derived).toHaveLength(1)
    expect(setup.environment.counters).toMatchObject({ successes: 2, rememberedSuccesses: 1 })
  })

  test('does not help a wrong password or another user', async () => {
    const setup = fixture(snapshot)
    await send(setup, plain('alice', 'secret'))
    expect(await reasonOf(setup, plain('alice', 'wrong'))).toBe('wrong-password')
    expect(await reasonOf(setup, plain('rotating', 'secret'))).toBe('wrong-password')
    expect(await reasonOf(setup, plain('nobody', 'secret'))).toBe('unknown-user')
    expect(setup.derived).toHaveLength(4)
  })

  test('is remembered for both passwords of a rotation', async () => {
    const setup = fixture(snapshot)
    for (const password of ['one', 'two', 'one', 'two', 'one']) {
      expect(await reasonOf(setup, plain('rotating', password))).toBe('success')
    }
    expect(setup.derived).toHaveLength(2)
  })

  test('is forgotten when users are replaced', async () => {
    const setup = fixture(snapshot)
    await send(setup, plain('alice', 'secret'))
    setup.environment.replaceCredentials(snapshotOf({ alice: 'new' }))
    expect(await reasonOf(setup, plain('alice', 'secret'))).toBe('wrong-password')
    expect(await reasonOf(setup, plain('alice', 'new'))).toBe('success')
  })

  /** Which of these passwords of alice's are remembered after a reload from `before` to `after`. */
  async function stillRemembered(
    before: readonly string[],
    after: readonly string[] | undefined,
    passwords: readonly string[] = ['secret'],
  ): Promise<string[]> {
    const users = (verifiers: readonly string[]) => [{ name: 'alice', verifiers }]
    const { environment } = fixture({ ...snapshot, users: users(before) })
    for (const password of passwords) {
      expect(await reasonOf({ environment, derived: [] }, plain('alice', password))).toBe('success')
    }
    environment.replaceCredentials({
      ...snapshot,
      users: after === undefined ? [] : users(after),
    })
    const { memory } = environment
    return passwords.filter((password) => memory.has('alice', memory.digest('alice', password)))
  }

  test('is remembered as long as what it was checked against is there', async () => {
    const [sha256 = '', sha512 = '', sha1 = ''] = hashPassword('secret')
    const parameters = parseVerifier(sha256)
    if (typeof parameters === 'string') throw new Error(parameters)
    const other = hashPasswordWith('other', parameters)
    const all = [sha256, sha512, sha1]
    expect(all.map((text) => text.replace(/[$].*/, ''))).toEqual([
      'SCRAM-SHA-256',
      'SCRAM-SHA-512',
      'SCRAM-SHA-1',
    ])
    expect(await stillRemembered(all, all)).toEqual(['secret'])
    expect(await stillRemembered(all, [other, ...all])).toEqual(['secret'])
    expect(await stillRemembered(all, [sha256])).toEqual(['secret'])
    const both = ['secret', 'other']
    expect(await stillRemembered([other, ...all], [other, ...all], both)).toEqual(both)
    expect(await stillRemembered([other, ...all], all, both)).toEqual(['secret'])
    expect(await stillRemembered([other, ...all], [other, sha1], both)).toEqual(['other'])
    // PLAIN is checked against the best one, and that is another.
    expect(await stillRemembered([sha1], [other, sha1])).toEqual([])
    expect(await stillRemembered(all, hashPassword('secret'))).toEqual([])
    expect(await stillRemembered(all, [])).toEqual([])
    expect(await stillRemembered(all, undefined)).toEqual([])
  })

  test('is told to the other threads, once, and known there if it is right there', async () => {
    const loginMemoryKey = new Uint8Array(32).fill(5)
    const told: RememberedLogin[] = []
    const onRemembered = (login: RememberedLogin): number => told.push(login)
    const one = fixture(snapshot, { loginMemoryKey, onRemembered })
    for (let login = 0; login < 3; login++) await reasonOf(one, plain('alice', 'secret'))
    await reasonOf(one, plain('alice', 'wrong'))
    expect(told).toHaveLength(1)
    const [login] = structuredClone(told)
    if (login === undefined) throw new Error('nothing was told')

    const another = fixture(snapshot, { loginMemoryKey, onRemembered })
    another.environment.learn(login)
    expect(await reasonOf(another, plain('alice', 'secret'))).toBe('success')
    expect(await reasonOf(another, plain('alice', 'wrong'))).toBe('wrong-password')
    expect(another.derived).toHaveLength(1)
    expect(told).toHaveLength(1)

    const later = fixture(snapshotOf({ alice: 'old' }), { loginMemoryKey })
    later.environment.replaceCredentials(snapshot)
    later.environment.learn(login)
    expect(await reasonOf(later, plain('alice', 'secret'))).toBe('success')
    expect(later.derived).toHaveLength(0)

    const newer = fixture(snapshot, { loginMemoryKey })
    newer.environment.replaceCredentials(snapshotOf({ alice: 'new' }))
    newer.environment.learn(login)
    expect(await reasonOf(newer, plain('alice', 'secret'))).toBe('wrong-password')
    const stranger = fixture(snapshot)
    stranger.environment.learn(login)
    expect(send(stranger, plain('alice', 'secret'))).toBeInstanceOf(Promise)
  })

  test('is not remembered with a memory of none', async () => {
    const setup = fixture(snapshot, { loginMemoryMax: 0 })
    await send(setup, plain('alice', 'secret'))
    await send(setup, plain('alice', 'secret'))
    expect(setup.derived).toHaveLength(2)
  })
})

test('a thousand clients of ten users at once cost ten derivations', async () => {
  const names = Array.from({ length: 10 }, (_, index) => `user${index}`)
  const setup = fixture(snapshotOf(Object.fromEntries(names.map((name) => [name, `pw-${name}`]))))
  const logins = Array.from({ length: 1000 }, (_, index) => {
    const name = names[index % 10] ?? ''
    return reasonOf(setup, plain(name, `pw-${name}`))
  })
  expect(new Set(await Promise.all(logins))).toEqual(new Set(['success']))
  expect(setup.derived).toHaveLength(10)
})

test('a login under way when its user changes or goes is judged by the new users', async () => {
  const setup = fixture(snapshot)
  const changed = reasonOf(setup, plain('alice', 'secret'))
  setup.environment.replaceCredentials(snapshotOf({ alice: 'new' }))
  expect(await changed).toBe('credentials-changed')
  expect(setup.environment.memory.userCount).toBe(0)

  const kept = fixture(snapshot)
  const login = reasonOf(kept, plain('alice', 'secret'))
  kept.environment.replaceCredentials(structuredClone(snapshot))
  expect(await login).toBe('success')
})

test('a full queue refuses as busy without looking at the password', async () => {
  const pending: ((key: Uint8Array) => void)[] = []
  const setup = fixture(snapshot, {
    derivationsMax: 1,
    derivationQueueMax: 0,
    derive: () => new Promise((resolve) => pending.push(resolve)),
  })
  const running = reasonOf(setup, plain('alice', 'secret'))
  expect(await reasonOf(setup, plain('rotating', 'one'))).toBe('busy')
  expect(setup.environment.counters.failures.busy).toBe(1)
  pending[0]?.(Buffer.alloc(32))
  expect(await running).toBe('wrong-password')
})

describe('random and mutated messages', () => {
  test('are split as an independent reading of RFC 4616 says, or refused', () => {
    const part = fc.string({ unit: 'grapheme', maxLength: 8 })
    const property = fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
      const decoded = decodePlainMessage(Buffer.from(parts.join('\0')))
      const split = parts.join('\0').split('\0')
      const [authorizationIdentity, authenticationIdentity = '', password = ''] = split
      const isGood = split.length === 3 && authenticationIdentity !== '' && password !== ''
      expect(decoded).toEqual(
        isGood ? { authorizationIdentity, authenticationIdentity, password } : undefined,
      )
    })
    fc.assert(property, fuzzParameters(2000))
  })

  test('never throw and never log in', async () => {
    const setup = fixture(snapshot, { derive: async () => Buffer.alloc(32) })
    const good = plain('alice', 'secret')
    const mutated = fc
      .tuple(fc.nat(good.length - 1), fc.nat(3), fc.uint8Array({ maxLength: 3 }))
      .map(([at, cut, junk]) => {
        return Buffer.concat([good.subarray(0, at), junk, good.subarray(at + cut)])
      })
    const property = fc.asyncProperty(fc.oneof(mutated, fc.uint8Array()), async (message) => {
      expect(await reasonOf(setup, message)).not.toBe('success')
    })
    await fc.assert(property, fuzzParameters(1000))
  })
})
