/** Who is refused, from where, for how long, and who never is; by a clock that the tests move. */
import { beforeEach, describe, expect, test } from 'vitest'
import { Peer } from '../../../../src/base/peer.ts'
import type { Pipe } from '../../../../src/base/pipe.ts'
import type { FailureReason } from '../../../../src/sasl/failure-reason.ts'
import {
  ANSWER_DELAY_MS_MAX,
  createThrottleMemory,
  LoginThrottle,
  type LoginThrottleOptions,
  type ThrottleMemory,
} from '../../../../src/sasl/throttle/login-throttle.ts'
import { pipeAt } from '../../../support/pipe.ts'

const FAILURES_MAX = 10
const REFUSAL_SECONDS_MAX = 60
const MINUTE_MS = 60_000

let nowMs = 0
let memory: ThrottleMemory
let told: string[] = []
let throttle: LoginThrottle

/** A fixed sequence, so that a test that fails fails again. */
function countingBytes(bytes: Uint8Array): Uint8Array {
  return bytes.map((_, index) => (index * 37 + 11) & 0xff)
}

function newThrottle(options: Partial<LoginThrottleOptions> = {}): LoginThrottle {
  return new LoginThrottle({
    memory,
    failuresMax: FAILURES_MAX,
    refusalMsMin: 1000,
    refusalMsMax: REFUSAL_SECONDS_MAX * 1000,
    isAllowed: () => false,
    nowMs: () => nowMs,
    onCount: () => undefined,
    onBegin: ({ kind, name }) => told.push(`begin ${kind} ${name}`),
    onEnd: ({ kind, name }) => told.push(`end ${kind} ${name}`),
    onMore: (count) => told.push(`${count} more`),
    ...options,
  })
}

beforeEach(() => {
  nowMs = 0
  told = []
  memory = createThrottleMemory(countingBytes)
  throttle = newThrottle()
})

function fail(
  pipe: Pipe,
  name = 'alice',
  count = 1,
  reason: FailureReason = 'wrong-password',
): number {
  let delayMs = 0
  for (let index = 0; index < count; index++) {
    delayMs = throttle.failed(name, pipe, reason, { user: name, unknownUser: '' })
  }
  return delayMs
}

/** Whole seconds until a login is looked at again. */
function secondsRefused(pipe: Pipe, name: string): number {
  const startMs = nowMs
  while (throttle.isRefused(name, pipe)) nowMs += 1000
  const seconds = (nowMs - startMs) / 1000
  nowMs = startMs
  return seconds
}

describe('a source', () => {
  const source = pipeAt('192.0.2.1')

  test('is refused from the tenth failure on, for whoever it says it is', () => {
    fail(source, 'alice', FAILURES_MAX - 1)
    expect(throttle.isRefused('bob', source)).toBe(false)
    fail(source, 'bob')
    expect(throttle.isRefused('bob', source)).toBe(true)
    expect(throttle.isRefused('nobody', source)).toBe(true)
  })

  test('is told nothing that another address would not be told', () => {
    fail(source, 'alice', FAILURES_MAX)
    expect(throttle.isRefused('bob', pipeAt('192.0.2.2'))).toBe(false)
    expect(throttle.isRefused('bob', pipeAt('198.51.100.1'))).toBe(false)
  })

  test('waits longer for each of the last answers, and never longer than replies may take', () => {
    const delays = Array.from({ length: 14 }, () => fail(source))
    expect(delays.slice(0, 6)).toEqual([0, 0, 0, 0, 0, 0])
    for (let index = 6; index < 10; index++) {
      expect(delays[index]).toBeGreaterThan(delays[index - 1] ?? 0)
    }
    expect(delays.slice(9)).toEqual(Array(5).fill(ANSWER_DELAY_MS_MAX))
    expect(ANSWER_DELAY_MS_MAX + 100).toBeLessThan(500)
  })

  test('that is refused looks like one whose password is wrong', () => {
    const wrong = fail(source, 'alice', FAILURES_MAX)
    expect(fail(source, 'alice', 1, 'throttled')).toBe(wrong)
  })

  test('is refused twice as long each time, up to the bound', () => {
    fail(source, 'alice', FAILURES_MAX)
    const seconds: number[] = []
    for (let time = 0; time < 9; time++) {
      seconds.push(secondsRefused(source, 'alice'))
      nowMs += secondsRefused(source, 'alice') * 1000
      fail(source, 'alice')
    }
    expect(seconds).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60])
  })

  test('does not wait longer for trying while it is refused', () => {
    fail(source, 'alice', FAILURES_MAX)
    fail(source, 'alice', 1000)
    fail(source, 'alice', 1000, 'throttled')
    expect(secondsRefused(source, 'alice')).toBe(1)
  })

  test('that fails now and then is never refused', () => {
    for (let minute = 0; minute < 1000; minute++) {
      fail(source, 'alice', 4)
      expect(throttle.isRefused('alice', source)).toBe(false)
      nowMs += MINUTE_MS
    }
  })

  test('that was quiet for long is refused as briefly as the first time', () => {
    fail(source, 'alice', FAILURES_MAX)
    for (let time = 0; time < 6; time++) {
      nowMs += secondsRefused(source, 'alice') * 1000
      fail(source, 'alice')
    }
    nowMs += 30 * MINUTE_MS
    fail(source, 'alice', FAILURES_MAX)
    expect(secondsRefused(source, 'alice')).toBe(1)
  })

  test('may abandon four exchanges for each wrong password', () => {
    fail(source, 'alice', 4 * FAILURES_MAX - 1, 'aborted')
    expect(throttle.isRefused('alice', source)).toBe(false)
    fail(source, 'alice', 1, 'aborted')
    expect(throttle.isRefused('alice', source)).toBe(true)
    // Nobody guessed anything of alice's.
    expect(throttle.isRefused('alice', pipeAt('198.51.100.1'))).toBe(false)
  })

  test.each<FailureReason>(['busy', 'malformed', 'unknown-mechanism', 'credentials-changed'])(
    'is not blamed for what is no guess: %s',
    (reason) => {
      expect(fail(source, 'alice', 1000, reason)).toBe(0)
      expect(throttle.isRefused('alice', source)).toBe(false)
    },
  )

  test('of many who log in rightly is judged by the ratio', () => {
    for (let time = 0; time < 400; time++) throttle.succeeded('shop', source)
    fail(source, 'bob', 5)
    fail(source, 'carol', 8)
    fail(source, 'dave', 8)
    fail(source, 'erin', 8)
    expect(throttle.isRefused('frank', source)).toBe(false)
    for (let user = 0; user < 100; user++) fail(source, `user${user}`)
    expect(throttle.isRefused('frank', source)).toBe(true)
    expect(throttle.isRefused('shop', source)).toBe(false)
  })

  test('gains little by an account of its own: right logins count up to a bound', () => {
    for (let time = 0; time < 100_000; time++) throttle.succeeded('mallory', source)
    let failures = 0
    while (!throttle.isRefused('frank', source)) fail(source, `user${failures++}`)
    expect(failures).toBe(FAILURES_MAX + 256)
  })

  test('on a Unix socket is apart from addresses, and from other Unix sockets', () => {
    const unix = (listenerIndex: number): Pipe => ({
      peer: new Peer('unix', 'unix'),
      channel: { kind: 'unix', listenerIndex },
    })
    fail(unix(1), 'alice', FAILURES_MAX - 1)
    fail(unix(1), 'bob')
    expect(throttle.isRefused('carol', unix(1))).toBe(true)
    expect(throttle.isRefused('carol', unix(2))).toBe(false)
    expect(throttle.isRefused('carol', source)).toBe(false)
  })

  test.each([
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff::9', '2001:db8:1:3::1'],
    ['::1', '::2', '2001:db8::1'],
  ])('of IPv6 is the /64: %s', (first, same, other) => {
    fail(pipeAt(first), 'alice', FAILURES_MAX)
    expect(throttle.isRefused('bob', pipeAt(same))).toBe(true)
    expect(throttle.isRefused('bob', pipeAt(other))).toBe(false)
  })
})

describe('a network', () => {
  test.each([
    ['192.0.2.', '192.0.2.250', '192.0.3.1', 'network 192.0.2.0/24'],
    ['2001:db8:1:', '2001:db8:1:ff::1', '2001:db8:2::1', 'network 2001:db8:1::/48'],
  ])('%s is refused when too many of its sources fail', (prefix, same, other, name) => {
    for (let host = 1; host <= 40; host++) {
      const address = prefix.includes(':') ? `${prefix}${host}::1` : `${prefix}${host}`
      fail(pipeAt(address), `user${host}`, 2)
    }
    expect(throttle.isRefused('bob', pipeAt(same))).toBe(true)
    expect(throttle.isRefused('bob', pipeAt(other))).toBe(false)
    expect(told).toContain(`begin ${name}`)
  })

  test('that is refused leaves those in whose address is known', () => {
    throttle.succeeded('shop', pipeAt('192.0.2.77'))
    for (let host = 1; host <= 40; host++) fail(pipeAt(`192.0.2.${host}`), `user${host}`, 3)
    expect(throttle.isRefused('shop', pipeAt('192.0.2.77'))).toBe(false)
    expect(throttle.isRefused('bob', pipeAt('192.0.2.77'))).toBe(false)
    expect(throttle.isRefused('shop', pipeAt('192.0.2.78'))).toBe(true)
  })
})

describe('a user', () => {
  const home = pipeAt('203.0.113.5')
  const attackers = Array.from({ length: 10_000 }, (_, index) =>
    pipeAt(`10.${index >> 8}.${index & 255}.1`),
  )

  test('who is attacked from ten thousand sources is refused to strangers, not at home', () => {
    throttle.succeeded('alice', home)
    for (const attacker of attackers) fail(attacker)
    expect(throttle.isRefused('alice', pipeAt('198.51.100.1'))).toBe(true)
    expect(throttle.isRefused('alice', home)).toBe(false)
    // A new machine in the same network.
    expect(throttle.isRefused('alice', pipeAt('203.0.113.6'))).toBe(false)
    expect(throttle.isRefused('bob', pipeAt('198.51.100.1'))).toBe(false)
  })

  test('is never refused at home, also if somebody else fails there', () => {
    throttle.succeeded('alice', home)
    for (let time = 0; time < 5000; time++) fail(home, time % 2 === 0 ? 'alice' : 'bob')
    expect(throttle.isRefused('alice', home)).toBe(false)
    expect(throttle.isRefused('bob', home)).toBe(true)
    // Each guess waits as long as may be.
    expect(fail(home)).toBe(ANSWER_DELAY_MS_MAX)
  })

  test('who fails at home is not refused elsewhere for it', () => {
    throttle.succeeded('alice', home)
    fail(home, 'alice', 1000)
    expect(throttle.isRefused('alice', pipeAt('198.51.100.1'))).toBe(false)
  })

  test('waits for each failure also where right logins give the source leave', () => {
    for (let time = 0; time < 1000; time++) throttle.succeeded('alice', home)
    expect(fail(home, 'alice', FAILURES_MAX)).toBe(ANSWER_DELAY_MS_MAX)
  })

  test.each([0, 3, 5, 7, 9, 12])(
    'is answered at home as late as elsewhere, after %i failures from other places',
    (elsewhereCount) => {
      const seen = [true, false].map((isKnown) => {
        throttle = newThrottle({ memory: createThrottleMemory(countingBytes) })
        if (isKnown) throttle.succeeded('alice', home)
        for (const attacker of attackers.slice(0, elsewhereCount)) fail(attacker)
        return Array.from({ length: FAILURES_MAX + 2 }, () => {
          const full = fail(home, 'alice', 1, 'namespace-full')
          const isRefused = throttle.isRefused('alice', home)
          return [full, fail(home, 'alice', 1, isRefused ? 'throttled' : 'wrong-password')]
        })
      })
      expect(seen[0]).toEqual(seen[1])
    },
  )

  test.each<FailureReason>(['busy', 'channel-binding', 'credentials-changed'])(
    'who is looked at where others are refused is answered as late, whatever comes of it: %s',
    (reason) => {
      throttle.succeeded('alice', home)
      expect(fail(home, 'alice', 1, reason)).toBe(0)
      for (let index = 0; index < FAILURES_MAX + 1; index++) fail(home, `random${index}`)
      expect(throttle.isRefused('alice', home)).toBe(false)
      expect(throttle.isRefused('bob', home)).toBe(true)
      expect(fail(home, 'alice', 1, reason)).toBe(ANSWER_DELAY_MS_MAX)
      // Before the user is named nobody is looked at.
      expect(fail(home, '', 1, 'unknown-mechanism')).toBe(0)
    },
  )

  test('who is not there is throttled like one who is', () => {
    const seen = ['alice', 'no-such-user'].map((name) => {
      throttle = newThrottle({ memory: createThrottleMemory(countingBytes) })
      const delays = attackers.slice(0, 12).map((attacker) => fail(attacker, name))
      return [delays, throttle.isRefused(name, home), secondsRefused(home, name)]
    })
    expect(seen[0]).toEqual(seen[1])
    expect(seen[0]?.[1]).toBe(true)
  })

  test('whose name is any bytes has a place of its own', () => {
    for (const attacker of attackers.slice(0, 12)) fail(attacker, 'a\0b')
    expect(throttle.isRefused('a\0b', home)).toBe(true)
    expect(throttle.isRefused('a', home)).toBe(false)
    expect(throttle.isRefused('', home)).toBe(false)
  })

  test('who is removed and comes back begins anew', () => {
    throttle.succeeded('alice', home)
    throttle.succeeded('bob', home)
    throttle.forget(['alice', 'carol'])
    for (const attacker of attackers.slice(0, 12)) {
      fail(attacker, 'alice')
      fail(attacker, 'bob')
    }
    expect(throttle.isRefused('alice', home)).toBe(true)
    expect(throttle.isRefused('bob', home)).toBe(false)
  })
})

describe('what is allowed', () => {
  test('is neither counted nor refused, and others see nothing of it', () => {
    throttle = newThrottle({ isAllowed: (address) => address === '192.0.2.1' })
    expect(fail(pipeAt('192.0.2.1'), 'alice', 10_000)).toBe(0)
    expect(throttle.isRefused('alice', pipeAt('192.0.2.1'))).toBe(false)
    expect(throttle.isRefused('alice', pipeAt('192.0.2.2'))).toBe(false)
  })
})

describe('many', () => {
  test('failures of ten thousand sources do not make one forgotten that fails often', () => {
    const guesser = pipeAt('198.51.100.1')
    fail(guesser, 'alice', FAILURES_MAX - 1)
    throttle.succeeded('shop', pipeAt('203.0.113.5'))
    for (let index = 0; index < 60_000; index++) {
      fail(pipeAt(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`), `name${index}`)
    }
    expect(throttle.isRefused('alice', guesser)).toBe(false)
    fail(guesser, 'bob')
    expect(throttle.isRefused('alice', guesser)).toBe(true)
    for (const attacker of ['198.51.101.1', '198.51.102.1', '198.51.103.1']) {
      fail(pipeAt(attacker), 'shop', 9)
    }
    expect(throttle.isRefused('shop', pipeAt('198.51.103.2'))).toBe(true)
    expect(throttle.isRefused('shop', pipeAt('203.0.113.5'))).toBe(false)
  })

  test('names from one source do not make it or a user forgotten', () => {
    const guesser = pipeAt('198.51.100.1')
    fail(pipeAt('198.51.101.1'), 'alice', 9)
    for (let index = 0; index < 10_000; index++) {
      if (!throttle.isRefused(`name${index}`, guesser)) fail(guesser, `name${index}`)
      nowMs += 10
    }
    fail(pipeAt('198.51.102.1'), 'bob', FAILURES_MAX)
    expect(throttle.isRefused('alice', guesser)).toBe(true)
  })

  test('what fails there and elsewhere is answered as late as of who never logged in there', () => {
    const home = pipeAt('203.0.113.5')
    throttle.succeeded('alice', home)
    const delays = new Map<string, number[]>()
    const fresh = new Map([
      ['alice', 1],
      ['carol', 2],
    ])
    // Each in a throttle of its own, as the failures of one would be counted of the source of the other.
    for (const [name, net] of fresh) {
      memory = createThrottleMemory(countingBytes)
      throttle = newThrottle()
      throttle.succeeded('alice', home)
      const seen: number[] = []
      for (let count = 0; count < FAILURES_MAX - 1; count++) seen.push(fail(home, name))
      for (let host = 0; host < 6; host++) {
        const pipe = pipeAt(`198.51.${10 * net + host}.1`)
        const isRefused = throttle.isRefused(name, pipe)
        seen.push(fail(pipe, name, 1, isRefused ? 'throttled' : 'wrong-password'))
      }
      delays.set(name, seen)
    }
    expect(delays.get('alice')).toEqual(delays.get('carol'))
    expect(delays.get('alice')?.at(-1)).toBe(ANSWER_DELAY_MS_MAX)
  })

  test('for what fails there neither the user is refused elsewhere, nor the network', () => {
    const home = pipeAt('203.0.113.5')
    throttle.succeeded('alice', home)
    for (let count = 0; count < 100 * FAILURES_MAX; count++) {
      nowMs += 200
      if (!throttle.isRefused('alice', home)) fail(home, 'alice')
    }
    expect(throttle.isRefused('bob', home)).toBe(true)
    expect(throttle.isRefused('alice', pipeAt('198.51.100.1'))).toBe(false)
    expect(throttle.isRefused('carol', pipeAt('203.0.113.6'))).toBe(false)
  })

  test('sources of one user do not push out where others logged in rightly', () => {
    memory = createThrottleMemory(countingBytes, 8)
    throttle = newThrottle()
    throttle.succeeded('shop', pipeAt('203.0.113.5'))
    nowMs += 1000
    // Of the 64 records one user may hold a quarter; the rest is for others.
    for (let index = 0; index < 5000; index++) {
      throttle.succeeded('mallory', pipeAt(`10.${index >> 8}.${index & 255}.1`))
    }
    expect(throttle.isProven(pipeAt('203.0.113.5').peer.networkKey)).toBe(true)
    for (let index = 0; index < 30; index++) fail(pipeAt(`198.51.${index}.1`), 'shop')
    expect(throttle.isRefused('shop', pipeAt('203.0.113.5'))).toBe(false)
  })

  test('are told of by name up to a bound, and as a number beyond', () => {
    for (let index = 0; index < 100; index++) fail(pipeAt(`10.0.${index}.1`), `u${index}`, 10)
    expect(told.filter((line) => line.startsWith('begin source'))).toHaveLength(32)
    expect(told.filter((line) => line.startsWith('begin user'))).toHaveLength(32)
    throttle.tellEnded()
    expect(told.at(-1)).toBe('136 more')
    expect(throttle.list()).toHaveLength(64)
  })
})

describe('what is told', () => {
  const source = pipeAt('192.0.2.1')

  test('is one beginning and one end, however often it is refused in between', () => {
    fail(source, 'alice', FAILURES_MAX)
    expect(told).toEqual(['begin source 192.0.2.1', 'begin user alice'])
    for (let time = 0; time < 5; time++) {
      nowMs += secondsRefused(source, 'alice') * 1000
      throttle.tellEnded()
      fail(source, 'alice')
    }
    expect(told).toHaveLength(2)
    nowMs += 10 * MINUTE_MS
    throttle.tellEnded()
    expect(told.slice(2).sort()).toEqual(['end source 192.0.2.1', 'end user alice'])
    throttle.tellEnded()
    expect(told).toHaveLength(4)
  })

  test('names no name that is no user', () => {
    for (let time = 0; time < FAILURES_MAX; time++) {
      throttle.failed('hunter2', source, 'unknown-user', {
        user: '',
        unknownUser: '7 characters, 4f3a9c1e',
      })
    }
    expect(told).toContain('begin unknown_user 7 characters, 4f3a9c1e')
    expect(throttle.list()).toContainEqual({
      kind: 'unknown_user',
      name: '7 characters, 4f3a9c1e',
      seconds: 1,
    })
  })

  test('is seen by every worker, and told by one', () => {
    const other = newThrottle()
    fail(source, 'alice', FAILURES_MAX)
    expect(other.isRefused('bob', source)).toBe(true)
    expect(other.list().map(({ name }) => name)).toEqual(['alice', '192.0.2.1'])
    nowMs += 10 * MINUTE_MS
    other.tellEnded()
    throttle.tellEnded()
    expect(told).toHaveLength(4)
  })

  test('of IPv6 is counted over all workers, a /64 and the /48 around it, but not what is allowed', () => {
    const allowed = '2001:db8:1:7:'
    const isAllowed = (address: string): boolean => address.startsWith(allowed)
    const workers = [1, 2, 3].map(() => newThrottle({ isAllowed }))
    const [first, second, third] = workers
    const failAt = (address: string, name: string, turn: number): void => {
      const claimed = { user: name, unknownUser: '' }
      workers[turn % 3]?.failed(name, pipeAt(address), 'wrong-password', claimed)
    }
    for (let turn = 0; turn < FAILURES_MAX; turn++)
      failAt(`2001:db8:1:1::${turn}`, `u${turn}`, turn)
    const isRefusedAt = (address: string): (boolean | undefined)[] =>
      workers.map((worker) => worker.isRefused('bob', pipeAt(address)))
    expect(isRefusedAt('2001:db8:1:1::ff')).toEqual([true, true, true])
    expect(isRefusedAt('2001:db8:1:2::1')).toEqual([false, false, false])
    for (let host = 1; host <= 80; host++)
      failAt(`2001:db8:1:${(256 + host).toString(16)}::1`, 'carol', host)
    expect(isRefusedAt('2001:db8:1:2::1')).toEqual([true, true, true])
    expect(isRefusedAt('2001:db8:2:2::1')).toEqual([false, false, false])
    expect(isRefusedAt(`${allowed}:1`)).toEqual([false, false, false])
    // A reload tells all of them who is gone, and nothing else is forgotten.
    for (const worker of [first, second, third]) worker?.forget(['dave'])
    expect(isRefusedAt('2001:db8:1:1::ff')).toEqual([true, true, true])
    expect(isRefusedAt('2001:db8:1:2::1')).toEqual([true, true, true])
  })

  test('holds the longest names there are, whole characters of them', () => {
    const long = '\u{1f600}'.repeat(128)
    for (let time = 0; time < FAILURES_MAX; time++) {
      throttle.failed(long, source, 'wrong-password', { user: long, unknownUser: '' })
    }
    const [user] = throttle.list()
    expect(user?.name).toMatch(/^\u{1f600}{80,}$/u)
  })
})

test('a storm of right logins from one source is never refused', () => {
  const source = pipeAt('192.0.2.1')
  for (let time = 0; time < 1000; time++) {
    expect(throttle.isRefused('shop', source)).toBe(false)
    throttle.succeeded('shop', source)
  }
})

test('somebody is known by a right login for a day, and strangers never are', () => {
  const { networkKey } = pipeAt('192.0.2.1').peer
  fail(pipeAt('192.0.2.1'))
  expect(throttle.isProven(networkKey)).toBe(false)
  throttle.succeeded('alice', pipeAt('192.0.2.1'))
  expect(throttle.isProven(networkKey)).toBe(true)
  nowMs += 25 * 60 * MINUTE_MS
  expect(throttle.isProven(networkKey)).toBe(false)
  throttle.succeeded('alice', { peer: new Peer('unix', 'unix'), channel: pipeAt('x').channel })
  expect(throttle.isProven({ kind: 0, high: 0, low: 1 })).toBe(false)
})

describe('a right login that finds its namespace full', () => {
  const source = pipeAt('192.0.2.1')

  test.each([
    ['new there', false],
    ['known there', true],
  ])('is answered as late as a wrong password, of who is %s', (_, isKnown) => {
    if (isKnown) throttle.succeeded('alice', source)
    for (let index = 0; index < FAILURES_MAX + 4; index++) {
      const full = fail(source, 'alice', 1, 'namespace-full')
      expect(full).toBe(fail(source))
      // Failures are forgotten with time, and a refusal is over some time.
      if (index === FAILURES_MAX + 1) nowMs += 2 * MINUTE_MS
    }
  })

  test('is answered as late as what the network around it has coming', () => {
    for (let host = 1; host < 80; host++) fail(pipeAt(`192.0.2.${host}`), `user${host}`)
    const newcomer = pipeAt('192.0.2.200')
    const full = fail(newcomer, 'alice', 1, 'namespace-full')
    expect(full).toBeGreaterThan(0)
    expect(full).toBe(fail(newcomer))
  })

  test('is held against nobody, however often it comes', () => {
    fail(source, 'alice', 1000, 'namespace-full')
    expect(throttle.isRefused('alice', source)).toBe(false)
    expect(throttle.isRefused('bob', source)).toBe(false)
    expect(fail(source)).toBe(0)
    expect(told).toEqual([])
  })
})
