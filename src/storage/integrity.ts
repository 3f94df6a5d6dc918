/**
 * The integrity check: walks the index, every chain, every segment and every list, and reports what
 * does not agree. For tests and a debug command; it allocates, and nobody may write meanwhile.
 *
 * Checked: each slot refers to a live record whose key hashes to its tag, path and bucket; no record has
 * two slots; each live record has one; no segment is due later than its rank allows; the live bytes of each
 * segment are those of its records; each segment is in the one list that its state says, and none from which
 * replies are sent is free; overflow buckets are in a chain or free, none is lost; counters and the pool's
 * numbers agree with what was counted.
 */
import { HalfSipHash } from '../base/hash.ts'
import { hasPathOf, LINK_WORD, SLOTS_PER_BUCKET, tagAt, tagOf } from './bucket.ts'
import {
  BUCKET_COUNT_WORD,
  CRAWLED_SEGMENT,
  DEMANDED_WORD,
  EXCESS_WORD,
  FLOORS_WORD,
  FREE_COUNT_WORD,
  FREE_FIRST_WORD,
  FREE_SEGMENT,
  GROUPS_MAX,
  LIMIT_SEGMENTS_WORD,
  LIST_NEWEST,
  LIST_OLDEST,
  LIST_WORDS,
  LISTS_MAX,
  LISTS_WORD,
  OPEN_ID,
  OPEN_LINKED,
  OPEN_OFFSET,
  OPEN_SEGMENT,
  OPEN_WORDS,
  OPENS_MAX,
  OVERFLOW_CUT_WORD,
  OVERFLOW_FREE_COUNT_WORD,
  OVERFLOW_FREE_WORD,
  OVERFLOW_PAGE_WORD,
  OVERFLOW_PAGES_WORD,
  OVERFLOW_SEGMENT,
  OWNED_COUNT_WORD,
  PINNED_COUNT_WORD,
  PINNED_SEGMENT,
  PRIMARY_PAGES_WORD,
  PRIMARY_SEGMENT,
  SEALED_COUNT_WORD,
  SEALED_SEGMENT,
  SEGMENT_DUE,
  SEGMENT_EXPIRES_BY,
  SEGMENT_EXPIRES_FROM,
  SEGMENT_FIRST,
  SEGMENT_GROUP,
  SEGMENT_HEAD_ITEM,
  SEGMENT_LIVE,
  SEGMENT_NEWER,
  SEGMENT_OLDER,
  SEGMENT_PLACE,
  SEGMENT_SEQUENCE,
  SEGMENT_STATE,
  SEGMENT_USED,
  SMALL_COUNT_WORD,
  SMALL_QUEUE,
  STRIPE_COUNT,
  STRIPE_WORDS,
  VICTIM_SEGMENT,
  WORKER_OPENS_WORD,
  WORKER_VICTIM,
  WORKER_VICTIM_OFFSET,
  WORKER_WORDS,
} from './control-block.ts'
import { readStoreCounters } from './counters.ts'
import { BUCKET_SHIFT, type StoreMemory } from './geometry.ts'
import { queueOf, rankOf } from './group.ts'
import { CHAIN_BUCKETS_MAX, HashIndex } from './hash-index.ts'
import { Heap } from './heap.ts'
import {
  expiryAt,
  headerWordsOf,
  isDead,
  isWide,
  keyLengthOf,
  LAYOUT_ALL,
  layoutOf,
  recordBytesAt,
  spans,
  TRAITS_WORD,
} from './item.ts'
import { MemoryView } from './memory-view.ts'
import { EXPIRES_NEVER, SegmentPool } from './pool.ts'

/** Reports stop here: one fault often shows in many places. */
export const REPORTS_MAX = 100

/** Returns one sentence for each violation; empty if all is well. */
export function checkIntegrity(memory: StoreMemory): string[] {
  const check = new IntegrityCheck(memory)
  check.run()
  return check.reports.slice(0, REPORTS_MAX)
}

class IntegrityCheck {
  readonly reports: string[] = []
  readonly #memory: StoreMemory
  readonly #view: MemoryView
  readonly #control: Int32Array
  readonly #pool: SegmentPool
  readonly #owned: ReadonlySet<number>
  readonly #index: HashIndex
  readonly #hash: HalfSipHash
  /** Location to the record's bytes, of every slot. */
  readonly #slots = new Map<number, number>()
  /** Live bytes by segment, from the index. */
  readonly #live: Float64Array
  readonly #openOffset = new Map<number, number>()
  readonly #openLinked = new Map<number, number>()
  readonly #victimOffset = new Map<number, number>()
  #bytes = 0
  #chained = 0

  constructor(memory: StoreMemory) {
    const { geometry } = memory
    this.#memory = memory
    this.#view = new MemoryView(memory)
    this.#control = this.#view.control
    this.#pool = new SegmentPool(this.#view, new Heap(memory))
    this.#owned = new Set(
      Array.from({ length: this.#pool.holdings.ownedCount }, (_, place) =>
        this.#pool.holdings.ownedAt(place),
      ),
    )
    this.#index = new HashIndex(this.#view, this.#pool)
    this.#hash = new HalfSipHash(geometry.seed0, geometry.seed1)
    this.#live = new Float64Array(geometry.segmentCount)
    for (let worker = 0; worker < geometry.workerCount; worker++) {
      const at = geometry.workersWord + worker * WORKER_WORDS
      for (let group = 0; group < OPENS_MAX; group++) {
        const entry = at + WORKER_OPENS_WORD + group * OPEN_WORDS
        const open = this.#control[entry + OPEN_ID]!
        if (open === 0) continue
        this.#openOffset.set(open - 1, this.#control[entry + OPEN_OFFSET]!)
        this.#openLinked.set(open - 1, this.#control[entry + OPEN_LINKED]!)
        this.#expect(
          `group of open segment ${open - 1}`,
          this.#control[this.#record(open - 1) + SEGMENT_GROUP]!,
          group,
        )
      }
      const victim = this.#control[at + WORKER_VICTIM]!
      if (victim !== 0)
        this.#victimOffset.set(victim - 1, this.#control[at + WORKER_VICTIM_OFFSET]!)
    }
  }

  run(): void {
    this.#checkLocks()
    this.#checkBuckets()
    this.#checkSegments()
    this.#checkPins()
    this.#checkLists()
    this.#checkCounters()
  }

  #report(text: string): void {
    this.reports.push(text)
  }

  #expect(what: string, found: number, expected: number): void {
    if (found !== expected) this.#report(`${what}: ${found}, should be ${expected}`)
  }

  #record(segment: number): number {
    return this.#view.segmentRecord(segment)
  }

  #checkLocks(): void {
    for (let stripe = 0; stripe < STRIPE_COUNT; stripe++) {
      const at = this.#memory.geometry.stripesWord + stripe * STRIPE_WORDS
      if (this.#control[at] !== 0) this.#report(`stripe ${stripe} is locked`)
    }
  }

  #checkBuckets(): void {
    const bucketCount = this.#control[BUCKET_COUNT_WORD]!
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      let base = this.#index.primary(bucket)
      let words = this.#index.bucketWords
      let ended = false
      let length = 0
      for (;;) {
        length++
        let used = 0
        for (let slot = base; slot < base + SLOTS_PER_BUCKET; slot++) {
          const location = words[slot]!
          if (location === 0) {
            ended = true
            continue
          }
          if (ended) this.#report(`bucket ${bucket} has a used slot after an empty one`)
          used++
          this.#checkSlot(bucket, tagAt(words, slot), location)
        }
        const link = words[base + LINK_WORD]!
        if (link === 0) break
        if (length === CHAIN_BUCKETS_MAX) this.#report(`bucket ${bucket} has too long a chain`)
        if (used < SLOTS_PER_BUCKET) this.#report(`bucket ${bucket} goes on after an empty slot`)
        base = this.#index.overflow(link)
        words = this.#index.bucketWords
        this.#chained++
        if (words[base] === 0) {
          this.#report(`bucket ${bucket} has an empty overflow bucket`)
        }
      }
    }
  }

  #checkSlot(bucket: number, tag: number, location: number): void {
    const view = this.#view
    const segment = view.locationSegment(location)
    const where = `slot in bucket ${bucket} for segment ${segment}+${view.locationOffset(location)}`
    if (segment >= this.#memory.geometry.segmentCount) {
      this.#report(`${where}: no such segment`)
      return
    }
    if (this.#slots.has(location)) this.#report(`${where}: the record has two slots`)
    const state = this.#control[this.#record(segment) + SEGMENT_STATE]!
    if (
      state !== OPEN_SEGMENT &&
      state !== SEALED_SEGMENT &&
      state !== VICTIM_SEGMENT &&
      state !== CRAWLED_SEGMENT
    ) {
      this.#report(`${where}: the segment is in state ${state}`)
    }
    const words = view.locationArena(location)
    const base = view.locationBase(location)
    const traits = words[base + TRAITS_WORD]!
    if (isDead(traits)) this.#report(`${where}: the record is dead`)
    const keyLength = keyLengthOf(traits)
    const low = this.#hash.hashWords(words, base + headerWordsOf(traits), keyLength)
    if (this.#index.bucketOf(low) !== bucket) this.#report(`${where}: the key belongs elsewhere`)
    if (tagOf(this.#hash.more) !== tagOf(tag)) {
      this.#report(`${where}: the tag is not that of the key`)
    }
    if (!hasPathOf(tag, low, this.#index.levelOf(bucket))) {
      this.#report(`${where}: the path is not that of the key`)
    }
    if (isWide(traits) && layoutOf(traits) !== LAYOUT_ALL) {
      this.#report(`${where}: a wide record without all words`)
    }
    const recordBytes = recordBytesAt(words, base, view.unitShift)
    this.#slots.set(location, recordBytes)
    this.#bytes += recordBytes
    this.#addParts(where, location, recordBytes, spans(traits))
  }

  #addParts(where: string, location: number, recordBytes: number, spanning: boolean): void {
    const view = this.#view
    let part = view.locationSegment(location)
    let room = view.segmentBytes - view.locationOffset(location)
    let left = recordBytes
    if (spanning !== left > room) this.#report(`${where}: the span mark is wrong`)
    while (left > room) {
      this.#live[part]! += room
      left -= room
      room = view.segmentBytes
      part = view.continuation(part)
      if (part < 0 || part >= this.#live.length) {
        this.#report(`${where}: the chain of segments is broken`)
        return
      }
      if (this.#control[this.#record(part) + SEGMENT_HEAD_ITEM] !== location) {
        this.#report(`${where}: segment ${part} does not know what continues in it`)
      }
    }
    this.#live[part]! += left
  }

  #checkSegments(): void {
    const control = this.#control
    for (let segment = 0; segment < this.#memory.geometry.segmentCount; segment++) {
      const record = this.#record(segment)
      const state = control[record + SEGMENT_STATE]!
      if (!this.#owned.has(segment)) {
        this.#expect(`state of segment ${segment}, which is not ours`, state, FREE_SEGMENT)
        continue
      }
      const arrivals = control[this.#memory.geometry.arrivalsWord + segment]!
      if (
        state === FREE_SEGMENT ||
        state === PINNED_SEGMENT ||
        state === PRIMARY_SEGMENT ||
        state === OVERFLOW_SEGMENT
      ) {
        this.#expect(`live bytes of segment ${segment} in state ${state}`, this.#live[segment]!, 0)
        this.#expect(`arrivals in segment ${segment} in state ${state}`, arrivals, 0)
        continue
      }
      const linked = this.#openLinked.get(segment)
      if ((state === OPEN_SEGMENT) !== (linked !== undefined)) {
        this.#report(`segment ${segment} in state ${state}: is it open or not?`)
      }
      if ((state === VICTIM_SEGMENT) !== this.#victimOffset.has(segment)) {
        this.#report(`segment ${segment} in state ${state}: is it a victim or not?`)
      }
      const live = control[record + SEGMENT_LIVE]! + (linked ?? 0)
      if (arrivals === 0) {
        this.#expect(`live bytes of segment ${segment}`, live, this.#live[segment]!)
      } else if (arrivals < 0 || live <= this.#live[segment]!) {
        // What arrives is dead to whoever walks, but counts as live.
        this.#report(`segment ${segment} has ${arrivals} arrivals, and ${live} live bytes`)
      }
      this.#checkDue(segment)
      if (state === SEALED_SEGMENT && live === 0)
        this.#report(`segment ${segment} is empty, not free`)
      this.#checkRecords(segment)
    }
  }

  #checkPins(): void {
    let count = 0
    for (const segment of this.#owned) {
      const pins = this.#control[this.#memory.geometry.pinsWord + segment]!
      const state = this.#control[this.#record(segment) + SEGMENT_STATE]!
      if (state === FREE_SEGMENT) this.#expect(`pins of free segment ${segment}`, pins, 0)
      if (pins < 0 || (pins === 0 && state === PINNED_SEGMENT)) {
        this.#report(`segment ${segment} in state ${state} has ${pins} pins`)
      }
      count += pins
    }
    this.#expect('number of pins', this.#control[PINNED_COUNT_WORD]!, count)
  }

  /** The floor of a queue only rises: so nothing is due later than what is put into its group now. */
  #checkDue(segment: number): void {
    const control = this.#control
    const record = this.#record(segment)
    const group = control[record + SEGMENT_GROUP]!
    if (!this.#memory.geometry.ranksBySize || group >= GROUPS_MAX) return
    const ahead = (control[record + SEGMENT_DUE]! - control[FLOORS_WORD + queueOf(group)]!) | 0
    if (ahead > 2 ** rankOf(group)) {
      this.#report(`segment ${segment} of rank ${rankOf(group)} is due ${ahead} above the floor`)
    }
  }

  #checkRecords(segment: number): void {
    const view = this.#view
    const control = this.#control
    const record = this.#record(segment)
    const words = view.segmentArena(segment)
    const end = this.#openOffset.get(segment) ?? control[record + SEGMENT_USED]!
    const metUpTo = this.#victimOffset.get(segment) ?? 0
    const expiresFrom = control[record + SEGMENT_EXPIRES_FROM]! >>> 0
    const expiresBy = control[record + SEGMENT_EXPIRES_BY]! >>> 0
    let offset = control[record + SEGMENT_FIRST]!
    while (offset < end) {
      const base = view.segmentBase(segment) + (offset >>> 2)
      const traits = words[base + TRAITS_WORD]!
      const location = view.locationOf(segment, offset)
      const where = `record ${segment}+${offset}`
      if (isDead(traits) === this.#slots.has(location)) {
        this.#report(`${where}: dead and indexed, or neither`)
      }
      if (!isDead(traits)) {
        if (offset < metUpTo) this.#report(`${where}: alive, but the victim's worker is past it`)
        const expiry = expiryAt(words, base)
        const crawled = control[record + SEGMENT_STATE] === CRAWLED_SEGMENT
        if (expiry !== 0 && expiry < expiresFrom && !crawled) {
          this.#report(`${where}: expires at ${expiry}, its segment from ${expiresFrom}`)
        }
        if ((expiry === 0 ? EXPIRES_NEVER >>> 0 : expiry) > expiresBy) {
          this.#report(`${where}: expires at ${expiry}, its segment by ${expiresBy}`)
        }
      }
      offset += recordBytesAt(words, base, view.unitShift)
    }
  }

  #checkLists(): void {
    const control = this.#control
    const { segmentCount, segmentShift } = this.#memory.geometry
    const counts = new Array<number>(PINNED_SEGMENT + 1).fill(0)
    this.#expect('places of segments', this.#owned.size, control[OWNED_COUNT_WORD]!)
    for (let place = 0; place < this.#pool.holdings.ownedCount; place++) {
      const at = this.#record(this.#pool.holdings.ownedAt(place)) + SEGMENT_PLACE
      this.#expect(`place of segment ${this.#pool.holdings.ownedAt(place)}`, control[at]!, place)
    }
    for (const segment of this.#owned) {
      counts[control[this.#record(segment) + SEGMENT_STATE]!]! += 1
    }
    let free = 0
    for (let id = control[FREE_FIRST_WORD]!; id !== 0 && free <= segmentCount; free++) {
      const record = this.#record(id - 1)
      this.#expect(
        `state of free segment ${id - 1}`,
        control[record + SEGMENT_STATE]!,
        FREE_SEGMENT,
      )
      id = control[record + SEGMENT_NEWER]!
    }
    this.#expect('length of the free list', free, counts[FREE_SEGMENT]!)
    const used = this.#owned.size - free
    const excess = control[EXCESS_WORD]!
    const limit = control[LIMIT_SEGMENTS_WORD]!
    this.#expect('number of free segments', control[FREE_COUNT_WORD]!, limit + excess - used)
    const demanded = control[DEMANDED_WORD]!
    if (excess < 0 || limit < 0 || demanded < 0 || control[FREE_COUNT_WORD]! < 0) {
      this.#report(`${excess} segments in excess of a limit of ${limit}, ${demanded} demanded`)
    }
    if (this.#owned.size > limit + excess || limit + excess > segmentCount) {
      this.#report(`${this.#owned.size} segments of ${limit} and ${excess} in excess`)
    }
    let sealed = 0
    let small = 0
    for (let group = 0; group < LISTS_MAX; group++) {
      const length = this.#checkSealedList(group)
      sealed += length
      if (queueOf(group) === SMALL_QUEUE) small += length
    }
    const sealedStates = counts[SEALED_SEGMENT]! + counts[CRAWLED_SEGMENT]!
    this.#expect('length of the sealed lists', sealed, sealedStates)
    this.#expect('number of sealed segments', control[SEALED_COUNT_WORD]!, sealed)
    this.#expect('number of sealed segments of the small queue', control[SMALL_COUNT_WORD]!, small)
    const homePages = this.#memory.home === undefined ? 0 : 1
    const primaryPages = counts[PRIMARY_SEGMENT]! + homePages
    this.#expect('primary pages', control[PRIMARY_PAGES_WORD]!, primaryPages)
    this.#expect('overflow pages', control[OVERFLOW_PAGES_WORD]!, counts[OVERFLOW_SEGMENT]!)
    this.#checkOverflow(1 << (segmentShift - BUCKET_SHIFT))
  }

  /** Returns how many segments are in the list. */
  #checkSealedList(group: number): number {
    const control = this.#control
    const list = LISTS_WORD + group * LIST_WORDS
    let length = 0
    let older = 0
    let sequence = 0
    for (let id = control[list + LIST_OLDEST]!; id !== 0; length++) {
      if (length > this.#memory.geometry.segmentCount) {
        this.#report(`the sealed list of group ${group} does not end`)
        return length
      }
      const record = this.#record(id - 1)
      const state = control[record + SEGMENT_STATE]!
      if (state !== SEALED_SEGMENT && state !== CRAWLED_SEGMENT) {
        this.#report(`segment ${id - 1} in the sealed list is in state ${state}`)
      }
      this.#expect(`group of sealed segment ${id - 1}`, control[record + SEGMENT_GROUP]!, group)
      this.#expect(`older neighbour of segment ${id - 1}`, control[record + SEGMENT_OLDER]!, older)
      const next = control[record + SEGMENT_SEQUENCE]!
      if (length > 0 && ((next - sequence) | 0) <= 0) {
        this.#report(`segment ${id - 1} was sealed before the one that is older`)
      }
      sequence = next
      older = id
      id = control[record + SEGMENT_NEWER]!
    }
    this.#expect(`end of the sealed list of group ${group}`, control[list + LIST_NEWEST]!, older)
    return length
  }

  #checkOverflow(bucketsPerPage: number): void {
    const control = this.#control
    const total = control[OVERFLOW_PAGES_WORD]! * bucketsPerPage
    let free = 0
    for (let link = control[OVERFLOW_FREE_WORD]!; link !== 0 && free <= total; free++) {
      const base = this.#index.overflow(link)
      link = this.#index.bucketWords[base + LINK_WORD]!
    }
    this.#expect('number of free overflow buckets', control[OVERFLOW_FREE_COUNT_WORD]!, free)
    const uncut =
      control[OVERFLOW_PAGE_WORD] === 0 ? 0 : bucketsPerPage - control[OVERFLOW_CUT_WORD]!
    this.#expect('overflow buckets', this.#chained + free + uncut, total)
  }

  #checkCounters(): void {
    const counters = readStoreCounters(this.#memory)
    this.#expect('items counted', counters.items, this.#slots.size)
    this.#expect('bytes counted', counters.bytes, this.#bytes)
  }
}
