import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { Peer } from '../../../src/base/peer.ts'
import {
  DerivationQueue,
  type DerivationQueueOptions,
  type PendingCheck,
} from '../../../src/sasl/derivation-queue.ts'
import { fuzzParameters } from '../credential/fuzz-parameters.ts'

type Pending = PendingCheck<Uint8Array>

/** A source with a site of its own, if it is not an address. */
function from(source: string): Peer {
  return new Peer(source, source)
}

/** A queue whose checks end when the test says so. */
class Bench {
  nowMs = 0
  readonly started: string[] = []
  readonly queue: DerivationQueue<Uint8Array>
  readonly #running = new Map<string, (key: Uint8Array) => void>()

  constructor(options: Partial<DerivationQueueOptions> = {}) {
    this.queue = new DerivationQueue({
      monotonicMs: () => this.nowMs,
      runningMax: 1,
      waitingMax: 100,
      waitMsMax: 1000,
      ...options,
    })
  }

  request(source: string, what: string): Pending {
    return this.queue.request(from(source), what, () => {
      this.started.push(what)
      return new Promise((resolve) => this.#running.set(what, resolve))
    })
  }

  get running(): string[] {
    return [...this.#running.keys()]
  }

  /** Ends the oldest running check and lets everything that follows from it happen. */
  async finishOne(): Promise<void> {
    const [first] = this.#running
    if (first === undefined) throw new Error('nothing runs')
    this.#running.delete(first[0])
    first[1](Buffer.from(first[0]))
    await settled()
  }

  async finishAll(): Promise<void> {
    while (this.#running.size > 0) await this.finishOne()
  }
}

/** Lets pending promises settle: a turn of the event loop, not a time. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

async function outcomeOf({ outcome }: Pending): Promise<string> {
  const settledOutcome = await outcome
  return typeof settledOutcome === 'string'
    ? settledOutcome
    : Buffer.from(settledOutcome).toString()
}

let bench = new Bench()

beforeEach(() => {
  bench = new Bench()
})

describe('the derivation queue', () => {
  test('runs as many at once as it may', async () => {
    bench = new Bench({ runningMax: 2 })
    for (const what of ['a', 'b', 'c']) bench.request('s', what)
    expect(bench.started).toEqual(['a', 'b'])
    expect(bench.queue.waitingCount).toBe(1)
    await bench.finishOne()
    expect(bench.started).toEqual(['a', 'b', 'c'])
  })

  test('lets sources take turns, each in its own order', async () => {
    for (const what of ['a1', 'a2', 'a3', 'a4']) bench.request('A', what)
    for (const what of ['b1', 'b2']) bench.request('B', what)
    bench.request('C', 'c1')
    await bench.finishAll()
    expect(bench.started).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4'])
  })

  test('starts a newcomer after one more check of a source, however many that has waiting', async () => {
    for (let index = 0; index < 90; index += 1) bench.request('flood', `wrong${index}`)
    const legitimate = bench.request('client', 'right')
    await bench.finishOne()
    await bench.finishOne()
    expect(bench.started).toEqual(['wrong0', 'wrong1', 'right'])
    await bench.finishOne()
    expect(await outcomeOf(legitimate)).toBe('right')
  })

  /** As one owner has them. */
  const ownNetworks = Array.from(
    { length: 100 },
    (_, index) => `2001:db8:7:${index.toString(16)}::1`,
  )

  test('lets who owns a /48 have the turns of one, from however many of its /64s', async () => {
    bench = new Bench({ waitingMax: 200 })
    for (const [index, address] of ownNetworks.entries()) bench.request(address, `wrong${index}`)
    bench.request('192.0.2.1', 'right')
    await bench.finishAll()
    expect(bench.started.indexOf('right')).toBeLessThanOrEqual(2)
    // Among them its /64s take turns.
    expect(bench.started).toHaveLength(101)
    const again = new Bench({ waitingMax: 200 })
    for (const what of ['a1', 'a2', 'a3']) again.request('2001:db8:7:a::1', what)
    again.request('2001:db8:7:b::1', 'b1')
    again.request('2001:db8:8::1', 'other')
    await again.finishAll()
    expect(again.started).toEqual(['a1', 'a2', 'other', 'b1', 'a3'])
  })

  test('when full drops no client for who asks once from each /64 of a /48', async () => {
    bench = new Bench({ waitingMax: 50 })
    const first = bench.request('192.0.2.1', 'runs')
    const clients = ['c1', 'c2'].map((what) => bench.request('192.0.2.1', what))
    for (const [index, address] of ownNetworks.entries()) {
      void bench.request(address, `wrong${index}`).outcome
    }
    await bench.finishAll()
    expect(await Promise.all([first, ...clients].map(outcomeOf))).toEqual(['runs', 'c1', 'c2'])
  })

  test('asks only whose turn it is for a check; who joined it waits for a turn of its own', async () => {
    const asked: string[] = []
    let allowed = 1
    const request = (source: string, what: string): Pending =>
      bench.queue.request(
        from(source),
        what,
        async () => {
          bench.started.push(what)
          return Buffer.from(what)
        },
        {
          isRefused: () => false,
          takeCheck: () => {
            asked.push(source)
            return allowed-- > 0
          },
        },
      )
    bench.request('other', 'runs')
    const logins = [request('A', 'right'), request('B', 'right'), request('C', 'right')]
    const wrong = [request('A', 'w1'), request('B', 'w2')]
    await bench.finishOne()
    expect(await Promise.all(logins.map(outcomeOf))).toEqual(['right', 'right', 'right'])
    expect(await Promise.all(wrong.map(outcomeOf))).toEqual(['throttled', 'throttled'])
    expect(bench.started).toEqual(['runs', 'right'])
    expect(asked).toEqual(['A', 'B', 'A'])

    bench.request('other', 'runs again')
    const joined = ['D', 'E', 'F'].map((source) => request(source, 'same'))
    allowed = 0
    const deadline = Promise.all(joined.map(outcomeOf))
    await bench.finishOne()
    expect(await deadline).toEqual(['throttled', 'throttled', 'throttled'])
    expect(bench.queue.waitingCount).toBe(0)
    expect(bench.queue.runningCount).toBe(0)
  })

  test('looks at each of many equal requests as often as at others, whoever may be checked', async () => {
    let lookCount = 0
    bench.request('other', 'runs')
    const requests = Array.from({ length: 90 }, () =>
      bench.queue.request(from('A'), 'same', async () => Buffer.from('x'), {
        isRefused: () => {
          lookCount += 1
          return false
        },
        takeCheck: () => false,
      }),
    )
    await bench.finishOne()
    const outcomes = await Promise.all(requests.map(outcomeOf))
    expect(new Set(outcomes)).toEqual(new Set(['throttled']))
    expect(lookCount).toBe(90)
  })

  test('checks nothing for who joined one that is refused by then', async () => {
    bench.request('other', 'runs')
    const rules = { isRefused: () => true, takeCheck: () => false }
    const check = async (): Promise<Uint8Array> => {
      bench.started.push('same')
      return Buffer.from('same')
    }
    const refused = bench.queue.request(from('A'), 'same', check, rules)
    const joined = bench.queue.request(from('B'), 'same', check, {
      isRefused: () => false,
      takeCheck: () => false,
    })
    await bench.finishOne()
    expect(await Promise.all([refused, joined].map(outcomeOf))).toEqual(['throttled', 'throttled'])
    expect(bench.started).toEqual(['runs'])
  })

  test('when full drops the newest of the longest line, at the limit none', async () => {
    bench = new Bench({ waitingMax: 3 })
    const running = bench.request('flood', 'w0')
    const waiting = ['w1', 'w2', 'w3'].map((what) => bench.request('flood', what))
    expect(bench.queue.waitingCount).toBe(3)
    const legitimate = bench.request('client', 'right')
    expect(bench.queue.waitingCount).toBe(3)
    const late = bench.request('flood', 'w4')
    await bench.finishAll()
    expect(await Promise.all([running, ...waiting, legitimate, late].map(outcomeOf))).toEqual([
      'w0',
      'w1',
      'w2',
      'busy',
      'right',
      'busy',
    ])
  })

  test('answers busy to whoever has waited too long, and checks nothing for him', async () => {
    bench.request('s', 'slow')
    const waiting = bench.request('s', 'late')
    bench.nowMs = 999
    const inTime = bench.request('t', 'in time')
    bench.nowMs = 1000
    await bench.finishAll()
    expect(await outcomeOf(waiting)).toBe('busy')
    expect(await outcomeOf(inTime)).toBe('in time')
    expect(bench.started).toEqual(['slow', 'in time'])
  })

  test('answers busy when the next request comes, even if nothing ends', async () => {
    bench.request('s', 'stuck')
    const waiting = bench.request('s', 'late')
    bench.nowMs = 1000
    bench.request('s', 'next')
    expect(await outcomeOf(waiting)).toBe('busy')
    expect(bench.started).toEqual(['stuck'])
  })

  test('forgets a request that was given up: the same again is a new one', async () => {
    bench.request('s', 'running')
    bench.request('s', 'again').abort()
    const again = bench.request('s', 'again')
    expect(bench.queue.sharedCount).toBe(0)
    await bench.finishAll()
    expect(await outcomeOf(again)).toBe('again')
  })

  test('lets equal requests share one check, also one that runs already', async () => {
    bench.request('s', 'first')
    const shared = [bench.request('s', 'same'), bench.request('t', 'same')]
    await bench.finishOne()
    shared.push(bench.request('u', 'same'))
    await bench.finishAll()
    expect(await Promise.all(shared.map(outcomeOf))).toEqual(['same', 'same', 'same'])
    expect(bench.started).toEqual(['first', 'same'])
    expect(bench.queue.startedCount).toBe(2)
    expect(bench.queue.sharedCount).toBe(2)
  })

  test('serves a shared request at the turn of whichever source comes first', async () => {
    for (const what of ['a1', 'a2', 'a3', 'same']) bench.request('A', what)
    bench.request('B', 'same')
    await bench.finishAll()
    expect(bench.started).toEqual(['a1', 'a2', 'same', 'a3'])
  })

  test('drops a waiting request that is aborted, but not one that is shared or runs', async () => {
    const running = bench.request('s', 'running')
    const alone = bench.request('s', 'alone')
    const one = bench.request('s', 'shared')
    const other = bench.request('t', 'shared')
    for (const derivation of [running, alone, one]) derivation.abort()
    expect(await Promise.all([running, alone, one].map(outcomeOf))).toEqual([
      'aborted',
      'aborted',
      'aborted',
    ])
    await bench.finishAll()
    expect(await outcomeOf(other)).toBe('shared')
    expect(bench.started).toEqual(['running', 'shared'])
    other.abort()
    expect(bench.queue.waitingCount).toBe(0)
  })

  test('tells every sharer of a check that broke, and goes on', async () => {
    const error = new Error('no memory')
    const queue = new DerivationQueue<Uint8Array>({
      monotonicMs: () => 0,
      runningMax: 1,
      waitingMax: 10,
      waitMsMax: 1000,
    })
    const [bad, alsoBad, good] = ['bad', 'bad', 'good'].map((what) =>
      queue.request(from('s'), what, () =>
        what === 'bad' ? Promise.reject(error) : Promise.resolve(Buffer.from(what)),
      ),
    )
    await expect(bad?.outcome).rejects.toBe(error)
    await expect(alsoBad?.outcome).rejects.toBe(error)
    expect(good === undefined ? '' : await outcomeOf(good)).toBe('good')
  })

  describe('tells how long a check may be taken to last', () => {
    const pass = async (ms: number): Promise<void> => {
      bench.nowMs += ms
      await bench.finishOne()
    }

    test('by the last ones, in steps, and it does not fade with time', async () => {
      expect(bench.queue.expectedMs).toBe(0)
      bench.request('s', 'slow')
      await pass(610)
      expect(bench.queue.expectedMs).toBe(650)
      bench.nowMs += 3_600_000
      expect(bench.queue.expectedMs).toBe(650)
      for (let index = 0; index < 30; index++) {
        bench.request('s', `quick${index}`)
        await pass(2)
      }
      expect(bench.queue.expectedMs).toBe(50)
    })

    test('by the wait for it, which is forgotten soon, and is no longer than anybody waits', async () => {
      for (const what of ['a', 'b', 'c']) bench.request('s', what)
      await pass(300)
      await pass(300)
      expect(bench.queue.expectedMs).toBe(950)
      await pass(300)
      expect(bench.queue.expectedMs).toBeLessThan(950)
      bench.nowMs += 20_000
      expect(bench.queue.expectedMs).toBe(350)
      for (const what of ['d', 'e']) bench.request('s', what)
      await pass(990)
      await pass(990)
      expect(bench.queue.expectedMs).toBe(1000)
    })

    test('by those who waited in vain', async () => {
      bench.request('s', 'stuck')
      bench.request('s', 'late')
      bench.nowMs = 1000
      bench.request('s', 'next')
      expect(bench.queue.expectedMs).toBe(1000)
    })
  })

  test('in any order of events stays within its limits and answers everybody once', async () => {
    const event = fc.oneof(
      fc.record({
        kind: fc.constant('request' as const),
        source: fc.constantFrom('a', 'b', 'c'),
        what: fc.integer({ min: 0, max: 20 }),
      }),
      fc.record({ kind: fc.constant('abort' as const), index: fc.nat(50) }),
      fc.record({ kind: fc.constant('finish' as const) }),
      fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 700 }) }),
    )
    const property = fc.asyncProperty(fc.array(event, { maxLength: 120 }), async (events) => {
      const subject = new Bench({ runningMax: 2, waitingMax: 5 })
      const requests: Pending[] = []
      const outcomes: Promise<string>[] = []
      for (const next of events) {
        if (next.kind === 'request') {
          const derivation = subject.request(next.source, `${next.what}`)
          requests.push(derivation)
          outcomes.push(
            outcomeOf(derivation).then((outcome) => {
              expect(['busy', 'aborted', `${next.what}`]).toContain(outcome)
              return outcome
            }),
          )
        } else if (next.kind === 'abort') requests[next.index]?.abort()
        else if (next.kind === 'wait') subject.nowMs += next.ms
        else if (subject.running.length > 0) await subject.finishOne()
        expect(subject.queue.runningCount).toBe(subject.running.length)
        expect(subject.queue.runningCount).toBeLessThanOrEqual(2)
        expect(subject.queue.waitingCount).toBeLessThanOrEqual(5)
        if (subject.queue.runningCount < 2) expect(subject.queue.waitingCount).toBe(0)
      }
      await subject.finishAll()
      await Promise.all(outcomes)
      expect(subject.queue.waitingCount).toBe(0)
    })
    await fc.assert(property, fuzzParameters(200))
  })
})
