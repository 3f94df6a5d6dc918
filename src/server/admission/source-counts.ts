/**
 * How many strangers come from where: exact counts by network, in a fixed piece of memory, and which
 * network has most of them. A network is counted in three widths:
 *
 *     source   who is counted          an IPv4 address     of IPv6, a /64
 *     site     whom it belongs to      the same address    the /48, which is what one owner is given
 *     region   where it lies           the /24             the /32
 *
 * Who has an IPv6 site has 65,536 sources for nothing: sites are compared first, sources within a
 * site after that, and regions only where sites are equal. IPv4 addresses are not given away, and all
 * clients of a server may have theirs in one /24: there each address is a site, so that an attacker
 * somewhere else gets no more than one of them does.
 *
 *     | header, 16 words | heads of the hash chains | records | levels | by source and worker |
 *
 *     record:  | kind | high | low | next | holders | strangers | parent | its highest level |
 *              | level, previous, next: among its siblings | level, previous, next: among all |
 *     level:   | strangers | lower | higher | first | last |
 *
 * A ranking is a ring of levels, one for each number of strangers that any of its records has, and
 * each level a list of those records, in the order in which they came to that number. A count
 * changes by one, so a record moves to the level beside its own: no operation walks over records,
 * and each takes the same time with one source as with 60,000. The only walk is along a hash chain,
 * and the key of the hash is secret. test/bench/admission.bench.mjs prints what an accept costs.
 *
 * Invariants. A record is there as long as somebody holds it: a source by its connections, a site by
 * its sources, a region by its sites. So there are never more than `sourcesMax` of each, and `hold`,
 * the only way to a new one, refuses where there would be: nothing else here can run out. Two
 * networks never share a record, for the whole key is compared. A record's strangers are the sum of
 * its children's. All of it is read and written under one lock, which is the caller's; only `count`
 * may be read without.
 */
import { assert } from '../../base/assert.ts'
import { HalfSipHash } from '../../base/hash.ts'
import type { SourceKey } from '../../base/source-network.ts'

const FREE_RECORDS = 0
const USED_RECORDS = 3
const FREE_LEVELS = 6
const USED_LEVELS = 7
const SOURCES_HELD = 8
const TOTAL = 9
const TOP_SITES = 10
const TOP_REGIONS = 11
const HEADER_WORDS = 16

/** Widths; also the pool that their records come from. */
const SOURCE = 0
const SITE = 1
const REGION = 2
const WIDTHS = 3

const RECORD_WORDS = 16
const KIND = 0
const HIGH = 1
const LOW = 2
const NEXT = 3
const HOLDERS = 4
const STRANGERS = 5
const PARENT = 6
const TOP = 7
/** Three words each: the level, and the neighbours in it. */
const AMONG_SIBLINGS = 8
const AMONG_ALL = 11
const PREVIOUS = 1
const FOLLOWING = 2

const LEVEL_WORDS = 5
const LEVEL_COUNT = 0
const LOWER = 1
const HIGHER = 2
const FIRST = 3
const LAST = 4
/** A source is in one ranking, a site in two, a region in one; a record makes one level at most. */
const LEVELS_A_SOURCE = 4

/** No record, no level. */
const NONE = 0
/** No source: as many are held as there is room for, or nobody is there. */
export const NO_SOURCE = 0
/** The newcomer's own source has most, and others are there. */
export const OWN_CROWD = -1

export interface SourceCountsLayout {
  readonly sourcesMax: number
  readonly workerCount: number
  /** What is kept by source and worker, for the caller: so many words. */
  readonly shareWords: number
}

function headCount({ sourcesMax }: SourceCountsLayout): number {
  return 2 ** Math.ceil(Math.log2(WIDTHS * sourcesMax))
}

export function sourceCountsWords(layout: SourceCountsLayout): number {
  const { sourcesMax, workerCount, shareWords } = layout
  return (
    HEADER_WORDS +
    headCount(layout) +
    sourcesMax * (WIDTHS * RECORD_WORDS + workerCount * shareWords) +
    levelsMax(layout) * LEVEL_WORDS
  )
}

/** A record that moves has made its new level before it leaves its own: one more. */
function levelsMax({ sourcesMax }: SourceCountsLayout): number {
  return LEVELS_A_SOURCE * sourcesMax + 1
}

export class SourceCounts {
  private readonly words: Int32Array
  private readonly layout: SourceCountsLayout
  private readonly hash: HalfSipHash
  private readonly keyWords = new Int32Array(3)
  private readonly headMask: number
  private readonly records: number
  private readonly levels: number
  private readonly shares: number

  /** `words` are this table's alone, zero at first; every user of it has the same `seed`. */
  constructor(words: Int32Array, layout: SourceCountsLayout, seed: readonly [number, number]) {
    this.words = words
    this.layout = layout
    this.hash = new HalfSipHash(seed[0], seed[1])
    const heads = headCount(layout)
    this.headMask = heads - 1
    // Numbers begin with 1: a record's words are at `records + number * RECORD_WORDS`.
    this.records = HEADER_WORDS + heads - RECORD_WORDS
    const levelsStart = HEADER_WORDS + heads + WIDTHS * layout.sourcesMax * RECORD_WORDS
    this.levels = levelsStart - LEVEL_WORDS
    this.shares = levelsStart + levelsMax(layout) * LEVEL_WORDS
  }

  /** One connection more from there. Returns the source's number, or NO_SOURCE. */
  hold(key: SourceKey): number {
    const { words } = this
    const { kind, high, low } = key
    let source = this.find(SOURCE, kind, high, low)
    if (source === NONE) {
      if (words[SOURCES_HELD] === this.layout.sourcesMax) return NO_SOURCE
      words[SOURCES_HELD]!++
      const isV6 = kind === 6
      const site = this.holdWide(SITE, kind, high, isV6 ? low >>> 16 : low)
      if (this.field(site, PARENT) === NONE) {
        const regionLow = isV6 ? 0 : kind === 4 ? low >>> 8 : low
        this.setField(site, PARENT, this.holdWide(REGION, kind, high, regionLow))
      }
      source = this.create(SOURCE, kind, high, low)
      this.setField(source, PARENT, site)
    }
    this.add(source, HOLDERS, 1)
    return source
  }

  /** The number of a source that is held; NO_SOURCE of one that is not. */
  findSource(key: SourceKey): number {
    return this.find(SOURCE, key.kind, key.high, key.low)
  }

  keyOf(source: number): SourceKey {
    const kind = this.field(source, KIND) & 0xff
    return { kind, high: this.field(source, HIGH), low: this.field(source, LOW) }
  }

  /** One more that must find the source when it comes back to it. */
  holdAgain(source: number): void {
    this.add(source, HOLDERS, 1)
  }

  release(source: number): void {
    if (this.add(source, HOLDERS, -1) > 0) return
    assert(this.field(source, STRANGERS) === 0, 'a source that nobody holds has no strangers')
    const site = this.field(source, PARENT)
    this.destroy(SOURCE, source)
    this.words[SOURCES_HELD]!--
    if (this.add(site, HOLDERS, -1) > 0) return
    const region = this.field(site, PARENT)
    this.destroy(SITE, site)
    if (this.add(region, HOLDERS, -1) === 0) this.destroy(REGION, region)
  }

  /** Counts one stranger more, or one less. */
  change(source: number, by: 1 | -1): void {
    const { records } = this
    const site = this.field(source, PARENT)
    const region = this.field(site, PARENT)
    this.move(source, AMONG_SIBLINGS, records + site * RECORD_WORDS + TOP, by)
    this.move(site, AMONG_SIBLINGS, records + region * RECORD_WORDS + TOP, by)
    this.move(site, AMONG_ALL, TOP_SITES, by)
    this.move(region, AMONG_ALL, TOP_REGIONS, by)
    assert(this.add(source, STRANGERS, by) >= 0, 'no source has less than no strangers')
    this.add(site, STRANGERS, by)
    this.add(region, STRANGERS, by)
    this.words[TOTAL]! += by
  }

  /** Strangers of a source, a site or a region. */
  count(record: number): number {
    return this.field(record, STRANGERS)
  }

  get total(): number {
    return this.words[TOTAL]!
  }

  get sourcesHeld(): number {
    return this.words[SOURCES_HELD]!
  }

  siteOf(source: number): number {
    return this.field(source, PARENT)
  }

  regionOf(source: number): number {
    return this.field(this.field(source, PARENT), PARENT)
  }

  /** Where the share of a worker in a source begins, in `words`. */
  shareOf(source: number, workerIndex: number): number {
    const { shares, layout } = this
    return shares + ((source - 1) * layout.workerCount + workerIndex) * layout.shareWords
  }

  /** True when a site has fewer strangers than another, or as many in a region that has fewer. */
  hasFewer(site: number, other: number): boolean {
    const difference = this.count(site) - this.count(other)
    if (difference !== 0) return difference < 0
    return this.count(this.field(site, PARENT)) < this.count(this.field(other, PARENT))
  }

  /** True when `source` has at least `by` more than `other`, or its site or region has. */
  isFarAhead(source: number, other: number, by: number): boolean {
    const site = this.siteOf(source)
    const otherSite = this.siteOf(other)
    if (site === otherSite) return this.count(source) - this.count(other) >= by
    if (this.count(site) - this.count(otherSite) >= by) return true
    return this.count(this.regionOf(source)) - this.count(this.regionOf(other)) >= by
  }

  /**
   * The source that has to make room for a newcomer of `source`: one that has most strangers, of a
   * site that has most of them, of equal ones the site in the region that has most.
   *
   * So a site gives way only where no other has more than it. One with a single stranger gives way
   * only where no other has two, and then it is one of the region that has most.
   *
   * The newcomer's own source where all strangers are from there; OWN_CROWD where it has as many as
   * any, and there are others.
   */
  rivalOf(source: number): number {
    const { words } = this
    if (this.total === 0) return NO_SOURCE
    const most = words[this.levelAt(words[TOP_SITES]!) + LEVEL_COUNT]!
    const site = this.siteOf(source)
    if (this.count(site) < most) return this.heaviest
    const rival = this.firstOf(this.field(site, TOP))
    if (this.count(source) < this.count(rival)) return rival
    return this.count(source) === this.total ? source : OWN_CROWD
  }

  /** The source that has to make room for one that has no strangers, or NO_SOURCE. */
  get heaviest(): number {
    const { words } = this
    if (this.total === 0) return NO_SOURCE
    const topSites = words[TOP_SITES]!
    const region = this.firstOf(words[TOP_REGIONS]!)
    let site = this.firstOf(this.field(region, TOP))
    if (this.count(site) < words[this.levelAt(topSites) + LEVEL_COUNT]!)
      site = this.firstOf(topSites)
    return this.firstOf(this.field(site, TOP))
  }

  /** Throws where a count, a ranking or a chain is not as it should be; for tests, and slow. */
  verify(): void {
    const { words, layout } = this
    const held = [0, 0, 0]
    let total = 0
    for (let head = 0; head <= this.headMask; head++) {
      let record = words[HEADER_WORDS + head]!
      for (; record !== NONE; record = this.field(record, NEXT)) {
        const width = Math.floor((record - 1) / layout.sourcesMax)
        held[width]!++
        assert(this.field(record, HOLDERS) > 0, 'a record is held')
        if (width === SOURCE) total += this.count(record)
        this.verifyRank(record, width === REGION ? AMONG_ALL : AMONG_SIBLINGS)
        if (width === SITE) this.verifyRank(record, AMONG_ALL)
      }
    }
    assert(held[SOURCE] === this.sourcesHeld, 'every source is found by its hash')
    assert(total === this.total, 'the counts of all sources make the total')
    assert(this.verifyRing(TOP_SITES) === total, 'the sites rank all strangers')
    assert(this.verifyRing(TOP_REGIONS) === total, 'the regions rank all strangers')
  }

  private holdWide(width: number, kind: number, high: number, low: number): number {
    const found = this.find(width, kind, high, low)
    const record = found === NONE ? this.create(width, kind, high, low) : found
    // A region is held once by each site, a site once by each source: on their creation.
    this.add(record, HOLDERS, 1)
    return record
  }

  private field(record: number, field: number): number {
    return this.words[this.records + record * RECORD_WORDS + field]!
  }

  private setField(record: number, field: number, value: number): void {
    this.words[this.records + record * RECORD_WORDS + field] = value
  }

  private add(record: number, field: number, by: number): number {
    const at = this.records + record * RECORD_WORDS + field
    this.words[at]! += by
    return this.words[at]!
  }

  private headOf(width: number, kind: number, high: number, low: number): number {
    const { keyWords } = this
    keyWords[0] = kind | (width << 8)
    keyWords[1] = high
    keyWords[2] = low
    return HEADER_WORDS + (this.hash.hashWords(keyWords, 0, 12) & this.headMask)
  }

  private find(width: number, kind: number, high: number, low: number): number {
    const tagged = kind | (width << 8)
    let record = this.words[this.headOf(width, kind, high, low)]!
    while (record !== NONE) {
      if (
        this.field(record, KIND) === tagged &&
        this.field(record, HIGH) === (high | 0) &&
        this.field(record, LOW) === (low | 0)
      ) {
        return record
      }
      record = this.field(record, NEXT)
    }
    return NONE
  }

  private create(width: number, kind: number, high: number, low: number): number {
    const { words, records, layout } = this
    let record = words[FREE_RECORDS + width]!
    if (record !== NONE) {
      words[FREE_RECORDS + width] = this.field(record, NEXT)
    } else {
      assert(words[USED_RECORDS + width]! < layout.sourcesMax, 'there is a record for each source')
      record = width * layout.sourcesMax + ++words[USED_RECORDS + width]!
    }
    const at = records + record * RECORD_WORDS
    words.fill(0, at, at + RECORD_WORDS)
    words[at + KIND] = kind | (width << 8)
    words[at + HIGH] = high
    words[at + LOW] = low
    const head = this.headOf(width, kind, high, low)
    words[at + NEXT] = words[head]!
    words[head] = record
    return record
  }

  private destroy(width: number, record: number): void {
    const { words, records } = this
    const kind = this.field(record, KIND) & 0xff
    let at = this.headOf(width, kind, this.field(record, HIGH), this.field(record, LOW))
    while (words[at] !== record) at = records + words[at]! * RECORD_WORDS + NEXT
    words[at] = this.field(record, NEXT)
    this.setField(record, NEXT, words[FREE_RECORDS + width]!)
    words[FREE_RECORDS + width] = record
  }

  private levelAt(level: number): number {
    return this.levels + level * LEVEL_WORDS
  }

  /** The record that came first to a level. */
  private firstOf(level: number): number {
    assert(level !== NONE, 'somebody is counted there')
    return this.words[this.levelAt(level) + FIRST]!
  }

  /**
   * Moves a record to the level beside its own, in the ranking whose highest level stands at `top`.
   * The ring goes on from the highest level to the lowest.
   */
  private move(record: number, rank: number, top: number, by: 1 | -1): void {
    const { words } = this
    const from = this.field(record, rank)
    const highest = words[top]!
    const count = this.field(record, STRANGERS) + by
    if (count > 0) {
      // Its new level stands right after `before`: after its own, or before it, or at the low end.
      const before = by === 1 && from !== NONE ? from : this.lowerOf(from, highest)
      let to = before === NONE ? NONE : by === 1 ? words[this.levelAt(before) + HIGHER]! : before
      if (to === NONE || words[this.levelAt(to) + LEVEL_COUNT] !== count) {
        to = this.createLevel(before, count)
        if (highest === NONE || (by === 1 && from === highest)) words[top] = to
      }
      if (from !== NONE) this.unlink(record, rank, from, top)
      this.append(record, rank, to)
    } else {
      this.unlink(record, rank, from, top)
    }
  }

  /** The level before `level` in the ring; before the lowest, and before none, is the highest. */
  private lowerOf(level: number, highest: number): number {
    return level === NONE ? highest : this.words[this.levelAt(level) + LOWER]!
  }

  private createLevel(before: number, count: number): number {
    const { words } = this
    let level = words[FREE_LEVELS]!
    if (level !== NONE) {
      words[FREE_LEVELS] = words[this.levelAt(level) + HIGHER]!
    } else {
      assert(words[USED_LEVELS]! < levelsMax(this.layout), 'there is a level for each record')
      level = ++words[USED_LEVELS]!
    }
    const at = this.levelAt(level)
    const lower = before === NONE ? level : before
    const higher = before === NONE ? level : words[this.levelAt(before) + HIGHER]!
    words[at + LEVEL_COUNT] = count
    words[at + FIRST] = NONE
    words[at + LAST] = NONE
    words[at + LOWER] = lower
    words[at + HIGHER] = higher
    words[this.levelAt(lower) + HIGHER] = level
    words[this.levelAt(higher) + LOWER] = level
    return level
  }

  private append(record: number, rank: number, level: number): void {
    const { words } = this
    const at = this.levelAt(level)
    const last = words[at + LAST]!
    this.setField(record, rank, level)
    this.setField(record, rank + PREVIOUS, last)
    this.setField(record, rank + FOLLOWING, NONE)
    if (last === NONE) words[at + FIRST] = record
    else this.setField(last, rank + FOLLOWING, record)
    words[at + LAST] = record
  }

  /** Takes a record out of its level, and the level out of its ranking if it was the last. */
  private unlink(record: number, rank: number, level: number, top: number): void {
    const { words } = this
    const at = this.levelAt(level)
    const previous = this.field(record, rank + PREVIOUS)
    const following = this.field(record, rank + FOLLOWING)
    if (previous === NONE) words[at + FIRST] = following
    else this.setField(previous, rank + FOLLOWING, following)
    if (following === NONE) words[at + LAST] = previous
    else this.setField(following, rank + PREVIOUS, previous)
    this.setField(record, rank, NONE)
    if (words[at + FIRST] !== NONE) return
    const lower = words[at + LOWER]!
    const higher = words[at + HIGHER]!
    if (words[top] === level) words[top] = lower === level ? NONE : lower
    words[this.levelAt(lower) + HIGHER] = higher
    words[this.levelAt(higher) + LOWER] = lower
    words[at + HIGHER] = words[FREE_LEVELS]!
    words[FREE_LEVELS] = level
  }

  private verifyRank(record: number, rank: number): void {
    const level = this.field(record, rank)
    const count = this.count(record)
    assert((level === NONE) === (count === 0), 'a record is ranked when it has strangers')
    if (level === NONE) return
    assert(
      this.words[this.levelAt(level) + LEVEL_COUNT] === count,
      'a record is ranked by its count',
    )
  }

  /** The strangers of all records in a ranking of all. */
  private verifyRing(top: number): number {
    const { words } = this
    const highest = words[top]!
    let strangers = 0
    let lastCount = Number.POSITIVE_INFINITY
    let level = highest
    while (level !== NONE) {
      const at = this.levelAt(level)
      const count = words[at + LEVEL_COUNT]!
      assert(count < lastCount, 'levels are in order')
      lastCount = count
      for (let record = words[at + FIRST]!; record !== NONE; ) {
        strangers += count
        record = this.field(record, AMONG_ALL + FOLLOWING)
      }
      level = words[at + LOWER]!
      if (level === highest) break
    }
    return strangers
  }
}
