/**
 * The streams' own tests: that they have the parameters they claim. A sampler that is wrong for one
 * alpha would measure another workload than the one it names, and nobody would see it in a ratio.
 */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadStore } from './store-build.mjs'
import { driveStore } from './store-miss-ratio.mjs'
import {
  keyCountOf,
  leastMisses,
  memorySizesMib,
  requestsOf,
  Sampler,
  shiftOf,
  Trace,
  WORKLOADS,
  workloadOf,
} from './traces.mjs'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const DIST = resolve(import.meta.dirname, '..', '..', '.modules')
const ONE_HIT_ID = 0x80000000

const requestsFrom = (trace, count) =>
  Array.from({ length: count }, () => {
    trace.next()
    return { id: trace.id, isWrite: trace.isWrite, second: trace.second }
  })

describe('a sampler', () => {
  test.each([0.3, 0.9, 1, 1.2, 2.1])(
    'draws ranks as often as their weights say (alpha %s)',
    (alpha) => {
      console.log(`SEED=${SEED}`)
      const count = 50
      const draws = 200_000
      const weights = Float64Array.from({ length: count }, (_, index) => (index + 1) ** -alpha)
      const sum = weights.reduce((total, weight) => total + weight, 0)
      const sampler = new Sampler(weights)
      const trace = new Trace(workloadOf('cluster18'), SEED)
      const seen = new Float64Array(count)
      for (let index = 0; index < draws; index++)
        seen[sampler.draw(trace.random(), trace.random())]++
      const chiSquare = seen.reduce((total, found, index) => {
        const expected = (draws * weights[index]) / sum
        return total + (found - expected) ** 2 / expected
      }, 0)
      // 49 degrees of freedom: above 120 once in ten million right samplers.
      expect(chiSquare).toBeLessThan(120)
    },
  )
})

describe.each(WORKLOADS.map((workload) => [workload.name, workload]))(
  'the stream %s',
  (_, workload) => {
    test('is the same for the same seed and another for another', () => {
      const [one, again, other] = [7, 7, 8].map((seed) =>
        requestsFrom(new Trace(workload, seed), 500),
      )
      expect(again).toEqual(one)
      expect(other).not.toEqual(one)
    })

    test('has the shares of writes and one-hit wonders that it names', () => {
      const count = 100_000
      const requests = requestsFrom(new Trace(workload, SEED), count)
      const share = (isCounted) => requests.filter(isCounted).length / count
      // Five standard deviations: once in a million right streams.
      const isNear = (found, expected) =>
        Math.abs(found - expected) <= 5 * Math.sqrt((expected * (1 - expected)) / count)
      expect(share(({ isWrite }) => isWrite)).toSatisfy((it) => isNear(it, workload.writeShare))
      const oneHits = requests.filter(({ id }) => id >= ONE_HIT_ID)
      expect(oneHits.length / count).toSatisfy((it) => isNear(it, workload.oneHitShare))
      expect(new Set(oneHits.map(({ id }) => id)).size).toBe(oneHits.length)
    })

    test('leaves the hottest tenth of its keys at most 90 % of the requests', () => {
      const count = 100_000
      const requests = requestsFrom(new Trace(workload, SEED), count)
      const core = requests.filter(({ id }) => id < keyCountOf(workload))
      const hot = core.filter(({ id }) => id < keyCountOf(workload) / 10)
      expect(hot.length / core.length).toBeLessThan(0.91)
      if (workload.alpha > 1) expect(hot.length / core.length).toBeGreaterThan(0.88)
      expect(shiftOf(keyCountOf(workload), workload.alpha) > 0).toBe(workload.alpha > 1)
    })

    test('has values around the published mean, a TTL mix in proportion, and keys of one length', () => {
      const trace = new Trace(workload, SEED)
      const ids = Array.from({ length: 20_000 }, (__, id) => id)
      const mean = ids.reduce((sum, id) => sum + trace.valueBytesOf(id), 0) / ids.length
      // Values of a few bytes are rounded to whole ones.
      expect(Math.abs(mean / workload.valueBytes - 1)).toBeLessThan(0.06)
      const total = workload.ttls.reduce((sum, [, share]) => sum + share, 0)
      const shortest = Math.min(...workload.ttls.map(([seconds]) => seconds))
      for (const [seconds, share] of workload.ttls) {
        const scaled = Math.round((seconds / shortest) * workload.shortestTtlSeconds)
        const found = ids.filter((id) => trace.ttlSecondsOf(id) === scaled).length / ids.length
        expect(Math.abs(found - share / total)).toBeLessThan(0.02)
      }
      const key = Buffer.alloc(trace.keyBytes + 2, '.')
      const keys = new Set(
        ids.map((id) => {
          trace.writeKey(key, 1, id)
          return key.toString('latin1')
        }),
      )
      expect(keys.size).toBe(ids.length)
      expect([...keys].filter((text) => !/^\.[!-~]+\.$/.test(text))).toEqual([])
    })
  },
)

test('three memory sizes hold a twenty-fourth, a twelfth and a sixth of what the keys need', () => {
  for (const workload of WORKLOADS) {
    const [small, middle, large] = memorySizesMib(workload)
    expect(Math.abs(middle - 2 * small)).toBeLessThanOrEqual(2)
    expect(Math.abs(large - 2 * middle)).toBeLessThanOrEqual(2)
  }
})

describe.skipIf(!existsSync(DIST))('a store on a stream', () => {
  test.each(['cluster29', 'cluster12', 'scan'])(
    'with memory for all misses only what nobody can avoid (%s)',
    async (name) => {
      const workload = { ...workloadOf(name), requestsPerSecond: 10_000 }
      const run = { seed: SEED, warm: 30_000, measured: 60_000 }
      console.log(`SEED=${SEED}`)
      const least = leastMisses(workload, SEED, run.warm, run.measured)
      const build = await loadStore(DIST)
      const ample = driveStore(build, workload, { ...run, memoryBytes: 256 * 2 ** 20 })
      expect({ reads: ample.reads, misses: ample.misses }).toEqual(least)
      const small = driveStore(build, workload, { ...run, memoryBytes: 2 ** 20 })
      expect(small.reads).toBe(least.reads)
      expect(small.misses).toBeGreaterThan(least.misses)
      expect(small.counters.evictions).toBeGreaterThan(0)
    },
  )
})

test('large values get a tenth of the requests and of the requests a second', () => {
  expect(requestsOf(workloadOf('cluster37'), 1000)).toBe(100)
  expect(requestsOf(workloadOf('cluster52'), 1000)).toBe(1000)
})
