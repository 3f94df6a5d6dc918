import { expect, test } from 'vitest'
import { type SourceKey, sourceKey, sourceNetwork } from '../../../../src/base/source-network.ts'
import {
  NO_SOURCE,
  OWN_CROWD,
  SourceCounts,
  sourceCountsWords,
} from '../../../../src/server/admission/source-counts.ts'

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))

function makeCounts(sourcesMax: number, seed = SEED): SourceCounts {
  const layout = { sourcesMax, workerCount: 2, shareWords: 4 }
  return new SourceCounts(new Int32Array(sourceCountsWords(layout)), layout, [seed, ~seed])
}

function key(address: string): SourceKey {
  return sourceKey(sourceNetwork(address))
}

/** A stranger more from there. */
function add(counts: SourceCounts, address: string, times = 1): number {
  let source = NO_SOURCE
  for (let time = 0; time < times; time++) {
    source = counts.hold(key(address))
    counts.change(source, 1)
  }
  return source
}

/** Numbers below a bound, the same for the same seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

test('no two of 60,000 networks count as one', () => {
  const counts = makeCounts(60_000)
  const sources = new Set<number>()
  for (let index = 0; index < 30_000; index++) {
    sources.add(add(counts, `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`))
    sources.add(add(counts, `2001:db8:0:${index.toString(16)}::1`))
  }
  expect(sources.size).toBe(60_000)
  for (const source of sources) expect(counts.count(source)).toBe(1)
  counts.verify()
})

test('as many sources are held as there is room for, and room comes back when one is left', () => {
  const counts = makeCounts(3)
  const sources = ['192.0.2.1', '192.0.2.2', '2001:db8::1'].map((address) =>
    counts.hold(key(address)),
  )
  expect(counts.hold(key('192.0.2.3'))).toBe(NO_SOURCE)
  expect(counts.hold(key('192.0.2.1'))).toBe(sources[0])
  counts.release(sources[1] as number)
  expect(counts.hold(key('192.0.2.3'))).not.toBe(NO_SOURCE)
  counts.verify()
})

test('with room for one source it moves through every number of strangers', () => {
  const counts = makeCounts(1)
  const source = counts.hold(key('192.0.2.1'))
  for (const by of [1, 1, 1, -1, -1, -1, 1] as const) {
    counts.change(source, by)
    counts.verify()
  }
  expect(counts.total).toBe(1)
})

test('the source with most strangers makes room for another, and not for itself', () => {
  const counts = makeCounts(10)
  const many = add(counts, '192.0.2.1', 3)
  const few = add(counts, '198.51.100.1', 2)
  const none = counts.hold(key('203.0.113.1'))
  expect([none, few, many].map((source) => counts.rivalOf(source))).toEqual([many, many, OWN_CROWD])
})

test('the only source that has strangers makes room for itself', () => {
  const counts = makeCounts(10)
  const alone = add(counts, '192.0.2.1', 3)
  expect(counts.rivalOf(alone)).toBe(alone)
})

test('an IPv6 site gives way as a whole, and in it the /64 that has most', () => {
  const counts = makeCounts(10)
  for (let subnet = 0; subnet < 4; subnet++) add(counts, `2001:db8:1:${subnet}::1`)
  const heaviest = add(counts, '2001:db8:1:4::1', 2)
  const elsewhere = add(counts, '192.0.2.1', 4)
  expect(counts.rivalOf(elsewhere)).toBe(heaviest)
  expect(counts.rivalOf(counts.hold(key('2001:db8:1:5::1')))).toBe(heaviest)
  expect(counts.rivalOf(heaviest)).toBe(OWN_CROWD)
})

test('where every address has one stranger, the /24 that has most gives way', () => {
  const counts = makeCounts(600)
  const alone = add(counts, '198.51.100.7')
  for (let host = 0; host < 256; host++) add(counts, `192.0.2.${host}`)
  for (let newcomer = 0; newcomer < 255; newcomer++) {
    const rival = counts.rivalOf(counts.hold(key(`203.0.113.${newcomer}`)))
    expect(rival).not.toBe(alone)
    counts.change(rival, -1)
    counts.release(rival)
  }
})

test(`counts, rankings and room agree with a plain model, in any order of events (SEED=${SEED})`, () => {
  const below = numbers(SEED)
  const sourcesMax = 40
  const counts = makeCounts(sourcesMax)
  const model = new Map<string, { source: number; held: number; strangers: number }>()
  for (let step = 0; step < 6_000; step++) {
    const address =
      below(2) === 0 ? `10.0.${below(3)}.${below(9)}` : `2001:db8:${below(4)}:${below(6)}::1`
    const known = model.get(address)
    if (below(100) < (step % 2000 < 1000 ? 60 : 35)) {
      const source = counts.hold(key(address))
      if (known === undefined && model.size === sourcesMax) {
        expect(source).toBe(NO_SOURCE)
        continue
      }
      if (known === undefined) model.set(address, { source, held: 1, strangers: 0 })
      else known.held++
      expect(model.get(address)?.source).toBe(source)
    } else if (known !== undefined && known.strangers > 0 && below(2) === 0) {
      counts.change(known.source, -1)
      known.strangers--
    } else if (known !== undefined && known.strangers < known.held) {
      if (below(2) === 0) {
        counts.change(known.source, 1)
        known.strangers++
      } else {
        counts.release(known.source)
        known.held--
        if (known.held === 0) model.delete(address)
      }
    }
    if (step % 500 === 0) counts.verify()
    const sites = new Map<number, number>()
    for (const { source, strangers } of model.values()) {
      const site = counts.siteOf(source)
      sites.set(site, (sites.get(site) ?? 0) + strangers)
    }
    const most = Math.max(0, ...sites.values())
    const { heaviest } = counts
    if (most === 0) expect(heaviest).toBe(NO_SOURCE)
    else {
      const site = counts.siteOf(heaviest)
      const inSite = [...model.values()].filter(({ source }) => counts.siteOf(source) === site)
      expect(sites.get(site)).toBe(most)
      expect(counts.count(heaviest)).toBe(Math.max(...inSite.map(({ strangers }) => strangers)))
    }
  }
  for (const { source, held, strangers } of model.values()) {
    expect(counts.count(source)).toBe(strangers)
    for (let count = 0; count < strangers; count++) counts.change(source, -1)
    for (let count = 0; count < held; count++) counts.release(source)
  }
  expect([counts.total, counts.sourcesHeld]).toEqual([0, 0])
  counts.verify()
})
