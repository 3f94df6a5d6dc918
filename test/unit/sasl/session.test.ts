import { pbkdf2Sync } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { userPrincipal } from '../../../src/credential/principal.ts'
import { createSaslEnvironment } from '../../../src/sasl/environment.ts'
import { SaslSession } from '../../../src/sasl/session.ts'
import { pipeAt } from '../../support/pipe.ts'
import { ALL_MECHANISMS, fixture, plain, scramLogin, snapshotOf } from './fixture.ts'

const snapshot = snapshotOf({ alice: 'secret', bob: 'secret' })

let { environment } = fixture(snapshot)
let session = new SaslSession(environment, pipeAt('192.0.2.1'))

beforeEach(() => {
  ;({ environment } = fixture(snapshot))
  session = new SaslSession(environment, pipeAt('192.0.2.1'))
})

describe('a session', () => {
  test.each(['PLAIN', 'plain', 'Plain'])('knows %s, in whatever case', async (name) => {
    expect(await session.start(name, plain('alice', 'secret'))).toMatchObject({
      kind: 'success',
      mechanism: 'PLAIN',
    })
  })

  test.each(['', 'LOGIN', 'ANONYMOUS', 'PLAIN ', 'PLA\u0131N', 'SCRAM-SHA-256-PLUS', 'EXTERNAL'])(
    'refuses the mechanism %j like any failed login',
    (name) => {
      expect(session.start(name, plain('alice', 'secret'))).toEqual({
        kind: 'failure',
        reason: 'unknown-mechanism',
        user: '',
        unknownUser: '',
        mechanism: /^[\w-]+$/.test(name) ? name : '(malformed)',
      })
    },
  )

  test('reports nothing that a stranger made up', async () => {
    // A whole PLAIN message in the place of the name: nothing of it may come near a log.
    for (const name of ['PLAIN\0alice\0secret', 'A\u001b[2J\n', 'B'.repeat(100)]) {
      expect(session.start(name, undefined)).toMatchObject({ mechanism: '(malformed)' })
    }
    for (const name of ['hunter2', 'SCRAM-SHA-257', 'PLAINer', 'alice']) {
      expect(session.start(name, undefined)).toMatchObject({ mechanism: '(unknown)' })
    }
    const names = ['hunter2', 'hunter2', 'hunter3', '\u202eeve\r\n\u001b[2J', 'e'.repeat(1000), 'e']
    const claims: string[] = []
    for (const name of names) {
      const step = await session.start('PLAIN', plain(name, 'x'))
      if (step.kind !== 'failure') throw new Error('a stranger logged in')
      expect(step.user).toBe('')
      claims.push(step.unknownUser)
    }
    expect(claims.map((claim) => claim.replace(/[0-9a-f]{8}$/, '#'))).toEqual([
      '7 characters, #',
      '7 characters, #',
      '7 characters, #',
      '10 characters, #',
      '1000 characters, #',
      '1 character, #',
    ])
    expect(claims[0]).toBe(claims[1])
    expect(claims[0]).not.toBe(claims[2])
  })

  test('names a user that there is, whatever the reason, as it is known', async () => {
    const odd = fixture(snapshotOf({ IX: 'x', 'li\nne': 'x', [`${'e'.repeat(200)}`]: 'x' }))
    const at = new SaslSession(odd.environment, pipeAt(''))
    const users: string[] = []
    for (const name of ['\u2168', 'li\nne', 'e'.repeat(200)]) {
      const step = await at.start('PLAIN', plain(name, 'wrong'))
      users.push(step.kind === 'failure' ? step.user : step.kind)
    }
    expect(users).toEqual(['IX', 'li\ufffdne', `${'e'.repeat(128)}...`])
    expect(at.start('PLAIN', plain('IX', 'x', 'secret'))).toMatchObject({
      reason: 'bad-authzid',
      user: 'IX',
      unknownUser: '',
    })
  })

  test('makes other tags in another process', async () => {
    const { environment: other } = fixture({ ...snapshot, reportKey: Buffer.alloc(32, 1) })
    const one = await session.start('PLAIN', plain('hunter2', 'x'))
    const two = await new SaslSession(other, pipeAt('')).start('PLAIN', plain('hunter2', 'x'))
    if (one.kind !== 'failure' || two.kind !== 'failure') throw new Error('a stranger logged in')
    expect(one.unknownUser).not.toBe(two.unknownUser)
  })

  test.each(ALL_MECHANISMS)('asks for the message of %s when it did not come along', (name) => {
    for (const initial of [undefined, Buffer.alloc(0)]) {
      expect(session.start(name, initial)).toEqual({ kind: 'challenge', bytes: new Uint8Array(0) })
    }
  })

  test('takes the message of PLAIN with the next step', async () => {
    session.start('PLAIN', undefined)
    expect(await session.step(plain('alice', 'secret'))).toMatchObject({ kind: 'success' })
  })

  test('takes an empty message after an empty challenge for a malformed one', () => {
    for (const name of ALL_MECHANISMS) {
      session.start(name, undefined)
      expect(session.step(Buffer.alloc(0))).toMatchObject({ reason: 'malformed', mechanism: name })
    }
  })

  test('refuses a response without a login under way', () => {
    expect(session.step(plain('alice', 'secret'))).toMatchObject({ reason: 'out-of-sequence' })
    session.start('PLAIN', Buffer.from('bad'))
    expect(session.step(plain('alice', 'secret'))).toMatchObject({ reason: 'out-of-sequence' })
  })

  test('serves one login after the other, whatever became of the one before', async () => {
    const login = (
      mechanism: string,
      user: string,
      password: string,
    ): ReturnType<typeof scramLogin> => scramLogin(session, { mechanism, user, password })
    expect(await session.start('PLAIN', plain('alice', 'wrong'))).toMatchObject({ kind: 'failure' })
    expect(await login('SCRAM-SHA-1', 'bob', 'secret')).toMatchObject({ kind: 'success' })
    expect(await login('SCRAM-SHA-512', 'bob', 'wrong')).toMatchObject({ kind: 'failure' })
    session.start('SCRAM-SHA-256', Buffer.from('n,,n=alice,r=abc'))
    expect(await session.start('PLAIN', plain('alice', 'secret'))).toMatchObject({
      kind: 'success',
      principal: userPrincipal('alice'),
    })
  })

  test('does not let one mechanism go on with the other', () => {
    session.start('SCRAM-SHA-256', Buffer.from('n,,n=alice,r=abc'))
    session.start('PLAIN', undefined)
    expect(session.step(Buffer.from('c=biws,r=abc,p=AAAA'))).toMatchObject({
      reason: 'malformed',
      mechanism: 'PLAIN',
    })
  })

  test('reads the response before it returns', async () => {
    const message = plain('alice', 'secret')
    const step = session.start('PLAIN', message)
    message.fill(0)
    expect(await step).toMatchObject({ kind: 'success' })
  })
})

describe('a login that derives a key', () => {
  test('fails as aborted when the session is aborted meanwhile', async () => {
    const step = session.start('PLAIN', plain('alice', 'secret'))
    session.abort()
    expect(await step).toEqual({
      kind: 'failure',
      reason: 'aborted',
      user: 'alice',
      unknownUser: '',
      mechanism: 'PLAIN',
    })
  })

  test('that was aborted never succeeds, at whatever moment the abort came', async () => {
    for (let moments = 0; moments < 30; moments += 1) {
      const quick = fixture(snapshot, { loginMemoryMax: 0, derive: async () => saltedPassword })
      const salt = Buffer.from(quick.environment.credentials.findForPassword('alice').salt)
      const saltedPassword = pbkdf2Sync('secret', salt, 4096, 32, 'sha256')
      const login = new SaslSession(quick.environment, pipeAt(''))
      const step = login.start('PLAIN', plain('alice', 'secret'))
      for (let moment = 0; moment < moments; moment += 1) await undefined
      const cameFirst = quick.environment.counters.successes === 1
      login.abort()
      expect((await step).kind).toBe(cameFirst ? 'success' : 'failure')
      if (cameFirst) return expect(moments).toBeGreaterThan(2)
    }
    throw new Error('the login took more moments than were tried')
  })

  test('fails as aborted when another begins or a response comes out of turn', async () => {
    const first = session.start('PLAIN', plain('alice', 'secret'))
    const second = session.start('PLAIN', plain('bob', 'secret'))
    expect(session.step(Buffer.from('x'))).toMatchObject({ reason: 'out-of-sequence' })
    expect(await first).toMatchObject({ reason: 'aborted', user: 'alice' })
    expect(await second).toMatchObject({ reason: 'aborted', user: 'bob' })
    expect(environment.counters.failures.aborted).toBe(2)
  })

  test('gives its place in the queue up when it is aborted', async () => {
    const pending: (() => void)[] = []
    const { environment: slow, derived } = fixture(snapshot, {
      derivationsMax: 1,
      derive: () => new Promise((resolve) => pending.push(() => resolve(Buffer.alloc(32)))),
    })
    const running = new SaslSession(slow, pipeAt('a')).start('PLAIN', plain('alice', '1'))
    const waiting = new SaslSession(slow, pipeAt('a'))
    const step = waiting.start('PLAIN', plain('alice', '2'))
    waiting.abort()
    expect(await step).toMatchObject({ reason: 'aborted' })
    expect(slow.derivations.waitingCount).toBe(0)
    pending[0]?.()
    await running
    expect(derived).toHaveLength(1)
  })

  test('passes the error of a broken derivation on', async () => {
    const { environment: broken } = fixture(snapshot, {
      derive: () => Promise.reject(new Error('no threads')),
    })
    const step = new SaslSession(broken, pipeAt('')).start('PLAIN', plain('alice', 'secret'))
    await expect(step).rejects.toThrow('no threads')
  })
})

describe('what is announced', () => {
  test('is the configured list in its order', () => {
    expect(environment.mechanisms).toBe('SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN')
    const mechanisms = ['PLAIN', 'SCRAM-SHA-1']
    expect(fixture(snapshot, { mechanisms }).environment.mechanisms).toBe('PLAIN SCRAM-SHA-1')
  })

  test('is only what every user can use, and the rest is refused', () => {
    const [alice, bob] = snapshot.users
    const verifiers = (bob?.verifiers ?? []).filter((text) => !text.includes('SHA-512'))
    const lacking = [{ hash: 'SCRAM-SHA-512' as const, userCount: 1, userNames: ['bob'] }]
    const users = [alice, { name: 'bob', verifiers }].flatMap((user) => user ?? [])
    environment.replaceCredentials({ ...snapshot, users, lacking })
    expect(environment.mechanisms).toBe('SCRAM-SHA-256 SCRAM-SHA-1 PLAIN')
    expect(environment.withheld()).toEqual(lacking)
    const message = Buffer.from('n,,n=alice,r=abc')
    expect(session.start('SCRAM-SHA-512', message)).toMatchObject({ reason: 'unknown-mechanism' })
    expect(session.start('SCRAM-SHA-256', message)).toMatchObject({ kind: 'challenge' })
    environment.replaceCredentials(snapshot)
    expect(environment.withheld()).toEqual([])
    expect(session.start('SCRAM-SHA-512', message)).toMatchObject({ kind: 'challenge' })
  })

  test('must not be empty or unknown', () => {
    const lacking = [{ hash: 'SCRAM-SHA-1' as const, userCount: 1, userNames: ['bob'] }]
    const clocks = { monotonicMs: () => 0, epochSeconds: () => 0 }
    const options = { snapshot: { ...snapshot, lacking }, ...clocks }
    expect(() => createSaslEnvironment({ ...options, mechanisms: ['SCRAM-SHA-1'] })).toThrow(
      'no mechanism',
    )
    expect(() => createSaslEnvironment({ ...options, mechanisms: ['CRAM-MD5'] })).toThrow(
      'unknown mechanism CRAM-MD5',
    )
  })
})

test('every failure is counted under its reason', async () => {
  await session.start('PLAIN', plain('alice', 'wrong'))
  await session.start('PLAIN', plain('nobody', 'x'))
  await session.start('PLAIN', plain('alice', 'x', 'bob'))
  session.start('LOGIN', undefined)
  session.step(Buffer.alloc(0))
  expect(environment.counters.failures).toEqual({
    'unknown-user': 1,
    'wrong-password': 1,
    'no-password': 0,
    malformed: 0,
    'bad-authzid': 1,
    'unknown-mechanism': 1,
    'needs-tls': 0,
    'channel-binding': 0,
    downgrade: 0,
    'no-certificate': 0,
    'certificate-of-nobody': 0,
    'certificate-expired': 0,
    'certificate-of-several': 0,
    'out-of-sequence': 1,
    busy: 0,
    throttled: 0,
    audit: 0,
    'namespace-full': 0,
    'credentials-changed': 0,
    aborted: 0,
    'token-algorithm': 0,
    'token-key': 0,
    'token-signature': 0,
    'token-expired': 0,
    'token-not-yet-valid': 0,
    'token-issuer': 0,
    'token-audience': 0,
    'token-claims': 0,
  })
})
