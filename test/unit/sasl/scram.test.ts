import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { CredentialStore } from '../../../src/credential/credential-store.ts'
import { userPrincipal } from '../../../src/credential/principal.ts'
import {
  findScramHash,
  hashPasswordWith,
  type ScramHashName,
} from '../../../src/credential/verifier.ts'
import { ScramMechanism } from '../../../src/sasl/scram.ts'
import { SaslSession } from '../../../src/sasl/session.ts'
import { pipeAt, tlsPipeAt } from '../../support/pipe.ts'
import { fuzzParameters } from '../credential/fuzz-parameters.ts'
import {
  fixture,
  plaintextSnapshotOf,
  type ScramClientOptions,
  scramLogin,
  snapshotOf,
  textOf,
} from './fixture.ts'

const snapshot = snapshotOf({
  alice: 'secret',
  'a=b,c': 'secret',
  rotating: ['one', 'two'],
  '\u{1F511}': '\u{1F511}',
  IX: 'I\u00adX',
})
const HASHES = ['SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512']

let { environment, derived } = fixture(snapshot)
let session = new SaslSession(environment, pipeAt('192.0.2.1'))

beforeEach(() => {
  ;({ environment, derived } = fixture(snapshot))
  session = new SaslSession(environment, pipeAt('192.0.2.1'))
})

function login(options: Partial<ScramClientOptions> = {}): ReturnType<typeof scramLogin> {
  return scramLogin(session, {
    mechanism: 'SCRAM-SHA-256',
    user: 'alice',
    password: 'secret',
    ...options,
  })
}

async function reasonOf(options: Partial<ScramClientOptions>): Promise<string> {
  const step = await login(options)
  return step.kind === 'failure' ? step.reason : step.kind
}

describe.each(HASHES)('%s', (mechanism) => {
  test.each([
    ['alice', 'secret', 'n,,'],
    ['alice', 'secret', 'y,,'],
    ['alice', 'secret', 'n,a=alice,'],
    ['a=b,c', 'secret', 'n,a=a=3Db=2Cc,'],
    ['rotating', 'one', 'n,,'],
    ['rotating', 'two', 'n,,'],
    ['\u{1F511}', '\u{1F511}', 'n,,'],
    ['\u2168', 'IX', 'n,a=IX,'],
  ])('logs %s in with password %s and header %s', async (user, password, gs2Header) => {
    const name = user === '\u2168' ? 'IX' : user
    expect(await login({ mechanism, user, password, gs2Header })).toEqual({
      kind: 'success',
      principal: userPrincipal(name),
      mechanism,
    })
  })

  test('refuses a wrong password and an unknown user at the same step', async () => {
    expect(await reasonOf({ mechanism, password: 'wrong' })).toBe('wrong-password')
    expect(await reasonOf({ mechanism, user: 'nobody' })).toBe('unknown-user')
  })

  test('needs no key derivation', async () => {
    await login({ mechanism })
    expect(derived).toEqual([])
  })
})

test('an unknown user sees a challenge like any other, and the same again', () => {
  const challenge = (user: string): string => {
    const first = session.start('SCRAM-SHA-256', Buffer.from(`n,,n=${user},r=abc`))
    if (first instanceof Promise) throw new Error('SCRAM does not wait')
    return textOf(first)
  }
  const shape = /^r=abc([A-Za-z0-9+/]{24}),(s=[A-Za-z0-9+/]{22}==,i=4096)$/
  const [real, ghost, again, other] = ['alice', 'ghost', 'ghost', 'other'].map((user) =>
    shape.exec(challenge(user)),
  )
  expect(real).not.toBeNull()
  expect(ghost).not.toBeNull()
  expect(ghost?.[2]).toBe(again?.[2])
  expect(ghost?.[2]).not.toBe(other?.[2])
  expect(ghost?.[1]).not.toBe(again?.[1])
})

test('a user whose password is in the clear has the salt it would have as an unknown one', async () => {
  const before = fixture(await plaintextSnapshotOf({ alice: 'secret' }))
  const step = await scramLogin(new SaslSession(before.environment, pipeAt('')), {
    mechanism: 'SCRAM-SHA-256',
    user: 'alice',
    password: 'secret',
  })
  expect(step.kind).toBe('success')
  const saltOf = (name: string): string => {
    return Buffer.from(
      before.environment.credentials.find(name, 'SCRAM-SHA-256')?.salt ?? [],
    ).toString('hex')
  }
  const known = saltOf('alice')
  before.environment.replaceCredentials({ ...before.environment.credentials.snapshot, users: [] })
  expect(saltOf('alice')).toBe(known)
})

describe('client-first is refused', () => {
  test.each([
    ['p=tls-unique,,n=alice,r=abc', 'channel-binding'],
    ['p=tls-exporter,,n=alice,r=abc', 'channel-binding'],
    ['n,a=bob,n=alice,r=abc', 'bad-authzid'],
    ['n,a=,n=alice,r=abc', 'malformed'],
    ['n,alice,n=alice,r=abc', 'malformed'],
    ['n', 'malformed'],
    ['n,', 'malformed'],
    ['n,,', 'malformed'],
    ['n,,n=alice', 'malformed'],
    ['n,,n=alice,r=', 'malformed'],
    ['n,,r=abc,n=alice', 'malformed'],
    ['n,,n=,r=abc', 'malformed'],
    ['n,,m=ext,n=alice,r=abc', 'malformed'],
    ['n,,n=alice,r=abc,m=ext', 'malformed'],
    ['n,,n=alice,r=abc,r=abc', 'malformed'],
    ['n,,n=alice,r=abc,', 'malformed'],
    ['n,,n=alice,r=abc,ext', 'malformed'],
    ['n,,n=ali=ce,r=abc', 'malformed'],
    ['n,,n=ali=2cce,r=abc', 'malformed'],
    ['n,,n=ali=3,r=abc', 'malformed'],
    ['n,,n=ali\0ce,r=abc', 'malformed'],
    ['n,,n=alice,r=a c', 'malformed'],
    ['n,,n=alice,r=\u00e4', 'malformed'],
    ['n,,n=alice,r=a\u007f', 'malformed'],
    ['N,,n=alice,r=abc', 'malformed'],
    ['x,,n=alice,r=abc', 'malformed'],
    ['p=,,n=alice,r=abc', 'malformed'],
    ['\uFEFFn,,n=alice,r=abc', 'malformed'],
    [`n,,n=${'a'.repeat(1025)},r=abc`, 'malformed'],
    [`n,,n=alice,r=${'a'.repeat(513)}`, 'malformed'],
    [`n,,n=alice,r=abc,x=${'a'.repeat(8192)}`, 'malformed'],
  ])('%j', (message, reason) => {
    expect(session.start('SCRAM-SHA-256', Buffer.from(message))).toMatchObject({
      kind: 'failure',
      reason,
    })
    expect(session.step(Buffer.from('c=biws,r=abc,p=AAAA'))).toMatchObject({
      reason: 'out-of-sequence',
    })
  })

  test('that is not UTF-8', () => {
    const message = Buffer.from('n,,n=al\xffice,r=abc', 'latin1')
    expect(session.start('SCRAM-SHA-256', message)).toMatchObject({ reason: 'malformed' })
  })
})

test('a client-first at its limits is accepted', () => {
  const name = '=2C'.repeat(1024)
  const message = Buffer.from(`n,a=${name},n=${name},r=${'a'.repeat(512)},x=an=extension`)
  expect(session.start('SCRAM-SHA-256', message)).toMatchObject({ kind: 'challenge' })
})

describe('client-final is refused', () => {
  test.each([
    ['a proof of the wrong length', (text) => text.replace(/p=.*/, 'p=AAAA'), 'malformed'],
    ['a proof that is longer', (text) => text.replace(/p=/, 'p=AAAA'), 'malformed'],
    ['no proof', (text) => text.replace(/,p=.*/, ''), 'malformed'],
    ['an empty proof', (text) => text.replace(/p=.*/, 'p='), 'malformed'],
    ['a proof in other base64', (text) => text.replace(/=$/, ''), 'malformed'],
    ['something behind the proof', (text) => `${text},x=y`, 'malformed'],
    ['two proofs', (text) => `${text},${text.split(',')[2]}`, 'malformed'],
    ['another nonce', (text) => text.replace(/r=./, 'r=!'), 'malformed'],
    ['a shorter nonce', (text) => text.replace(/.,p=/, ',p='), 'malformed'],
    ['another header in c=', (text) => text.replace('c=biws', 'c=eSws'), 'channel-binding'],
    [
      'a header with authzid in c=',
      (text) => text.replace('biws', 'bixhPWFsaWNlLA=='),
      'channel-binding',
    ],
    ['an empty c=', (text) => text.replace('c=biws', 'c='), 'channel-binding'],
    ['m= in it', (text) => text.replace(',p=', ',m=x,p='), 'malformed'],
    ['another order', (text) => text.split(',').reverse().join(','), 'malformed'],
    ['nothing', () => '', 'malformed'],
    ['more than 8 KiB', (text) => text.replace(',p=', `,x=${'y'.repeat(8192)},p=`), 'malformed'],
    [
      'an extension that the proof does not cover',
      (text) => text.replace(',p=', ',x=y,p='),
      'wrong-password',
    ],
  ] as [string, (text: string) => string, string][])('with %s', async (_what, spoil, reason) => {
    expect(await reasonOf({ spoil })).toBe(reason)
  })
})

test('after the signature only an empty response ends the login, and only once', async () => {
  let spoiled: unknown
  const impatient: Pick<SaslSession, 'start' | 'step'> = {
    start: (name, response) => session.start(name, response),
    step: (response) => {
      if (response.length === 0) spoiled = session.step(Buffer.from('x'))
      return session.step(response)
    },
  }
  const options = { mechanism: 'SCRAM-SHA-1', user: 'alice', password: 'secret' }
  const last = await scramLogin(impatient as SaslSession, options)
  expect(spoiled).toMatchObject({ kind: 'failure', reason: 'malformed' })
  expect(last).toMatchObject({ kind: 'failure', reason: 'out-of-sequence' })
  expect(await login()).toMatchObject({ kind: 'success' })
  expect(session.step(Buffer.alloc(0))).toMatchObject({ reason: 'out-of-sequence' })
})

test('a mechanism that has failed or ended stays so, whatever comes', async () => {
  const hash = findScramHash('SCRAM-SHA-256')
  if (hash === undefined) throw new Error('no SHA-256')
  const first = Buffer.from('n,,n=alice,r=abc')
  for (const wrong of [Buffer.from('wrong'), Buffer.alloc(9000), Buffer.from([0xff])]) {
    const mechanism = new ScramMechanism(
      environment,
      hash,
      pipeAt('192.0.2.1'),
      'may-bind',
      () => undefined,
    )
    expect(mechanism.next(first).kind).toBe('challenge')
    expect(mechanism.next(wrong)).toEqual({ kind: 'failure', reason: 'malformed' })
    expect(mechanism.next(first)).toEqual({ kind: 'failure', reason: 'out-of-sequence' })
    expect(mechanism.next(first)).toEqual({ kind: 'failure', reason: 'out-of-sequence' })
  }
})

test('a login that is overtaken by a change of the user is refused, by another change is not', async () => {
  const changed = snapshotOf({ alice: 'other' })
  const during =
    (next: typeof snapshot) =>
    (text: string): string => {
      environment.replaceCredentials(next)
      return text
    }
  expect(await reasonOf({ spoil: during(changed) })).toBe('credentials-changed')
  environment.replaceCredentials(snapshot)
  const more = snapshotOf({ bob: 'x' })
  const both = { ...snapshot, users: [...snapshot.users, ...more.users] }
  expect(await reasonOf({ spoil: during(both) })).toBe('success')
  const removed = { ...snapshot, users: snapshot.users.filter(({ name }) => name !== 'alice') }
  expect(await reasonOf({ spoil: during(removed) })).toBe('credentials-changed')
})

test('a user who is removed before the last, empty response is not logged in', async () => {
  const removed = { ...snapshot, users: snapshot.users.filter(({ name }) => name !== 'alice') }
  const step = await login({ beforeLast: () => environment.replaceCredentials(removed) })
  expect(step).toMatchObject({ kind: 'failure', reason: 'credentials-changed' })
})

describe('after the proof, before the last response,', () => {
  const rotated = snapshotOf({ alice: ['secret', 'newer'] })
  const [alice] = rotated.users
  const of = (verifiers: readonly string[]): typeof snapshot => {
    return { ...rotated, users: [{ name: 'alice', verifiers }] }
  }
  // One hash after the other: first the old password's three verifiers, then the newer's.
  const old = of(alice?.verifiers.slice(0, 3) ?? [])
  const newer = of(alice?.verifiers.slice(3) ?? [])

  async function outcome(...reloads: (typeof snapshot)[]): Promise<string> {
    environment.replaceCredentials(reloads[0] ?? snapshot)
    return await reasonOf({
      beforeLast: () => {
        for (const next of reloads.slice(1)) environment.replaceCredentials(next)
      },
    })
  }

  test('another password with the same salt refuses the old one', async () => {
    expect(await outcome(old, newer)).toBe('credentials-changed')
  })

  test('the end of a rotation refuses the password that went', async () => {
    expect(await outcome(rotated, newer)).toBe('credentials-changed')
    expect(await outcome(rotated, old)).toBe('success')
  })

  test('the beginning of a rotation refuses nobody', async () => {
    expect(await outcome(old, rotated)).toBe('success')
  })

  test('a user who was removed and added anew is another one', async () => {
    expect(await outcome(old, { ...old, users: [] }, snapshot)).toBe('credentials-changed')
    expect(await outcome(old, { ...old, users: [] }, newer)).toBe('credentials-changed')
    expect(await outcome(old, { ...old, users: [] }, old)).toBe('success')
  })

  test('a user without a verifier of this hash is refused', async () => {
    const lacking = of((alice?.verifiers ?? []).filter((text) => !text.includes('SHA-256')))
    expect(await outcome(old, lacking)).toBe('credentials-changed')
  })
})

test('a login that was begun while there was no such user does not become one of it', async () => {
  const before = await plaintextSnapshotOf({ bob: 'x' })
  // The salt is that of the decoy, so that the proof fits: the users are read by one source.
  const after = {
    ...before,
    users: [
      ...before.users,
      {
        name: 'alice',
        verifiers: ['SCRAM-SHA-256', 'SCRAM-SHA-512', 'SCRAM-SHA-1'].flatMap((name) => {
          const credential = new CredentialStore(before).find('alice', name as ScramHashName)
          return credential === undefined ? [] : hashPasswordWith('secret', credential)
        }),
      },
    ],
  }
  environment.replaceCredentials(before)
  const reason = await reasonOf({
    spoil: (text) => {
      environment.replaceCredentials(after)
      return text
    },
  })
  expect(reason).toBe('credentials-changed')
  expect(await reasonOf({})).toBe('success')
})

test('random and mutated messages never throw and never log in', async () => {
  const good = ',a=alice,n=alice,r=fyko+d2lbbFgONRv9qkxdawL'
  const mutated = fc
    .tuple(
      fc.constantFrom(`n${good}`, `p=tls-exporter${good}`),
      fc.nat(good.length),
      fc.nat(4),
      fc.uint8Array({ maxLength: 4 }),
    )
    .map(([whole, at, cut, junk]) => {
      return Buffer.concat([
        Buffer.from(whole.slice(0, at)),
        junk,
        Buffer.from(whole.slice(at + cut)),
      ])
    })
  const grammar = fc
    .array(
      fc.constantFrom(
        'n',
        'y',
        'p=',
        'p=tls-exporter',
        ',',
        'a=',
        'n=',
        'r=',
        'c=',
        'm=',
        '=2C',
        'alice',
        'biws',
        '\0',
      ),
    )
    .map((parts) => Buffer.from(parts.join('')))
  const message = fc.oneof(mutated, grammar, fc.uint8Array({ maxLength: 64 }))
  const bound = HASHES.map((name) => `${name}-PLUS`)
  const property = fc.property(
    fc.constantFrom(...HASHES, ...bound),
    fc.constantFrom(pipeAt(''), tlsPipeAt(''), tlsPipeAt('', { version: 'TLSv1.2' })),
    fc.array(message, { minLength: 1, maxLength: 4 }),
    (mechanism, pipe, messages) => {
      const victim = new SaslSession(environment, pipe)
      let step = victim.start(mechanism, messages[0])
      for (const next of messages.slice(1)) {
        if (step instanceof Promise) throw new Error('SCRAM does not wait')
        if (step.kind !== 'challenge') break
        step = victim.step(next)
      }
      expect(step).not.toMatchObject({ kind: 'success' })
    },
  )
  fc.assert(property, fuzzParameters(2000))
})
