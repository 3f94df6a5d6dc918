import { describe, expect, test } from 'vitest'
import {
  type CredentialSnapshot,
  makeSnapshot,
  type UserRecord,
} from '../../../src/credential/credential-snapshot.ts'
import { CredentialStore } from '../../../src/credential/credential-store.ts'
import { NAMESPACE_DEFAULT, NEVER } from '../../../src/credential/principal.ts'
import { RIGHTS_ALL } from '../../../src/credential/rights.ts'
import {
  hashPassword,
  hashPasswordWith,
  parseVerifier,
  SCRAM_HASH_NAMES,
} from '../../../src/credential/verifier.ts'

const DEFAULT_SHAPE = 'SCRAM-SHA-1$4096:16 SCRAM-SHA-256$4096:16 SCRAM-SHA-512$4096:16'

function snapshotOf(users: readonly UserRecord[], keyByte = 1): CredentialSnapshot {
  const decoyKey = Buffer.alloc(32, keyByte)
  return makeSnapshot(users, {
    decoyKey,
    reportKey: Buffer.alloc(32, 8),
    defaultShape: DEFAULT_SHAPE,
    hashes: SCRAM_HASH_NAMES,
  })
}

/** A user whose verifiers cost nothing to make: the keys are arbitrary. */
function userWith(name: string, iterations: number, hashes = SCRAM_HASH_NAMES): UserRecord {
  const lengths = { 'SCRAM-SHA-256': 32, 'SCRAM-SHA-512': 64, 'SCRAM-SHA-1': 20 }
  const salt = Buffer.from(name.padEnd(16, '.')).toString('base64')
  const verifiers = hashes.map((hash) => {
    const key = Buffer.alloc(lengths[hash], 5).toString('base64')
    return `${hash}$${iterations}:${salt}$${key}:${key}`
  })
  return { name, verifiers }
}

describe('find', () => {
  test('gives a known user its own salt, iterations and keys', () => {
    const verifiers = hashPassword('secret', { iterations: 5000 })
    const store = new CredentialStore(snapshotOf([{ name: 'alice', verifiers }]))
    for (const text of verifiers) {
      const verifier = parseVerifier(text)
      if (typeof verifier === 'string') throw new Error(verifier)
      const found = store.find('alice', verifier.hash.name)
      expect(found).toMatchObject({ known: true, keyCount: 1, iterations: 5000 })
      expect(found?.salt).toEqual(verifier.salt)
      expect(found?.keys[0].storedKey).toEqual(verifier.storedKey)
      expect(found?.keys[0].serverKey).toEqual(verifier.serverKey)
      expect(found?.keys[1].storedKey).toHaveLength(verifier.hash.digestBytes)
    }
  })

  test('gives both keys during a rotation', () => {
    const [first = ''] = hashPassword('one')
    const parsed = parseVerifier(first)
    if (typeof parsed === 'string') throw new Error(parsed)
    const second = hashPasswordWith('two', parsed)
    const store = new CredentialStore(snapshotOf([{ name: 'a', verifiers: [first, second] }]))
    const found = store.findForPassword('a')
    expect(found.keyCount).toBe(2)
    expect(found.keys[0].storedKey).not.toEqual(found.keys[1].storedKey)
  })

  test('gives an unknown user a decoy that stays the same over reloads and restarts', () => {
    const store = new CredentialStore(snapshotOf([userWith('alice', 4096)]))
    const before = store.find('ghost', 'SCRAM-SHA-256')
    expect(before).toMatchObject({ known: false, keyCount: 1, iterations: 4096 })
    store.replace(snapshotOf([userWith('alice', 4096), userWith('bob', 4096)]))
    expect(store.find('ghost', 'SCRAM-SHA-256')).toEqual(before)
    expect(new CredentialStore(snapshotOf([])).find('ghost', 'SCRAM-SHA-256')).toEqual(before)
  })

  test('gives unknown users different salts, and others under another key', () => {
    const store = new CredentialStore(snapshotOf([]))
    const salts = ['a', 'b', 'c'].map((name) => store.find(name, 'SCRAM-SHA-1')?.salt.join())
    const other = new CredentialStore(snapshotOf([], 2)).find('a', 'SCRAM-SHA-1')?.salt.join()
    expect(new Set([...salts, other]).size).toBe(4)
  })

  test('prefers SHA-256 for a password, then SHA-512, then SHA-1', () => {
    const of = (...hashes: (typeof SCRAM_HASH_NAMES)[number][]): string => {
      const store = new CredentialStore(snapshotOf([userWith('a', 4096, hashes)]))
      expect(store.findForPassword('ghost').hash).toEqual(store.findForPassword('a').hash)
      return store.findForPassword('a').hash.name
    }
    expect(of('SCRAM-SHA-1', 'SCRAM-SHA-512', 'SCRAM-SHA-256')).toBe('SCRAM-SHA-256')
    expect(of('SCRAM-SHA-1', 'SCRAM-SHA-512')).toBe('SCRAM-SHA-512')
    expect(of('SCRAM-SHA-1')).toBe('SCRAM-SHA-1')
  })
})

describe('decoys', () => {
  test('have the shapes of the real users, in proportion', () => {
    const users = Array.from({ length: 100 }, (_, index) =>
      userWith(`user${index}`, index < 75 ? 4096 : 10_000),
    )
    const store = new CredentialStore(snapshotOf(users))
    let fewCount = 0
    for (let index = 0; index < 1000; index += 1) {
      if (store.findForPassword(`ghost${index}`).iterations === 4096) fewCount += 1
    }
    // 750 expected; the draw is fixed by the key, and six standard deviations are 82.
    expect(Math.abs(fewCount - 750)).toBeLessThan(82)
  })

  test('keep all that they show when a user of another shape comes, save for its share', () => {
    const users = Array.from({ length: 99 }, (_, index) => userWith(`user${index}`, 4096))
    const others = Array.from({ length: 30 }, (_, index) => userWith(`other${index}`, 6000))
    const before = new CredentialStore(snapshotOf([...users, ...others]))
    const after = new CredentialStore(snapshotOf([...users, ...others, userWith('new', 10_000)]))
    let movedCount = 0
    for (let index = 0; index < 1000; index += 1) {
      const [was, is] = [before, after].map((store) => store.findForPassword(`ghost${index}`))
      if (is?.iterations === was?.iterations) expect(is).toEqual(was)
      else {
        movedCount += 1
        // Never from one of the old shapes to the other.
        expect(is?.iterations).toBe(10_000)
      }
    }
    expect(movedCount).toBeLessThan(30)
  })

  test('show another salt with another shape, as a user does who gets a new password', () => {
    const before = new CredentialStore(snapshotOf([userWith('user', 4096)]))
    const after = new CredentialStore(snapshotOf([userWith('user', 10_000)]))
    for (const hash of SCRAM_HASH_NAMES) {
      const [was, is] = [before, after].map((store) => store.find('ghost', hash))
      expect(is?.iterations).toBe(10_000)
      expect(is?.salt).toHaveLength(was?.salt.length ?? 0)
      expect(is?.salt).not.toEqual(was?.salt)
    }
  })

  test('imitate at most eight shapes, the most frequent', () => {
    const users = Array.from({ length: 100 }, (_, index) => userWith(`u${index}`, 5000 + index))
    const snapshot = snapshotOf([...users, userWith('x', 4096), userWith('y', 4096)])
    expect(snapshot.shapes).toHaveLength(8)
    expect(snapshot.shapes[0]?.userCount).toBe(2)
  })
})

test('a hash that some users have no verifier of is lacking, with those users', () => {
  const users = [userWith('a', 4096), userWith('b', 4096, ['SCRAM-SHA-1', 'SCRAM-SHA-256'])]
  expect(snapshotOf(users).lacking).toEqual([
    { hash: 'SCRAM-SHA-512', userCount: 1, userNames: ['b'] },
  ])
  expect(snapshotOf([]).lacking).toEqual([])
})

test('a principal is made of a user that there is, with all rights, for as long as it stays', () => {
  const store = new CredentialStore(snapshotOf([userWith('alice', 4096)]))
  const alice = {
    name: 'alice',
    origin: 'users',
    rights: RIGHTS_ALL,
    namespace: NAMESPACE_DEFAULT,
    expiresAt: NEVER,
  }
  expect(store.principalOf('alice')).toEqual(alice)
  expect(store.find('alice', 'SCRAM-SHA-256')?.principal).toEqual(alice)
  expect(() => store.principalOf('bob')).toThrow('assertion failed')
  store.replace(snapshotOf([]))
  expect(() => store.principalOf('alice')).toThrow('assertion failed')
})
