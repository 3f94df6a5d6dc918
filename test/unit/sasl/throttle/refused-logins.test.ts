/** What a throttled login is to mechanisms, session and gate: refused unseen, and not to be told apart. */
import { pbkdf2Sync } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { AnswerDelays } from '../../../../src/connection/answer-delays.ts'
import { AuthGate, type GateAnswer, type LoginEvent } from '../../../../src/connection/auth-gate.ts'
import type { DerivationParameters } from '../../../../src/credential/verifier.ts'
import { COUNTER, COUNTER_NAMES } from '../../../../src/observe/counters.ts'
import type { SaslEnvironment } from '../../../../src/sasl/environment.ts'
import { SaslSession } from '../../../../src/sasl/session.ts'
import {
  ANSWER_DELAY_MS_MAX,
  createThrottleMemory,
  LoginThrottle,
  type LoginThrottleOptions,
} from '../../../../src/sasl/throttle/login-throttle.ts'
import { BasicLogin } from '../../../../src/server/http/basic-login.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { pipeAt } from '../../../support/pipe.ts'
import { fixture, plain, scramLogin, snapshotOf } from '../fixture.ts'

const SCRAMS = ['SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512']
const snapshot = snapshotOf({ alice: 'secret', bob: 'secret' })
const attacker = pipeAt('198.51.100.1')
const home = pipeAt('203.0.113.5')

let nowMs = 0
let throttle: LoginThrottle
let { environment, derived } = fixture(snapshot)

function newThrottle(options: Partial<LoginThrottleOptions> = {}): LoginThrottle {
  return new LoginThrottle({
    memory: createThrottleMemory((bytes) => bytes.fill(9), 64),
    failuresMax: 4,
    refusalMsMin: 1000,
    refusalMsMax: 60_000,
    isAllowed: () => false,
    nowMs: () => nowMs,
    onCount: () => undefined,
    onBegin: () => undefined,
    onEnd: () => undefined,
    onMore: () => undefined,
    ...options,
  })
}

beforeEach(() => {
  nowMs = 0
  throttle = newThrottle()
  ;({ environment, derived } = fixture(snapshot, { throttle }))
})

async function failFrom(pipe = attacker, user = 'alice', count = 4): Promise<void> {
  for (let index = 0; index < count; index++) {
    await new SaslSession(environment, pipe).start('PLAIN', plain(user, `wrong${index}`))
  }
}

test('a password that is right is refused as well, and no key is derived to find out', async () => {
  await failFrom()
  const count = derived.length
  for (const user of ['alice', 'bob', 'nobody']) {
    const step = await new SaslSession(environment, attacker).start('PLAIN', plain(user, 'secret'))
    expect(step).toMatchObject({ kind: 'failure', reason: 'throttled' })
  }
  expect(derived).toHaveLength(count)
  expect(environment.counters.failures.throttled).toBe(3)
})

test('the memory of logins answers no guesses of who is refused', async () => {
  await new SaslSession(environment, home).start('PLAIN', plain('alice', 'secret'))
  await failFrom()
  expect(new SaslSession(environment, attacker).start('PLAIN', plain('alice', 'secret'))).toEqual(
    expect.objectContaining({ reason: 'throttled' }),
  )
  expect(new SaslSession(environment, home).start('PLAIN', plain('alice', 'secret'))).toEqual(
    expect.objectContaining({ kind: 'success' }),
  )
})

test.each(SCRAMS)('a right proof by %s is refused after the same challenge', async (mechanism) => {
  const session = (): SaslSession => new SaslSession(environment, attacker)
  for (let index = 0; index < 4; index++) {
    const options = { mechanism, user: 'alice', password: 'wrong' }
    expect(await scramLogin(session(), options)).toMatchObject({ reason: 'wrong-password' })
  }
  const first = session().start(mechanism, Buffer.from('n,,n=alice,r=abcdefgh'))
  expect(first).toMatchObject({ kind: 'challenge' })
  const step = await scramLogin(session(), { mechanism, user: 'alice', password: 'secret' })
  expect(step).toMatchObject({ kind: 'failure', reason: 'throttled', user: 'alice' })
  const atHome = { mechanism, user: 'bob', password: 'secret' }
  expect(await scramLogin(new SaslSession(environment, home), atHome)).toMatchObject({
    kind: 'success',
  })
})

test('a user who is refused to strangers logs in where they did before', async () => {
  await new SaslSession(environment, home).start('PLAIN', plain('alice', 'secret'))
  for (let host = 1; host < 9; host++) await failFrom(pipeAt(`198.51.${host}.1`), 'alice', 1)
  const stranger = new SaslSession(environment, pipeAt('192.0.2.1'))
  expect(stranger.start('PLAIN', plain('alice', 'secret'))).toMatchObject({ reason: 'throttled' })
  const scram = { mechanism: 'SCRAM-SHA-256', user: 'alice', password: 'secret' }
  expect(await scramLogin(new SaslSession(environment, home), scram)).toMatchObject({
    kind: 'success',
  })
  environment.replaceCredentials(snapshotOf({ alice: 'other' }))
  expect(
    await new SaslSession(environment, home).start('PLAIN', plain('alice', 'other')),
  ).toMatchObject({ kind: 'success' })
  environment.replaceCredentials(snapshotOf({ bob: 'secret' }))
  environment.replaceCredentials(snapshot)
  expect(new SaslSession(environment, home).start('PLAIN', plain('alice', 'secret'))).toMatchObject(
    { reason: 'throttled' },
  )
})

/** 1000 guesses at alice's password in ten seconds from home; how many of them a key was derived for. */
async function derivedForGuesses(): Promise<number> {
  const count = derived.length
  for (let index = 0; index < 1000; index++) {
    nowMs += 10
    const session = new SaslSession(environment, home)
    await session.start('PLAIN', plain('alice', `guess${nowMs}`))
  }
  return derived.length - count
}

describe('guesses from where the user logs in', () => {
  // Until the source is refused to others; five a second; one whenever it is looked at again (1, 2, 4 s).
  const few = 5 + 50 + 4

  async function logInFromHome(user: string): Promise<void> {
    const session = new SaslSession(environment, home)
    expect(await session.start('PLAIN', plain(user, 'secret'))).toMatchObject({ kind: 'success' })
  }

  test('have five keys a second derived, and a password that is remembered is let in', async () => {
    await logInFromHome('alice')
    expect(await derivedForGuesses()).toBeLessThanOrEqual(few)
    expect(
      new SaslSession(environment, home).start('PLAIN', plain('alice', 'secret')),
    ).toMatchObject({ kind: 'success' })
    expect(environment.counters.failures.throttled).toBeGreaterThan(900)
  })

  test('show a user nothing of what another is asked for there', async () => {
    // Neither is remembered, as with a form of the password that is new each time.
    ;({ environment, derived } = fixture(snapshot, { throttle, loginMemoryMax: 0 }))
    await logInFromHome('alice')
    await logInFromHome('bob')
    await failFrom(home, 'bob', 1)
    await derivedForGuesses()
    expect(throttle.isRefused('carol', home)).toBe(true)
    // Alice's check of this moment is taken, bob's is not.
    await failFrom(home, 'alice', 1)
    await logInFromHome('bob')
  })

  test('do not keep out who has the new password, if they are the old one of all others', async () => {
    await logInFromHome('alice')
    environment.replaceCredentials(snapshotOf({ alice: 'new', bob: 'secret' }))
    const outcomes: string[] = []
    for (let round = 0; round < 20; round++) {
      for (let client = 0; client < 50; client++) {
        nowMs += 20
        const session = new SaslSession(environment, home)
        await session.start('PLAIN', plain('alice', 'secret'))
      }
    }
    expect(throttle.isRefused('carol', home)).toBe(true)
    const count = derived.length
    // Some seconds after the last of five checks, or less: whenever it comes.
    for (let login = 0; login < 3; login++) {
      nowMs += 1
      const session = new SaslSession(environment, home)
      outcomes.push((await session.start('PLAIN', plain('alice', 'new'))).kind)
    }
    expect(outcomes).toEqual(['success', 'success', 'success'])
    expect(derived.length).toBe(count + 1)
    // What was wrong before may be right by now.
    environment.replaceCredentials(snapshotOf({ alice: 'secret', bob: 'secret' }))
    nowMs += 1000
    await logInFromHome('alice')
  })

  test('do not keep out who has not failed there, remembered or not', async () => {
    ;({ environment, derived } = fixture(snapshot, { throttle, loginMemoryMax: 0 }))
    await logInFromHome('alice')
    await logInFromHome('bob')
    await derivedForGuesses()
    for (let login = 0; login < 10; login++) await logInFromHome('bob')
  })

  test('count for nothing where nothing is held against anybody', async () => {
    throttle = newThrottle({ isAllowed: () => true })
    ;({ environment, derived } = fixture(snapshot, { throttle }))
    await logInFromHome('alice')
    expect(await derivedForGuesses()).toBe(1000)
  })

  test('are forgotten some minutes later: a new password is looked at whenever it comes', async () => {
    await logInFromHome('alice')
    await derivedForGuesses()
    nowMs += 60 * 60_000
    environment.replaceCredentials(snapshotOf({ alice: 'new' }))
    for (let index = 0; index < 3; index++) {
      const session = new SaslSession(environment, home)
      expect(await session.start('PLAIN', plain('alice', `wrong${index}`))).toMatchObject({
        reason: 'wrong-password',
      })
    }
    expect(
      await new SaslSession(environment, home).start('PLAIN', plain('alice', 'new')),
    ).toMatchObject({ kind: 'success' })
  })
})

test('of a hundred guesses at once few are looked at', async () => {
  const steps = await Promise.all(
    Array.from({ length: 100 }, (_, index) =>
      new SaslSession(environment, attacker).start('PLAIN', plain('alice', `guess${index}`)),
    ),
  )
  const reasons = steps.map((step) => (step.kind === 'failure' ? step.reason : step.kind))
  // Four, and those that began before the fourth had failed.
  expect(reasons.filter((reason) => reason === 'wrong-password').length).toBeLessThan(10)
  expect(reasons.filter((reason) => reason === 'throttled').length).toBeGreaterThan(90)
  expect(derived.length).toBeLessThan(10)
  expect(environment.derivations.waitingCount).toBe(0)
})

test('a thousand right logins at once from a new address are let in by one derivation', async () => {
  const steps = await Promise.all(
    Array.from({ length: 1000 }, () =>
      new SaslSession(environment, attacker).start('PLAIN', plain('alice', 'secret')),
    ),
  )
  expect(new Set(steps.map(({ kind }) => kind))).toEqual(new Set(['success']))
  expect(derived).toHaveLength(1)
})

test('an exchange that is left is held against where it came from', async () => {
  for (let index = 0; index < 16; index++) {
    const session = new SaslSession(environment, attacker)
    session.start('SCRAM-SHA-256', Buffer.from('n,,n=alice,r=abcdefgh'))
    session.abandon()
  }
  const step = new SaslSession(environment, attacker).start('PLAIN', plain('bob', 'secret'))
  expect(step).toMatchObject({ reason: 'throttled' })
})

test('answers to failures leave later and later, those to right logins at once', async () => {
  const clock = new ManualClock()
  const delays = new AnswerDelays(clock)
  const lane = new Float64Array(COUNTER_NAMES.length)
  const events: LoginEvent[] = []
  const gate = new AuthGate(
    {
      sasl: environment,
      loginAttemptsMax: 20,
      lane,
      onLogin: (event) => events.push(event),
      delays,
    },
    attacker,
  )
  const answered: GateAnswer[] = []
  const tryOnce = async (): Promise<number> => {
    const startMs = clock.nowMs()
    const count = events.length + 1
    const answer = Promise.resolve(gate.start('PLAIN', plain('alice', 'wrong')))
    void answer.then((value) => answered.push(value))
    while (events.length < count) await new Promise(setImmediate)
    for (let tick = 0; answered.length < count && tick < 20; tick++) {
      await new Promise(setImmediate)
      if (answered.length < count) clock.pass(100)
      nowMs = clock.nowMs()
    }
    return clock.nowMs() - startMs
  }
  const lateMs: number[] = []
  for (let index = 0; index < 6; index++) lateMs.push(await tryOnce())
  expect(lateMs).toEqual([100, 100, 200, 400, 400, 400])
  expect(Math.max(...lateMs)).toBeGreaterThanOrEqual(ANSWER_DELAY_MS_MAX)
  expect(events.map((event) => (event.succeeded ? '' : event.reason))).toEqual([
    ...Array(4).fill('wrong-password'),
    'throttled',
    'throttled',
  ])
  expect(answered).toEqual(Array(6).fill({ kind: 'failure', isLast: false }))
  expect(lane[COUNTER.login_answers_delayed]).toBe(6)
  nowMs += 10_000
  expect(await gate.start('PLAIN', plain('alice', 'secret'))).toEqual({ kind: 'success' })
})

describe('where the derivation of a key takes longer than an answer is delayed', () => {
  const DERIVATION_MS = 600
  const STEP_MS = 10
  let clock: ManualClock
  let slow: SaslEnvironment

  /** When what `begin` asks is answered, from now on. */
  async function answeredAfter(begin: () => unknown): Promise<number> {
    const startMs = clock.nowMs()
    let isAnswered = false
    void Promise.resolve(begin()).then(() => {
      isAnswered = true
    })
    for (let step = 0; step < 500; step++) {
      await new Promise(setImmediate)
      if (isAnswered) return clock.nowMs() - startMs
      clock.pass(STEP_MS)
    }
    throw new Error('not answered')
  }

  function gateOf(): AuthGate {
    return new AuthGate(
      {
        sasl: slow,
        loginAttemptsMax: 20,
        lane: new Float64Array(COUNTER_NAMES.length),
        onLogin: () => undefined,
        delays: new AnswerDelays(clock),
      },
      attacker,
    )
  }

  /** By the memcached protocols, and over HTTP. */
  const WAYS: readonly [string, (user: string, password: string) => unknown][] = [
    ['SASL', (user, password) => gateOf().start('PLAIN', plain(user, password))],
    [
      'HTTP Basic',
      (user, password) => {
        const login = new BasicLogin({
          sasl: slow,
          onLogin: () => undefined,
          nowMs: () => clock.nowMs(),
          after: (delayMs, run) => clock.after(delayMs, run),
        })
        const header = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
        return login.check(header, { ...attacker }, 'read')
      },
    ],
  ]

  beforeEach(() => {
    clock = new ManualClock()
    throttle = newThrottle({ nowMs: () => clock.nowMs(), refusalMsMin: 60_000 })
    // All of the time that it takes is the test's.
    const derive = (password: string, parameters: DerivationParameters): Promise<Uint8Array> => {
      const { hash, salt, iterations } = parameters
      const key = pbkdf2Sync(password, salt, iterations, hash.digestBytes, hash.digest)
      return new Promise((resolve) => clock.after(DERIVATION_MS, () => resolve(key)))
    }
    ;({ environment: slow, derived } = fixture(snapshot, {
      throttle,
      derive,
      monotonicMs: () => clock.nowMs(),
    }))
  })

  test.each(WAYS)(
    'by %s no answer at a refused source tells who logged in there',
    async (_, ask) => {
      await answeredAfter(() => ask('alice', 'secret'))
      for (let index = 0; index < 5; index++) {
        await answeredAfter(() => ask(`random${index}`, 'wrong'))
      }
      const count = derived.length
      const lateMs: number[] = []
      for (const login of ['unknown:a', 'alice:a', 'bob:a', 'alice:b', 'alice:a']) {
        const [user = '', password = ''] = login.split(':')
        lateMs.push(await answeredAfter(() => ask(user, password)))
      }
      // Of alice, who is the only one to be looked at, and with a password that is not known to be wrong.
      expect(derived.length - count).toBe(2)
      expect(new Set(lateMs).size).toBe(1)
      expect(lateMs[0]).toBeGreaterThan(DERIVATION_MS)
    },
  )

  test('SCRAM, by which no key is derived, is answered as late', async () => {
    await answeredAfter(() => gateOf().start('PLAIN', plain('alice', 'secret')))
    for (let index = 0; index < 5; index++) {
      await answeredAfter(() => gateOf().start('PLAIN', plain(`random${index}`, 'wrong')))
    }
    const steps: unknown[] = []
    for (const user of ['unknown', 'alice']) {
      const options = { mechanism: 'SCRAM-SHA-256', user, password: 'wrong' }
      steps.push(await scramLogin(new SaslSession(slow, attacker), options))
    }
    const delayMs = slow.derivations.expectedMs
    expect(delayMs).toBeGreaterThan(DERIVATION_MS)
    expect(steps).toMatchObject([
      { reason: 'throttled', delayMs },
      { reason: 'wrong-password', delayMs },
    ])
  })
})

test('a connection that goes leaves no answer behind that is due later', async () => {
  await failFrom()
  const delays = new AnswerDelays(new ManualClock())
  const lane = new Float64Array(COUNTER_NAMES.length)
  const options = {
    sasl: environment,
    loginAttemptsMax: 5,
    lane,
    onLogin: () => undefined,
    delays,
  }
  for (let index = 0; index < 1000; index++) {
    const gate = new AuthGate(options, attacker)
    void gate.start('PLAIN', plain('alice', 'wrong'))
    expect(delays.size).toBe(1)
    gate.abort()
    expect(delays.size).toBe(0)
  }
})

describe.each([
  ['its namespace is full', 'namespace-full'],
  ['it could not be recorded', 'audit'],
] as const)('where %s', (_, reason) => {
  test.each(['PLAIN', ...SCRAMS])(
    'a right password by %s is answered as a wrong one',
    async (mechanism) => {
      let isRecorded = true
      ;({ environment, derived } = fixture(snapshot, { throttle, mayLogIn: () => isRecorded }))
      // A worker that remembers the login could answer at once.
      await new SaslSession(environment, home).start('PLAIN', plain('alice', 'secret'))
      isRecorded = reason !== 'audit'
      const logIn = async (
        password: string,
      ): Promise<{ answer: unknown; derivedCount: number }> => {
        const before = derived.length
        const session = new SaslSession(environment, attacker, () => reason !== 'namespace-full')
        const step =
          mechanism === 'PLAIN'
            ? await session.start('PLAIN', plain('alice', password))
            : await scramLogin(session, { mechanism, user: 'alice', password })
        const { kind, delayMs } = { delayMs: undefined, ...step }
        return { answer: { kind, delayMs }, derivedCount: derived.length - before }
      }
      for (let index = 0; index < 4; index++) {
        const right = await logIn('secret')
        expect(right.answer).toMatchObject({ kind: 'failure' })
        expect(right).toEqual(await logIn('wrong'))
      }
      expect(environment.counters.failures).toMatchObject({ [reason]: 4, 'wrong-password': 4 })
      expect(environment.counters.successes).toBe(1)
    },
  )
})
