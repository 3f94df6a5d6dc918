import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Channel } from '../../../src/base/channel.ts'
import { Peer } from '../../../src/base/peer.ts'
import type { Pipe } from '../../../src/base/pipe.ts'
import { makeSnapshot } from '../../../src/credential/credential-snapshot.ts'
import { NEVER } from '../../../src/credential/principal.ts'
import { parseKeySet } from '../../../src/credential/token-keys.ts'
import { loadTokenTools } from '../../../src/credential/token-verifier.ts'
import { SaslSession, type SaslStep } from '../../../src/sasl/session.ts'
import type { TokenLogins } from '../../../src/sasl/token-logins.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import {
  bearer,
  claimsOf,
  keySetText,
  NOW_SECONDS,
  publicJwk,
  type SigningKey,
  signingKey,
  tokenOf,
} from '../../support/token-issuer.ts'
import { keySetOf, manualTokenLogins } from '../../support/token-logins.ts'
import { fixture, plain, snapshotOf } from './fixture.ts'

const ERROR_CHALLENGE = '{"status":"invalid_token"}'
const ACKNOWLEDGEMENT = Buffer.from('\u0001')

const one = signingKey('ES256', 'one')
const two = signingKey('ES256', 'two')

function pipeOf(kind: Channel['kind'], address = '192.0.2.1'): Pipe {
  const tls = {
    version: 'TLSv1.3',
    certificate: undefined,
    localCertificate: undefined,
    exporter: () => undefined,
  }
  return {
    peer: Peer.at(address, 1),
    channel: { kind, listenerIndex: 0, ...(kind === 'tls' ? { tls } : {}) },
  }
}

let clock: ManualClock
let askCount: number
let tokens: TokenLogins
let environment: ReturnType<typeof fixture>['environment']

function open(address?: string): SaslSession {
  return new SaslSession(environment, pipeOf('tls', address))
}

beforeAll(loadTokenTools)

beforeEach(() => {
  clock = new ManualClock()
  askCount = 0
  tokens = manualTokenLogins(clock, keySetOf(one), () => {
    askCount++
  })
  ;({ environment } = fixture(snapshotOf({ alice: 'secret' }), {
    mechanisms: ['PLAIN', 'OAUTHBEARER'],
    tokens,
  }))
})

async function login(session: SaslSession, message: Uint8Array): Promise<SaslStep> {
  return session.start('OAUTHBEARER', message)
}

/** The reason of a login that must have failed as the RFC has it. */
async function refusalOf(message: Uint8Array, session = open()): Promise<string> {
  const challenge = await login(session, message)
  if (challenge.kind !== 'challenge') return challenge.kind
  expect(Buffer.from(challenge.bytes).toString()).toBe(ERROR_CHALLENGE)
  const end = await session.step(ACKNOWLEDGEMENT)
  return end.kind === 'failure' ? end.reason : end.kind
}

describe('OAUTHBEARER', () => {
  test('is announced and taken on TLS alone', async () => {
    expect(environment.announced(pipeOf('tls').channel)).toBe('PLAIN OAUTHBEARER')
    for (const kind of ['tcp', 'unix'] as const) {
      expect(environment.announced(pipeOf(kind).channel)).toBe('PLAIN')
      const session = new SaslSession(environment, pipeOf(kind))
      expect(session.start('OAUTHBEARER', bearer(tokenOf(one)))).toMatchObject({
        reason: 'unknown-mechanism',
        mechanism: 'OAUTHBEARER',
      })
    }
  })

  test('lets a user in whom a token names, until the token would not be taken any more', async () => {
    expect(await login(open(), bearer(tokenOf(one)))).toMatchObject({
      kind: 'success',
      mechanism: 'OAUTHBEARER',
      principal: { name: 'alice', origin: 'token', expiresAt: NOW_SECONDS + 3600 + 60 },
    })
  })

  test('takes its message with a step as well', async () => {
    const session = open()
    expect(session.start('OAUTHBEARER', undefined)).toMatchObject({ kind: 'challenge' })
    expect(await session.step(bearer(tokenOf(one)))).toMatchObject({ kind: 'success' })
  })

  test('reads its message before it returns', async () => {
    const message = bearer(tokenOf(one))
    const step = login(open(), message)
    message.fill(0)
    expect(await step).toMatchObject({ kind: 'success' })
  })

  test.each([
    ['n,a=alice,', 'success'],
    ['y,,', 'success'],
    ['n,a=bob,', 'bad-authzid'],
    ['n,a=Alice,', 'bad-authzid'],
    ['p=tls-exporter,,', 'channel-binding'],
    ['n,', 'malformed'],
  ])('with the header %j: %s', async (header, outcome) => {
    expect(await refusalOf(bearer(tokenOf(one), header))).toBe(outcome)
  })

  test('answers every refusal alike, and tells the log apart', async () => {
    const forged = { ...two, id: 'one' }
    const reasons = [
      [bearer(tokenOf(one, claimsOf({ exp: 1 }))), 'token-expired'],
      [bearer(tokenOf(one, claimsOf({ nbf: 2e9 }))), 'token-not-yet-valid'],
      [bearer(tokenOf(one, claimsOf({ iss: 'x' }))), 'token-issuer'],
      [bearer(tokenOf(one, claimsOf({ aud: 'x' }))), 'token-audience'],
      [bearer(tokenOf(one, claimsOf({ sub: ['alice'] }))), 'token-claims'],
      [bearer(tokenOf(one, claimsOf(), { alg: 'none' })), 'token-algorithm'],
      [bearer(tokenOf(forged)), 'token-signature'],
      [bearer(tokenOf(one, claimsOf({ sub: 'nobody' }))), 'unknown-user'],
      [bearer('x'), 'malformed'],
      [Buffer.from('x'), 'malformed'],
      [Buffer.from([0xff]), 'malformed'],
      [Buffer.alloc(100_000, 'x'), 'malformed'],
    ] as const
    for (const [message, reason] of reasons) expect(await refusalOf(message)).toBe(reason)
    const { failures } = environment.counters
    for (const [, reason] of reasons) expect(failures[reason]).toBeGreaterThan(0)
  })

  test('fails whatever the client answers to the error, and is over then', async () => {
    for (const answer of ['', '\u0001', 'x', bearer(tokenOf(one)).toString()]) {
      const session = open()
      expect(await login(session, bearer('x'))).toMatchObject({ kind: 'challenge' })
      expect(await session.step(Buffer.from(answer))).toMatchObject({ reason: 'malformed' })
      expect(session.step(ACKNOWLEDGEMENT)).toMatchObject({ reason: 'out-of-sequence' })
    }
  })

  test('that is left at the error has failed for its own reason', async () => {
    const session = open()
    await login(session, bearer(tokenOf(one, claimsOf({ exp: 1 }))))
    expect(session.abandon()).toMatchObject({ reason: 'token-expired', mechanism: 'OAUTHBEARER' })
  })

  test('names a user in the log whom the token names, if there is one', async () => {
    const session = open()
    await login(session, bearer(tokenOf({ ...two, id: 'one' })))
    expect(session.abandon()).toMatchObject({ user: 'alice', unknownUser: '' })
    await login(session, bearer(tokenOf(one, claimsOf({ sub: 'hunter2' }))))
    const failed = await session.step(ACKNOWLEDGEMENT)
    expect(failed).toMatchObject({ reason: 'unknown-user', user: '' })
    expect(failed).toHaveProperty(
      'unknownUser',
      expect.stringMatching(/^7 characters, [0-9a-f]{8}$/),
    )
  })

  test('goes on with another mechanism afterwards', async () => {
    const session = open()
    await refusalOf(bearer('x'), session)
    expect(await session.start('PLAIN', plain('alice', 'secret'))).toMatchObject({
      kind: 'success',
    })
  })

  test('lets a user in who has no password, by no other way', async () => {
    const users = [{ name: 'system:serviceaccount:shop:web', verifiers: [] }]
    const { decoyKey, reportKey } = environment.credentials.snapshot
    const options = { decoyKey, reportKey, hashes: [], defaultShape: 'SCRAM-SHA-256$4096:16' }
    environment.replaceCredentials(makeSnapshot(users, options))
    const sub = 'system:serviceaccount:shop:web'
    const step = await login(open(), bearer(tokenOf(one, claimsOf({ sub }))))
    expect(step).toMatchObject({ principal: { name: sub, origin: 'token', roles: undefined } })
    expect(await open().start('PLAIN', plain(sub, 'x'))).toMatchObject({ reason: 'no-password' })
  })

  test('gives a name that is no user what its roles give, if they are known here', async () => {
    const roles = ['readonly', 'no-such-role']
    const step = await login(open(), bearer(tokenOf(one, claimsOf({ sub: 'eve', roles }))))
    expect(step).toMatchObject({
      kind: 'success',
      principal: { name: 'eve', origin: 'token', roles: ['readonly'] },
    })
    const none = claimsOf({ sub: 'eve', roles: ['no-such-role'] })
    expect(await refusalOf(bearer(tokenOf(one, none)))).toBe('unknown-user')
    // What the file says of a user wins over what the token says.
    const user = await login(open(), bearer(tokenOf(one, claimsOf({ roles }))))
    expect(user).toMatchObject({ principal: { name: 'alice', roles: undefined } })
  })

  test('says nothing of a password: who logs in by one is there for good', async () => {
    const step = await open().start('PLAIN', plain('alice', 'secret'))
    expect(step).toMatchObject({ principal: { origin: 'users', expiresAt: NEVER } })
  })
})

describe('a token with a key that is not known', () => {
  test('waits for newer keys, and is let in when they have it', async () => {
    const step = login(open(), bearer(tokenOf(two)))
    expect([askCount, tokens.keys.waitingCount]).toEqual([1, 1])
    tokens.keys.replace(keySetOf(one, two))
    expect(await step).toMatchObject({ kind: 'success' })
  })

  test('is refused when they have it not', async () => {
    const reason = refusalOf(bearer(tokenOf(two)))
    tokens.keys.replace(keySetOf(one))
    expect(await reason).toBe('token-key')
  })

  test('is refused after 0.4 s when no answer comes', async () => {
    let isOver = false
    const reason = refusalOf(bearer(tokenOf(two))).then((value) => {
      isOver = true
      return value
    })
    clock.pass(399)
    await undefined
    expect([isOver, tokens.keys.waitingCount]).toEqual([false, 1])
    clock.pass(1)
    expect(await reason).toBe('token-key')
    expect(tokens.keys.waitingCount).toBe(0)
  })

  test('has keys asked for once in ten seconds, however many there are', async () => {
    const waiting: Promise<string>[] = []
    for (let count = 0; count < 300; count++) waiting.push(refusalOf(bearer(tokenOf(two))))
    // More than 256 are not kept waiting: they are refused at once.
    expect([askCount, tokens.keys.waitingCount]).toEqual([1, 256])
    tokens.keys.replace(keySetOf(one))
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['token-key']))
    clock.pass(9_999)
    expect(await refusalOf(bearer(tokenOf(two)))).toBe('token-key')
    expect([askCount, tokens.keys.waitingCount]).toEqual([1, 0])
    clock.pass(1)
    const next = refusalOf(bearer(tokenOf(two)))
    expect([askCount, tokens.keys.waitingCount]).toEqual([2, 1])
    clock.pass(400)
    expect(await next).toBe('token-key')
  })

  test('gives its place up when the client is gone', async () => {
    const session = open()
    const step = login(session, bearer(tokenOf(two)))
    session.abort()
    tokens.keys.replace(keySetOf(one, two))
    expect(await step).toMatchObject({ kind: 'failure', reason: 'aborted' })
    expect(tokens.checks.startedCount).toBe(0)
  })

  test('asks for nothing before all that costs nothing has been looked at', async () => {
    expect(await refusalOf(bearer(tokenOf(two, claimsOf({ aud: 'x' }))))).toBe('token-audience')
    expect(await refusalOf(bearer(tokenOf({ ...two, algorithm: 'ES384' })))).toBe('token-algorithm')
    expect([askCount, tokens.checks.startedCount]).toEqual([0, 0])
  })
})

test('a token without an id has the only key that fits, and none where there are several', async () => {
  const token = tokenOf(one, claimsOf(), { kid: undefined })
  expect(await login(open(), bearer(token))).toMatchObject({ kind: 'success' })
  tokens.keys.replace(keySetOf(one, two))
  expect(await refusalOf(bearer(token))).toBe('token-key')
  expect(askCount).toBe(0)
})

test('a key that is for one algorithm is for no other', async () => {
  const rsa = signingKey('RS256', 'rsa')
  const parsed = parseKeySet(keySetText({ ...publicJwk(rsa), alg: 'PS256' }))
  if (typeof parsed === 'string') throw new Error(parsed)
  tokens.keys.replace(parsed)
  const reason = refusalOf(bearer(tokenOf(rsa)))
  clock.pass(400)
  expect(await reason).toBe('token-key')
})

describe('signatures', () => {
  test('are checked two at a time, and sources take turns', async () => {
    const forged = { ...two, id: 'one' }
    const order: string[] = []
    const steps: Promise<unknown>[] = []
    const send = (address: string, key: SigningKey, count: number): void => {
      const claims = claimsOf({ jti: `${address} ${count}` })
      const step = login(open(address), bearer(tokenOf(key, claims)))
      steps.push(step.then(() => order.push(address)))
    }
    for (let count = 0; count < 20; count++) send('192.0.2.66', forged, count)
    send('192.0.2.7', one, 0)
    expect([tokens.checks.runningCount, tokens.checks.waitingCount]).toEqual([2, 19])
    await Promise.all(steps)
    expect(order.indexOf('192.0.2.7')).toBeLessThan(6)
  })

  test('of equal tokens are checked once', async () => {
    const message = bearer(tokenOf(one))
    const steps = await Promise.all(Array.from({ length: 10 }, () => login(open(), message)))
    expect(steps.every(({ kind }) => kind === 'success')).toBe(true)
    expect(tokens.checks.startedCount).toBe(1)
  })

  test('that would wait longer than 0.4 s are not checked', async () => {
    const send = (count: number): Promise<string> =>
      refusalOf(bearer(tokenOf(one, claimsOf({ jti: String(count) }))))
    const steps = Array.from({ length: 5 }, (_, count) => send(count))
    clock.pass(401)
    const last = send(5)
    expect(await Promise.all(steps)).toEqual(['success', 'success', 'busy', 'busy', 'busy'])
    expect(await last).toBe('success')
  })

  test('leave no more than 512 tokens waiting', async () => {
    const steps = Array.from({ length: 520 }, (_, count) =>
      refusalOf(
        bearer(tokenOf(one, claimsOf({ jti: String(count) }))),
        open(`192.0.2.${count % 250}`),
      ),
    )
    expect(tokens.checks.waitingCount).toBe(512)
    const outcomes = await Promise.all(steps)
    expect(outcomes.filter((outcome) => outcome === 'busy')).toHaveLength(6)
  })
})
