/** When the gate is open, whatever order logins begin, break off and end in; and who is told. */
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { Peer } from '../../../src/base/peer.ts'
import { AuthGate, type GateAnswer, type LoginEvent } from '../../../src/connection/auth-gate.ts'
import { ACCESS_ALL } from '../../../src/credential/access.ts'
import { userPrincipal } from '../../../src/credential/principal.ts'
import { COUNTER, COUNTER_NAMES } from '../../../src/observe/counters.ts'
import { VERB_VERSION } from '../../../src/protocol/verbs.ts'
import type { SaslEnvironment } from '../../../src/sasl/environment.ts'
import { type Conversation, fixture, plain, scramLogin, snapshotOf } from '../sasl/fixture.ts'

const snapshot = snapshotOf({ alice: 'secret' })
const FIRST = Buffer.from('n,,n=alice,r=abcdefgh')

let environment: SaslEnvironment
let lane = new Float64Array(COUNTER_NAMES.length)
let events: LoginEvent[] = []
let gate: AuthGate

beforeEach(() => {
  ;({ environment } = fixture(snapshot))
  lane = new Float64Array(COUNTER_NAMES.length)
  events = []
  gate = new AuthGate(
    { sasl: environment, loginAttemptsMax: 3, lane, onLogin: (event) => events.push(event) },
    { peer: Peer.at('192.0.2.1', 5000), channel: { kind: 'tcp', listenerIndex: 0 } },
  )
})

async function logIn(): Promise<void> {
  expect(await gate.start('PLAIN', plain('alice', 'secret'))).toEqual({ kind: 'success' })
  expect(gate.isOpen).toBe(true)
  events = []
}

function expectClosed(): void {
  expect(gate.isOpen).toBe(false)
  expect(gate.principal).toBeUndefined()
}

function kindOf(answer: GateAnswer | Promise<GateAnswer>): string {
  return answer instanceof Promise ? 'later' : answer.kind
}

describe('a login of who is logged in', () => {
  test('that is left for another has failed, and closes the gate', async () => {
    await logIn()
    expect(kindOf(gate.start('SCRAM-SHA-256', FIRST))).toBe('challenge')
    expect(gate.isOpen).toBe(true)
    expect(kindOf(gate.start('SCRAM-SHA-256', FIRST))).toBe('challenge')
    expectClosed()
    expect(events).toMatchObject([{ succeeded: false, user: 'alice', reason: 'aborted' }])
  })

  test('that is left for another may succeed with that', async () => {
    await logIn()
    gate.start('SCRAM-SHA-256', FIRST)
    expect(kindOf(gate.start('PLAIN', plain('alice', 'secret')))).toBe('success')
    expect(gate.isOpen).toBe(true)
    expect(gate.principal).toEqual(userPrincipal('alice'))
  })

  test('that the connection ends with has failed', async () => {
    await logIn()
    gate.start('SCRAM-SHA-256', FIRST)
    gate.abort()
    expectClosed()
    expect(events).toMatchObject([{ succeeded: false, reason: 'aborted' }])
    gate.abort()
    expect(events).toHaveLength(1)
  })

  test('that derives a key when the connection ends has failed at once', async () => {
    await logIn()
    const answer = gate.start('PLAIN', plain('alice', 'wrong'))
    gate.abort()
    expectClosed()
    expect(await answer).toMatchObject({ kind: 'failure' })
    expectClosed()
    expect(events).toMatchObject([{ succeeded: false, reason: 'aborted' }])
  })

  test('that derives a key when another begins has failed at once', async () => {
    await logIn()
    const answer = gate.start('PLAIN', plain('alice', 'wrong'))
    expect(kindOf(gate.start('SCRAM-SHA-256', FIRST))).toBe('challenge')
    expectClosed()
    expect(await answer).toMatchObject({ kind: 'failure' })
    expectClosed()
    expect(events).toMatchObject([{ succeeded: false, user: 'alice', reason: 'aborted' }])
  })

  test('that was left at work does not end the one that succeeded after it', async () => {
    await logIn()
    const answer = gate.start('PLAIN', plain('alice', 'wrong'))
    expect(kindOf(gate.start('PLAIN', plain('alice', 'secret')))).toBe('success')
    expect(await answer).toMatchObject({ kind: 'failure' })
    expect(gate.isOpen).toBe(true)
    expect(gate.principal).toEqual(userPrincipal('alice'))
    expect(lane[COUNTER.auth_errors]).toBe(1)
    expect(events).toMatchObject([{ succeeded: true }, { succeeded: false, reason: 'aborted' }])
  })

  test('that succeeded is not touched by the end of the connection', async () => {
    await logIn()
    gate.abort()
    expect(gate.isOpen).toBe(true)
    expect(events).toEqual([])
  })
})

test('a response before any login is out of sequence, counted and logged as that', () => {
  expect(kindOf(gate.step(plain('alice', 'secret')))).toBe('failure')
  expect(environment.counters.failures).toMatchObject({ 'out-of-sequence': 1, aborted: 0 })
  expect(events).toMatchObject([{ reason: 'out-of-sequence', user: '', unknownUser: '' }])
  expectClosed()
})

test('a response out of sequence closes a gate that was open', async () => {
  await logIn()
  gate.step(Buffer.alloc(0))
  expectClosed()
  expect(events).toMatchObject([{ reason: 'out-of-sequence' }])
})

test('logins that are begun and left use up the attempts like any', () => {
  const kinds = Array.from({ length: 4 }, () => kindOf(gate.start('SCRAM-SHA-256', FIRST)))
  expect(kinds).toEqual(['challenge', 'challenge', 'challenge', 'failure'])
  expect(lane[COUNTER.auth_attempts_exceeded]).toBe(1)
  expect(lane[COUNTER.auth_errors]).toBe(3)
})

test('a gate knows the namespaces that it was in, whatever became of the logins', async () => {
  const inNamespace = (namespace: number) => ({ ...userPrincipal('alice'), namespace })
  expect(gate.hasBeenIn(3)).toBe(false)
  gate.become(inNamespace(3))
  gate.become(inNamespace(5))
  gate.become(inNamespace(3))
  gate.become(inNamespace(7))
  expect([3, 5, 7, 9].map((id) => gate.hasBeenIn(id))).toEqual([true, true, true, false])
  expect(kindOf(gate.start('SCRAM-SHA-256', FIRST))).toBe('challenge')
  gate.abort()
  expectClosed()
  expect(gate.hasBeenIn(7)).toBe(true)
})

describe('places of a namespace', () => {
  let held: Record<number, number> = {}
  let hasPlace = true
  /** Of all namespaces together. */
  let placesMax = 10

  beforeEach(() => {
    held = {}
    hasPlace = true
    placesMax = 10
    gate = new AuthGate(
      {
        sasl: environment,
        loginAttemptsMax: 3,
        lane,
        onLogin: (event) => events.push(event),
        places: {
          take: (namespace) => {
            const all = Object.values(held).reduce((sum, count) => sum + count, 0)
            if (!hasPlace || all >= placesMax) return false
            held[namespace] = (held[namespace] ?? 0) + 1
            return true
          },
          giveBack: (namespace) => {
            held[namespace] = (held[namespace] ?? 0) - 1
          },
        },
      },
      { peer: Peer.at('192.0.2.1', 5000), channel: { kind: 'tcp', listenerIndex: 0 } },
    )
  })

  test('a login that is right is refused where there is none, and told for what it is', async () => {
    hasPlace = false
    const answer = await gate.start('PLAIN', plain('alice', 'secret'))
    expect(answer).toEqual({ kind: 'failure', isLast: false })
    expectClosed()
    expect(events).toMatchObject([{ succeeded: false, user: 'alice', reason: 'namespace-full' }])
    expect(held).toEqual({})
  })

  test('are asked for before a client hears that its proof was right, and had from then on', async () => {
    const options = { mechanism: 'SCRAM-SHA-256', user: 'alice', password: 'secret' }
    // What the gate says is what a client sees.
    const conversation = gate as unknown as Conversation
    hasPlace = false
    const beforeLast = vi.fn()
    expect(await scramLogin(conversation, { ...options, beforeLast })).toMatchObject({
      kind: 'failure',
    })
    expect(beforeLast).not.toHaveBeenCalled()
    expectClosed()
    expect(held).toEqual({})
    hasPlace = true
    const last = await scramLogin(conversation, {
      ...options,
      beforeLast: () => {
        expect(held).toEqual({ 0: 1 })
        hasPlace = false
      },
    })
    expect(last).toEqual({ kind: 'success' })
    expect(held).toEqual({ 0: 1 })
  })

  test('are given back by who proved its password and went no further', async () => {
    const options = { mechanism: 'SCRAM-SHA-256', user: 'alice', password: 'secret' }
    const beforeLast = (): void => {
      expect(held).toEqual({ 0: 1 })
      gate.abort()
      gate.leave()
    }
    await scramLogin(gate as unknown as Conversation, { ...options, beforeLast })
    expect(held).toEqual({ 0: 0 })
    expect(gate.isOpen).toBe(false)
  })

  test('one is had once, however often its user logs in, and given back at the end', async () => {
    await logIn()
    await logIn()
    expect(held).toEqual({ 0: 1 })
    // Who has one needs none.
    hasPlace = false
    await logIn()
    gate.abort()
    gate.leave()
    gate.leave()
    expect(held).toEqual({ 0: 0 })
  })

  test('a failed login gives it back', async () => {
    await logIn()
    await gate.start('PLAIN', plain('alice', 'wrong'))
    expect(held).toEqual({ 0: 0 })
  })

  test('are had by who is let in without a login, too', () => {
    expect(gate.admit(userPrincipal('alice'), 'listener')).toBe(true)
    expect(held).toEqual({ 0: 1 })
    expect(gate.isOpen).toBe(true)
    gate.abort()
    gate.leave()
    expect(held).toEqual({ 0: 0 })
    expect(events).toEqual([])
  })

  test('that are all taken leave who would be let in a stranger, which is told and is no attempt', () => {
    hasPlace = false
    expect(gate.admit(userPrincipal('alice'), 'listener')).toBe(false)
    expectClosed()
    const told = { succeeded: false, user: 'alice', mechanism: 'listener' }
    expect(events).toMatchObject([{ ...told, reason: 'namespace-full' }])
    expect(environment.counters.failures['namespace-full']).toBe(1)
    expect(lane[COUNTER.auth_cmds]).toBe(0)
    gate.leave()
    expect(held).toEqual({})
  })

  describe('of whom a reload puts into another one', () => {
    /** Who logs in as alice is in that namespace from now on. */
    function moveTo(id: number): void {
      const shop = { name: 'shop', id, memoryBytes: 1024 * 1024 }
      const access = { ...ACCESS_ALL, namespace: 'shop' }
      const users = snapshot.users.map((user) => ({ ...user, access }))
      const namespaces = [...snapshot.namespaces, shop]
      environment.replaceCredentials({ ...snapshot, users, namespaces })
    }

    test('are given back before the other is taken: a move needs no second one', async () => {
      placesMax = 1
      await logIn()
      expect(held).toEqual({ 0: 1 })
      moveTo(3)
      await logIn()
      expect(held).toEqual({ 0: 0, 3: 1 })
      expect(gate.namespace).toBe(3)
    })

    test('are never one while the gate is open in the other: it closes where the place moves', async () => {
      const options = { mechanism: 'SCRAM-SHA-256', user: 'alice', password: 'secret' }
      await logIn()
      moveTo(3)
      const beforeLast = vi.fn(() => {
        expect(held).toEqual({ 0: 0, 3: 1 })
        expectClosed()
        expect(gate.hasBeenIn(3)).toBe(true)
      })
      await scramLogin(gate as unknown as Conversation, { ...options, beforeLast })
      expect(beforeLast).toHaveBeenCalled()
      expect(gate.namespace).toBe(3)
    })

    test('are given back once where there is none in the other, and the gate closes', async () => {
      await logIn()
      moveTo(3)
      hasPlace = false
      const answer = await gate.start('PLAIN', plain('alice', 'secret'))
      expect(answer).toEqual({ kind: 'failure', isLast: false })
      expectClosed()
      expect(held).toEqual({ 0: 0 })
      gate.abort()
      gate.leave()
      expect(held).toEqual({ 0: 0 })
    })
  })
})

test('a login makes good what was asked and skipped before it', async () => {
  const askAll = (): number => {
    let asked = 0
    while (asked < 1000 && gate.admits(VERB_VERSION)) asked++
    return asked
  }
  const MEBIBYTE = 1024 * 1024
  expect(gate.maySkip(MEBIBYTE)).toBe(true)
  expect(gate.maySkip(1)).toBe(false)
  expect(askAll()).toBe(500)
  await logIn()
  expect(gate.maySkip(10 * MEBIBYTE)).toBe(true)
  expect(askAll()).toBe(1000)
  await gate.start('PLAIN', plain('alice', 'wrong'))
  expectClosed()
  expect(gate.maySkip(MEBIBYTE)).toBe(true)
  expect(gate.maySkip(1)).toBe(false)
  expect(askAll()).toBe(500)
})
