/**
 * The item store as one worker sees it. Hot path: numbers in, numbers out, nothing allocated;
 * results that are more than one number are left in the registers (public fields) of the Store.
 *
 * Invariant: an item is found, changed and linked only under the stripe lock of its key. lookup()
 * that returns HIT keeps that lock until release(), so what is between them must be short, and no
 * other operation of this Store may be called there (it is asserted).
 *
 * Writing: reserve room in this worker's open segment (which may evict), lock the stripe, decide, and
 * overwrite the old record if it has the same size, else fill and link the new one. Large values are
 * copied to the reserved room before the lock is taken. What verbs and statuses mean on the wire is
 * left to the command layer. Layouts, locks and the life of a segment are in README.md.
 */
import { assert } from '../base/assert.ts'
import { ByteBlock } from '../base/bytes.ts'
import { Decimal } from '../base/decimal.ts'
import { HalfSipHash } from '../base/hash.ts'
import { KEY_BYTES_MAX } from '../base/key-bytes-max.ts'
import { acquire, release } from '../base/lock.ts'
import { frequencyAt, LINK_WORD, raiseFrequencyAt, SLOTS_PER_BUCKET, tagOf } from './bucket.ts'
import {
  BYTES,
  counterLanes,
  GHOST_HITS,
  ITEMS,
  memoryLimitOf,
  NO_MEMORY_WRITES,
  TOTAL_ITEMS,
} from './counters.ts'
import type { EvictionWitness } from './eviction-witness.ts'
import {
  BUCKET_COUNT_WORD,
  CAS_HALF_WORD,
  CAS_LOW_WORD,
  EPOCH_WORD,
  FLUSH_AT_WORD,
  GROUPS_MAX,
  ITEM_COUNT_WORD,
  ITEM_OVERHEAD_BYTES,
  LIMIT_CHANGES_WORD,
  MAIN_QUEUE,
  MEMORY_BYTES_MIN,
  memorySharesOf,
  POOL_LOCK_WORD,
  SEGMENT_EPOCH,
  SEGMENT_GROUP,
  SEGMENT_SEQUENCE,
  STRIPE_COUNT,
  STRIPE_WORDS,
  type StoreMemory,
} from './geometry.ts'
import { GhostTable } from './ghost.ts'
import { Groups, queueOf } from './group.ts'
import { HashIndex } from './hash-index.ts'
import {
  casHighAt,
  clientFlagsAt,
  expiryAt,
  fillHeader,
  HEADER_BYTES_MAX,
  headerBytesOf,
  headerWordsOf,
  ITEM_CAS_LOW_WORD,
  keyLengthOf,
  LAYOUT_ALL,
  LAYOUT_EXPIRY,
  lastAccessAt,
  layoutFor,
  layoutOf,
  NARROW_CAS_HIGH_MAX,
  recordBytesAt,
  recordBytesOf,
  STATE_FETCHED,
  STATE_MASK,
  STATE_SPANS,
  STATE_STALE,
  STATE_WIN_SENT,
  setCasAt,
  setClientFlagsAt,
  setExpiryAt,
  setLastAccessAt,
  setValueLengthAt,
  stateOf,
  TRAITS_WORD,
  valueLengthAt,
} from './item.ts'
import { LargeExtension } from './large-extension.ts'
import { LargeValue } from './large-value.ts'
import { Log } from './log.ts'
import { type CopyCount, MemoryView } from './memory-view.ts'
import { SegmentPool } from './pool.ts'
import { Reclaimer } from './reclaimer.ts'
import { retire } from './retire.ts'
import {
  WRITE_ADD,
  WRITE_APPEND,
  WRITE_PREPEND,
  WRITE_REPLACE,
  WRITE_SET,
  type WriteOrder,
} from './write-order.ts'

export {
  WRITE_ADD,
  WRITE_APPEND,
  WRITE_PREPEND,
  WRITE_REPLACE,
  WRITE_SET,
  WriteOrder,
} from './write-order.ts'

/** Results. */
export const HIT = 1
export const MISS = 2
export const STORED = 3
export const EXISTS = 4
export const NOT_FOUND = 5
export const NOT_STORED = 6
export const TOO_LARGE = 7
export const NO_MEMORY = 8
export const REMOVED = 9
export const NON_NUMERIC = 10
/** The item is not, or not any more, what a large extension was begun for. */
export const CHANGED = 12
/** Between the parts of a write only. */
const STORED_STALE = 11

/** Why lookup() missed. */
export const MISS_NONE = 0
export const MISS_EXPIRED = 1
export const MISS_FLUSHED = 2

/**
 * Halves of the lower word (see nextCas) after which new records have room for a CAS of more than 40
 * bits: two before it is needed, so that no id drawn in the meantime lacks it.
 */
const WIDE_CAS_HALVES: number = 2 * (NARROW_CAS_HIGH_MAX + 1) - 2
/**
 * The longest value that is read as a number, with the white space and zeros around it. Differs from
 * memcached: there it is any value that is not chunked.
 */
const NUMBER_BYTES_MAX = 2048
/** Records up to this size are filled under the stripe lock, larger ones before it is taken. */
const COPIED_LOCKED_BYTES_MAX = 4096
/** New items between two looks at whether the index must grow; each look adds at most a bucket. */
const GROWTH_LOT = 4
/** Times that a write starts over because others took the room or changed the item. */
const ATTEMPTS_MAX = 1000
/** What a write adds to its own size when it works for free segments, in bytes of a victim. */
const STEP_BYTES_MIN = 512
const STEP_FACTOR = 4
/** A larger record than this works for no more: it makes the rest of its room when it comes to it. */
const STEP_RECORD_BYTES_MAX = 16 * 1024
/** With -M a write works for what it took and so much more, or twice that if segments run short. */
const COMPACT_RECORD_BYTES = 64
const COMPACT_DEFICIT_MAX = 2
/** What maintain() takes an item for, in bytes of a victim; and while there are segments to withdraw. */
const RECORD_BYTES = 64
const WITHDRAWN_BYTES = 512
/** Segments that the lowest limit has beside the reserve and twice what the index has already. */
const LIMIT_SEGMENTS_MIN = 8
const LIMIT_SEGMENTS_PER_WORKER = 4

/** Items over this part of the memory would leave the small queue before anyone could read them. */
const SMALL_RECORD_SHARE = 64

/**
 * From this length on a value is worth segments of its own: on average half of the last one stays
 * unused.
 */
const LARGE_SEGMENTS_MIN = 8
const LARGE_BYTES_MIN: number = 1024 * 1024
/** What appending makes longer than this is not copied while the stripe is held, but in pieces. */
const EXTENDED_SEGMENTS_MIN = 4

/** Views of larger arrays are not kept: they would keep the array of a large value alive. */
const KEPT_BLOCK_BYTES_MAX: number = 4 * 1024 * 1024

/** Gets each item of a scan; reads the registers and `scannedKey`, and calls nothing of the store. */
export interface ItemVisitor {
  visitItem(store: Store): void
}

export class Store {
  /** Registers: the item that was found, or the CAS of the item that was written. */
  valueBytes = 0
  flags = 0
  casHigh = 0
  casLow = 0
  expiry = 0
  lastAccess = 0
  state = 0
  /** Bytes of the item's record, header and padding included. */
  itemBytes = 0
  /** Result of arithmetic(). */
  numberHigh = 0
  numberLow = 0
  missReason: number = MISS_NONE
  /** Of a scan: the key, its first keyBytes bytes. */
  readonly scannedKey: Uint8Array = new Uint8Array(256)
  keyBytes = 0

  /** Values from this length on may be stored with beginLarge(). */
  readonly largeBytesMin: number
  /** Items that appending makes as long as this are extended with beginExtension(). */
  readonly extendedBytesMin: number

  private readonly view: MemoryView
  private readonly control: Int32Array
  private readonly pool: SegmentPool
  private readonly index: HashIndex
  private readonly log: Log
  private readonly groups: Groups
  private readonly ghost: GhostTable
  private readonly reclaimer: Reclaimer
  private readonly counters: Float64Array
  private readonly hash: HalfSipHash
  private readonly decimal: Decimal = new Decimal()
  private readonly digits: ByteBlock = new ByteBlock(new Uint8Array(NUMBER_BYTES_MAX))
  private readonly scannedKeyBlock: ByteBlock
  /**
   * False for a store of one worker: nobody else is there to lock out or draws a CAS, and the two
   * atomic operations of a lock were a twentieth of a pipelined get in a CPU profile of the worker.
   */
  private readonly isShared: boolean
  private readonly stripesWord: number
  private readonly unitShift: number
  private readonly itemBytesMax: number
  private readonly memory: StoreMemory
  private readonly evicts: boolean
  private readonly reserveSegments: number
  /** These follow from the limit of the memory, as it was when it had been changed so often. */
  private limitChanges = -1
  private recordBytesMax = 0
  private smallRecordBytesMax = 0
  private freeSegmentsGoal = 0
  /** Optional words that every record has: with -M a touch must not need room that is not there. */
  private readonly layoutMin: number
  /** Bytes that lookupToChange() has written; release() does the work for them, as a write does. */
  private owedBytes = 0
  private owedSeconds = 0
  private newItems = 0
  private publishedItems = 0
  /** The stripe lock that is held, 0 for none. */
  private heldStripe = 0
  private keyLow = 0
  private keyTag = 0
  private keyStripe = 0
  /** The item that was found: its record and its slot. */
  private foundWords: Int32Array
  private foundBase = 0
  private foundLocation = 0
  private foundSlotWords: Int32Array
  private foundSlot = 0
  /** The blocks made last for arrays of callers: they are few, and mostly the same. */
  private keyBlock: ByteBlock
  private sourceBlock: ByteBlock
  private targetBlock: ByteBlock

  constructor(memory: StoreMemory, workerIndex: number) {
    const { geometry } = memory
    assert(workerIndex >= 0 && workerIndex < geometry.workerCount, `no worker ${workerIndex}`)
    this.view = new MemoryView(memory)
    this.control = this.view.control
    this.pool = new SegmentPool(this.view)
    this.index = new HashIndex(this.view, this.pool)
    this.log = new Log(this.view, this.pool, workerIndex)
    this.groups = new Groups(memorySharesOf(geometry, geometry.memoryBytes))
    this.ghost = new GhostTable(geometry, this.control)
    this.reclaimer = new Reclaimer(
      memory,
      this.view,
      this.pool,
      this.index,
      this.log,
      this.groups,
      this.ghost,
      workerIndex,
    )
    this.counters = counterLanes(memory, workerIndex)
    this.publishedItems = this.counters[ITEMS]!
    this.hash = new HalfSipHash(geometry.seed0, geometry.seed1)
    this.stripesWord = geometry.stripesWord
    this.isShared = geometry.workerCount > 1
    this.unitShift = geometry.unitShift
    this.itemBytesMax = geometry.itemBytesMax
    this.memory = memory
    this.evicts = geometry.evicts
    this.reserveSegments = geometry.reserveSegments
    this.adoptLimit()
    this.largeBytesMin = Math.max(LARGE_BYTES_MIN, LARGE_SEGMENTS_MIN * geometry.segmentBytes)
    this.extendedBytesMin = Math.max(LARGE_BYTES_MIN, EXTENDED_SEGMENTS_MIN * geometry.segmentBytes)
    this.layoutMin = geometry.evicts ? 0 : LAYOUT_EXPIRY
    this.foundWords = this.view.words[0]!
    this.foundSlotWords = this.view.words[0]!
    this.scannedKeyBlock = new ByteBlock(this.scannedKey)
    this.keyBlock = this.digits
    this.sourceBlock = this.digits
    this.targetBlock = this.digits
  }

  /** Tells `witness` of every item that this worker evicts. */
  witnessEvictions(witness: EvictionWitness): void {
    this.reclaimer.witness = witness
  }

  /**
   * Finds an item. HIT: the registers are set and the stripe is locked until release(). MISS: nothing
   * is locked, missReason says why. Does not count as a read of the item.
   */
  lookup(key: Uint8Array, keyOffset: number, keyLength: number, nowSeconds: number): number {
    this.enter(nowSeconds)
    this.hashKey(key, keyOffset, keyLength)
    this.lockStripe()
    if (!this.seek(keyLength, nowSeconds)) {
      this.unlockStripe()
      return MISS
    }
    this.loadRegisters(nowSeconds)
    return HIT
  }

  /**
   * Finds an item that is to get `expiry`, a CAS whose upper word is `casHigh`, or the next CAS: as
   * lookup(), but its record then has the words for them, for which it is written anew if need be.
   * NO_MEMORY: there is no room for that, and nothing is locked.
   */
  lookupToChange(
    key: Uint8Array,
    keyOffset: number,
    keyLength: number,
    expiry: number,
    casHigh: number,
    nowSeconds: number,
  ): number {
    this.enter(nowSeconds)
    this.hashKey(key, keyOffset, keyLength)
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const layout = this.layoutFor(expiry, 0, 0, casHigh)
      this.lockStripe()
      if (!this.seek(keyLength, nowSeconds)) {
        this.unlockStripe()
        return MISS
      }
      const foundLayout = layoutOf(this.foundWords[this.foundBase + TRAITS_WORD]!)
      if ((layout & ~foundLayout) === 0 || this.widenFound(layout | foundLayout, nowSeconds)) {
        this.loadRegisters(nowSeconds)
        return HIT
      }
      this.unlockStripe()
      const missing = this.log.segmentsMissing + this.reserveSegments
      if (!this.reclaimer.makeFree(missing, nowSeconds)) break
    }
    this.counters[NO_MEMORY_WRITES] = this.counters[NO_MEMORY_WRITES]! + 1
    return NO_MEMORY
  }

  /** Where the item that is held lies; with its length and `heldSequence` it tells whether it is still the same. */
  get heldLocation(): number {
    return this.foundLocation
  }

  /** When the first segment of the item that is held was sealed: a number that no later one has. */
  get heldSequence(): number {
    const segment = this.view.locationSegment(this.foundLocation)
    return this.control[this.view.segmentRecord(segment) + SEGMENT_SEQUENCE]!
  }

  /** What this worker copies, for whatever purpose. */
  get copies(): CopyCount {
    return this.view
  }

  /** Copies the whole value. Between HIT and release(), as are all down to release(). */
  copyValue(target: Uint8Array, targetOffset: number): void {
    this.copyValueRange(0, this.valueBytes, target, targetOffset)
  }

  copyValueRange(
    valueOffset: number,
    length: number,
    target: Uint8Array,
    targetOffset: number,
  ): void {
    let block = this.targetBlock
    if (block.bytes !== target) {
      block = new ByteBlock(target)
      if (target.length <= KEPT_BLOCK_BYTES_MAX) this.targetBlock = block
    }
    const view = this.view
    const location = this.foundLocation
    view.copyOut(
      view.locationSegment(location),
      this.foundValuePosition() + valueOffset,
      block,
      targetOffset,
      length,
    )
  }

  /** Counts a read: the item is fetched, was accessed now, and is more likely to stay. */
  markRead(nowSeconds: number): void {
    const words = this.foundWords
    const base = this.foundBase
    const traits = words[base + TRAITS_WORD]!
    if ((traits & (STATE_FETCHED << 24)) === 0) {
      words[base + TRAITS_WORD] = traits | (STATE_FETCHED << 24)
    }
    setLastAccessAt(words, base, nowSeconds)
    raiseFrequencyAt(this.foundSlotWords, this.foundSlot)
  }

  /** Only after lookupToChange() with an expiry, unless `expiry` is 0. */
  setExpiry(expiry: number): void {
    setExpiryAt(this.foundWords, this.foundBase, expiry)
    this.expiry = expiry
    this.pool.noteExpiry(this.view.locationSegment(this.foundLocation), expiry)
  }

  /** Replaces the state bits (STATE_MASK). */
  setState(bits: number): void {
    const at = this.foundBase + TRAITS_WORD
    this.foundWords[at] = (this.foundWords[at]! & ~(STATE_MASK << 24)) | ((bits & STATE_MASK) << 24)
    this.state = bits & STATE_MASK
  }

  /**
   * Gives the item a CAS, 0 and 0 for the next one, and sets the CAS registers. Only after
   * lookupToChange() with that CAS.
   */
  setCas(casHigh: number, casLow: number): void {
    if ((casHigh | casLow) === 0) {
      this.nextCas()
    } else {
      this.casHigh = casHigh >>> 0
      this.casLow = casLow >>> 0
    }
    setCasAt(this.foundWords, this.foundBase, this.casHigh, this.casLow)
  }

  /** Deletes the item; only release() may follow. */
  removeFound(): void {
    this.unlinkFound()
  }

  release(): void {
    this.unlockStripe()
    if (this.owedBytes !== 0) {
      const owed = this.owedBytes
      this.owedBytes = 0
      this.leave(owed, this.owedSeconds)
    }
  }

  /**
   * Carries out an order, which is clear again afterwards.
   *
   * STORED, and the CAS registers are set. EXISTS: the CAS differs, or WRITE_ADD met an item.
   * NOT_FOUND: a CAS was given, or WRITE_REPLACE, and there is no item. NOT_STORED: nothing to append
   * or prepend to. CHANGED: the item is not the one that `extension` is of, or it has become so long
   * that an extension is to be begun. TOO_LARGE, NO_MEMORY: WRITE_SET then deletes the old item, which is stale. As in
   * memcached a CAS turns SET, ADD and REPLACE into the same compare-and-swap, and appending keeps
   * the item's flags and expiry.
   */
  write(order: WriteOrder): number {
    const written = this.carryOut(order)
    order.clear()
    return written
  }

  private carryOut(order: WriteOrder): number {
    const { mode, keyLength, valueLength, nowSeconds } = order
    this.enter(nowSeconds)
    this.hashKey(order.key, order.keyOffset, keyLength)
    if (keyLength + valueLength + ITEM_OVERHEAD_BYTES > this.itemBytesMax) {
      return this.refuse(mode, TOO_LARGE, keyLength, nowSeconds)
    }
    if (order.received !== undefined) return this.writeReceived(order, order.received)
    if (mode === WRITE_APPEND || mode === WRITE_PREPEND) return this.extend(order)
    return this.store(order)
  }

  private store(order: WriteOrder): number {
    const { mode, keyLength, valueOffset, valueLength, flags, expiry, nowSeconds } = order
    const source = this.sourceOf(order.value)
    // What takes over the expiry of a stale item needs the word for it.
    const layout =
      this.layoutFor(expiry, flags, valueLength, order.givenCasHigh) |
      (order.mayGoStale ? LAYOUT_EXPIRY : 0)
    const recordBytes = recordBytesOf(layout, keyLength, valueLength, this.unitShift)
    const log = this.log
    // A small value is copied under the lock, and if the old record has the same size, into it.
    const small = recordBytes <= COPIED_LOCKED_BYTES_MAX
    const isRecalled = this.ghost.recall(this.keyLow, this.hash.more)
    const group = this.groupOfNew(isRecalled, recordBytes, expiry, nowSeconds)
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (!this.reserve(recordBytes, keyLength, group, nowSeconds)) break
      if (!small) {
        this.fillRecord(layout, keyLength, valueLength, flags, expiry, 0, nowSeconds)
        this.fillValue(source, valueOffset, valueLength)
      }
      this.lockStripe()
      const found = this.seek(keyLength, nowSeconds)
      const verdict = this.judge(order, found)
      const stale = verdict === STORED_STALE
      if (verdict !== STORED && !stale) {
        this.unlockStripe()
        log.abandon()
        return verdict
      }
      // After the item was looked at: what it is, is then still so.
      if (log.isFlushed()) {
        this.unlockStripe()
        log.abandon()
        continue
      }
      if (small) {
        if (found && !stale && this.fitsFound(layout, keyLength, valueLength)) {
          this.overwrite(order, source)
          this.unlockStripe()
          log.abandon()
          return STORED
        }
        this.fillRecord(layout, keyLength, valueLength, flags, expiry, 0, nowSeconds)
        this.fillValue(source, valueOffset, valueLength)
      }
      const storedExpiry = stale ? this.inheritStale() : expiry
      const linked = this.link(order, found, recordBytes)
      this.unlockStripe()
      if (linked) {
        if (isRecalled && !found) this.counters[GHOST_HITS] = this.counters[GHOST_HITS]! + 1
        log.commit(storedExpiry)
        this.leave(recordBytes, nowSeconds)
        return STORED
      }
      log.abandon()
      if (this.index.isChainFull || !this.addOverflowPage(nowSeconds)) break
    }
    return this.refuse(mode, NO_MEMORY, keyLength, nowSeconds)
  }

  /**
   * Begins a value of largeBytesMin or more, which is appended to what is returned as it arrives.
   * It is stored by a write() of the same key with `received` set to it; that, or abandon(), ends it.
   */
  beginLarge(keyLength: number, valueLength: number): LargeValue {
    const recordBytes = recordBytesOf(LAYOUT_ALL, keyLength, valueLength, this.unitShift)
    const fits = recordBytes <= this.recordBytesMax
    return new LargeValue(
      this.view,
      this.pool,
      this.log,
      this.reclaimer,
      keyLength,
      valueLength,
      fits,
    )
  }

  /** Takes the next bytes of a value under way, and does the share of the work that a write does. */
  appendLarge(
    large: LargeValue,
    source: Uint8Array,
    offset: number,
    length: number,
    nowSeconds: number,
  ): boolean {
    this.enter(nowSeconds)
    if (!large.append(this.sourceOf(source), offset, length, nowSeconds)) return false
    this.leave(length, nowSeconds)
    return true
  }

  /**
   * Begins to carry out an order that appends or prepends if the result is extendedBytesMin or longer;
   * undefined if it is not, or if write() will refuse it. With `createsMissing` also if there is no
   * item and what is added is that long by itself. The order is clear again afterwards.
   *
   * It is filled with proceedExtension(), and linked by a write() with `extension` set to it and
   * `received` to its value; that, or abandoning the value, ends it.
   */
  beginExtension(order: WriteOrder, createsMissing: boolean): LargeExtension | undefined {
    const extension = this.tryToBegin(order, createsMissing)
    order.clear()
    return extension
  }

  private tryToBegin(order: WriteOrder, createsMissing: boolean): LargeExtension | undefined {
    const { keyLength, valueLength: addedBytes, nowSeconds } = order
    const isAfter = order.mode === WRITE_APPEND
    if (this.lookup(order.key, order.keyOffset, keyLength, nowSeconds) !== HIT) {
      if (!createsMissing || addedBytes < this.extendedBytesMin) return undefined
      return new LargeExtension(this.beginLarge(keyLength, addedBytes), isAfter, 0, 0, 0)
    }
    const oldBytes = this.valueBytes
    const isRefused = this.refusalToExtend(order) !== 0
    const location = this.foundLocation
    const sequence = this.heldSequence
    this.release()
    if (isRefused || oldBytes + addedBytes < this.extendedBytesMin) return undefined
    const value = this.beginLarge(keyLength, oldBytes + addedBytes)
    return new LargeExtension(value, isAfter, oldBytes, location, sequence)
  }

  /**
   * Fills the next `lengthMax` bytes at most of an extension under way, for the same order, and does
   * the share of the work that a write does. STORED: go on. CHANGED: it is to be begun anew.
   * NO_MEMORY: there is no room. The order is clear again afterwards.
   */
  proceedExtension(extension: LargeExtension, order: WriteOrder, lengthMax: number): number {
    const proceeded = this.proceed(extension, order, lengthMax)
    order.clear()
    return proceeded
  }

  private proceed(extension: LargeExtension, order: WriteOrder, lengthMax: number): number {
    const { value, oldBytes, addedBytes } = extension
    const { key, keyOffset, keyLength, nowSeconds } = order
    let left = Math.min(lengthMax, value.missingBytes)
    while (left > 0) {
      this.enter(nowSeconds)
      const fromOld = value.arrivedBytes - extension.oldOffset
      let chunk: number
      if (fromOld >= 0 && fromOld < oldBytes) {
        const room = value.makeRoom(nowSeconds)
        if (room === 0) return this.refuseExtension()
        if (this.lookup(key, keyOffset, keyLength, nowSeconds) !== HIT) return CHANGED
        const isSame = this.isExtended(extension)
        chunk = Math.min(left, room, oldBytes - fromOld)
        if (isSame) {
          const segment = this.view.locationSegment(this.foundLocation)
          value.appendFrom(segment, this.foundValuePosition() + fromOld, chunk)
        }
        this.release()
        if (!isSame) return CHANGED
        this.leave(chunk, nowSeconds)
      } else {
        const from = value.arrivedBytes - extension.addedOffset
        chunk = Math.min(left, addedBytes - from)
        if (!this.appendLarge(value, order.value, order.valueOffset + from, chunk, nowSeconds)) {
          return this.refuseExtension()
        }
      }
      left -= chunk
    }
    return STORED
  }

  private refuseExtension(): number {
    this.counters[NO_MEMORY_WRITES] = this.counters[NO_MEMORY_WRITES]! + 1
    return NO_MEMORY
  }

  /** Whether the item found is the one that an extension was begun for. */
  private isExtended(extension: LargeExtension): boolean {
    return (
      this.foundLocation === extension.location &&
      valueLengthAt(this.foundWords, this.foundBase) === extension.oldBytes &&
      this.heldSequence === extension.sequence
    )
  }

  /** What an extension of the item, found or found missing, comes to. */
  private judgeExtension(extension: LargeExtension, order: WriteOrder, found: boolean): number {
    const { casHigh, casLow } = order
    if (!found) return extension.location === 0 ? NOT_STORED : CHANGED
    if (!this.isExtended(extension)) return CHANGED
    return (casHigh | casLow) === 0 || this.foundHasCas(casHigh, casLow) ? STORED : EXISTS
  }

  /** write() of a value that is in its segments already. */
  private writeReceived(order: WriteOrder, received: LargeValue): number {
    const { mode, nowSeconds } = order
    const { keyLength, valueLength, segment } = received
    const isExtended = mode === WRITE_APPEND || mode === WRITE_PREPEND
    const extension = isExtended ? order.extension : undefined
    const { log, view } = this
    assert(received.missingBytes === 0, 'a large value is stored before it has arrived')
    const recordBytes = recordBytesOf(LAYOUT_ALL, keyLength, valueLength, this.unitShift)
    const isRecalled = this.ghost.recall(this.keyLow, this.hash.more)
    for (let attempt = 0; attempt < 2; attempt++) {
      this.lockStripe()
      // A flush that comes later than this makes the new value dead as it does the one it replaces.
      let epoch: number
      let found: boolean
      do {
        epoch = Atomics.load(this.control, EPOCH_WORD)
        found = this.seek(keyLength, nowSeconds)
      } while (epoch !== Atomics.load(this.control, EPOCH_WORD))
      const verdict =
        extension === undefined
          ? this.judge(order, found)
          : this.judgeExtension(extension, order, found)
      const stale = verdict === STORED_STALE
      if (verdict !== STORED && !stale) {
        this.unlockStripe()
        // What was to be appended to nothing may yet be added.
        if (extension === undefined) received.abandon()
        return verdict
      }
      const extendsFound = extension !== undefined
      const flags = extendsFound ? clientFlagsAt(this.foundWords, this.foundBase) : order.flags
      const expiry = extendsFound ? expiryAt(this.foundWords, this.foundBase) : order.expiry
      log.show(segment, recordBytes > view.segmentBytes)
      // The key is written in whole words, over the first bytes of a value that is there already.
      const position = HEADER_BYTES_MAX + keyLength
      view.copyOut(segment, position, this.digits, 0, 4)
      this.fillRecord(LAYOUT_ALL, keyLength, valueLength, flags, expiry, 0, nowSeconds)
      view.copyIn(segment, position, this.digits, 0, 4)
      const storedExpiry = stale ? this.inheritStale() : expiry
      // With up to 512 MiB of memory such a value is always too large for the small queue. With more,
      // the smaller of them have to be read to come into the main queue, as any other item.
      const group = extendsFound
        ? this.foundGroup(nowSeconds)
        : this.groupOfNew(isRecalled, recordBytes, storedExpiry, nowSeconds)
      received.beforeLink(recordBytes, group, epoch)
      const linked = this.link(order, found, recordBytes)
      this.unlockStripe()
      if (linked) {
        if (isRecalled && !found) this.counters[GHOST_HITS] = this.counters[GHOST_HITS]! + 1
        received.commit(recordBytes, storedExpiry)
        this.leave(0, nowSeconds)
        return STORED
      }
      if (!this.addOverflowPage(nowSeconds)) break
    }
    received.abandon()
    return this.refuse(mode, NO_MEMORY, keyLength, nowSeconds)
  }

  /** What a write of that mode and CAS is to do about the item found, or found missing. */
  private judge(order: WriteOrder, found: boolean): number {
    const { mode, casHigh, casLow } = order
    if ((casHigh | casLow) !== 0) {
      if (!found) return NOT_FOUND
      if (this.foundHasCas(casHigh, casLow)) return STORED
      return order.mayGoStale && this.isFoundNewer(casHigh, casLow) ? STORED_STALE : EXISTS
    }
    if (mode === WRITE_ADD && found) return EXISTS
    if (mode === WRITE_REPLACE && !found) return NOT_FOUND
    return STORED
  }

  /** Deletes an item: REMOVED, NOT_FOUND, or EXISTS if its CAS differs. */
  remove(
    key: Uint8Array,
    keyOffset: number,
    keyLength: number,
    casHigh: number,
    casLow: number,
    nowSeconds: number,
  ): number {
    this.enter(nowSeconds)
    this.hashKey(key, keyOffset, keyLength)
    this.lockStripe()
    let result = NOT_FOUND
    if (this.seek(keyLength, nowSeconds)) {
      if ((casHigh | casLow) !== 0 && !this.foundHasCas(casHigh, casLow)) {
        result = EXISTS
      } else {
        this.unlinkFound()
        result = REMOVED
      }
    }
    this.unlockStripe()
    // With -M what a delete leaves has to be made into room, by the next writes or already now.
    if (!this.evicts && result === REMOVED) this.leave(0, nowSeconds)
    return result
  }

  /**
   * Adds to or subtracts from a decimal number: increments wrap at 2^64, decrements stop at 0. STORED:
   * the number and the CAS registers are set. A result with fewer digits keeps the length of the
   * value, padded with spaces on the right. NOT_FOUND, NON_NUMERIC, EXISTS (other CAS), NO_MEMORY.
   */
  arithmetic(
    increment: boolean,
    key: Uint8Array,
    keyOffset: number,
    keyLength: number,
    deltaHigh: number,
    deltaLow: number,
    casHigh: number,
    casLow: number,
    nowSeconds: number,
  ): number {
    this.enter(nowSeconds)
    this.hashKey(key, keyOffset, keyLength)
    const log = this.log
    const view = this.view
    // Only a number that grows needs room; whether it does shows under the lock.
    let reservedBytes = 0
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      this.lockStripe()
      let refusal = 0
      if (!this.seek(keyLength, nowSeconds)) {
        refusal = NOT_FOUND
      } else if (valueLengthAt(this.foundWords, this.foundBase) === 0) {
        // Before the CAS is looked at, as in memcached.
        refusal = NON_NUMERIC
      } else if ((casHigh | casLow) !== 0 && !this.foundHasCas(casHigh, casLow)) {
        refusal = EXISTS
      } else if (!this.parseFound()) {
        refusal = NON_NUMERIC
      }
      if (refusal !== 0) {
        this.unlockStripe()
        if (reservedBytes !== 0) log.abandon()
        return refusal
      }
      const decimal = this.decimal
      if (increment) decimal.add(deltaHigh, deltaLow)
      else decimal.subtract(deltaHigh, deltaLow)
      const digits = this.digits.bytes
      const digitCount = decimal.format(digits, 0)
      const words = this.foundWords
      const base = this.foundBase
      const oldLength = valueLengthAt(words, base)
      const layout = layoutOf(words[base + TRAITS_WORD]!) | this.layoutFor(0, 0, digitCount, 0)
      this.numberHigh = decimal.high
      this.numberLow = decimal.low
      const newLength = Math.max(digitCount, oldLength)
      if (digitCount < oldLength) digits.fill(0x20, digitCount, oldLength)
      if (this.fitsFound(layout, keyLength, newLength)) {
        setValueLengthAt(words, base, newLength)
        const segment = view.locationSegment(this.foundLocation)
        view.copyIn(segment, this.foundValuePosition(), this.digits, 0, newLength)
        // To memcached a longer number is a new item.
        if (newLength > oldLength) this.counters[TOTAL_ITEMS] = this.counters[TOTAL_ITEMS]! + 1
        this.nextCas()
        setCasAt(words, base, this.casHigh, this.casLow)
        this.unlockStripe()
        if (reservedBytes !== 0) log.abandon()
        return STORED
      }
      const newBytes = recordBytesOf(layout, keyLength, newLength, this.unitShift)
      const isReserved = log.reservedSpans ? reservedBytes === newBytes : reservedBytes >= newBytes
      if (isReserved && reservedBytes !== 0 && !log.isFlushed()) {
        const flags = clientFlagsAt(words, base)
        const expiry = expiryAt(words, base)
        const state = stateOf(words[base + TRAITS_WORD]!)
        if (newBytes !== reservedBytes) log.shrink(newBytes)
        this.fillRecord(layout, keyLength, newLength, flags, expiry, state, nowSeconds)
        this.fillValue(this.digits, 0, newLength)
        this.nextCas()
        this.linkWithCas(true, newBytes)
        this.unlockStripe()
        log.commit(expiry)
        this.leave(newBytes, nowSeconds)
        return STORED
      }
      const group = this.foundGroup(nowSeconds)
      this.unlockStripe()
      if (reservedBytes !== 0) log.abandon()
      reservedBytes = 0
      if (!this.reserve(newBytes, keyLength, group, nowSeconds)) break
      reservedBytes = newBytes
    }
    this.counters[NO_MEMORY_WRITES] = this.counters[NO_MEMORY_WRITES]! + 1
    return NO_MEMORY
  }

  /**
   * Makes all items stored so far dead, now (atSeconds 0) or at the second `atSeconds`: then it is
   * those stored before that instant. A later call replaces a delayed flush that is pending.
   */
  flush(atSeconds: number, nowSeconds: number): void {
    const control = this.control
    acquire(control, POOL_LOCK_WORD)
    if (atSeconds === 0 || atSeconds <= nowSeconds) {
      Atomics.store(control, FLUSH_AT_WORD, 0)
      Atomics.add(control, EPOCH_WORD, 1)
    } else {
      Atomics.store(control, FLUSH_AT_WORD, atSeconds | 0)
    }
    release(control, POOL_LOCK_WORD)
  }

  /**
   * Background work, to be called every second or more often: a due flush, memory of the expired and
   * of the flushed, free segments. Drops about `budget` items, at a few hundred nanoseconds each,
   * and looks at no more than about 16 times as many.
   */
  maintain(nowSeconds: number, budget: number): void {
    this.enter(nowSeconds)
    if (this.control[LIMIT_CHANGES_WORD] !== this.limitChanges) this.adoptLimit()
    this.log.sealDead(nowSeconds)
    this.reclaimer.crawl(budget, nowSeconds)
    const { hasExcess } = this.pool
    if (hasExcess || this.pool.freeCount < this.freeSegmentsGoal) {
      const bytes = hasExcess ? WITHDRAWN_BYTES : RECORD_BYTES
      this.reclaimer.step(budget * bytes, nowSeconds)
    }
  }

  /**
   * Sets the limit of the memory, for all workers: true, or false if the segments were not laid out for
   * so much, or if so few cannot do. What is above a lower limit is given back by and by: by writes, each
   * of which does no more than it does in a full store, and by maintain(). With -M that is as much as
   * compacting gains, and until it is enough, writes are refused that need a segment.
   */
  setMemoryLimit(limitBytes: number): boolean {
    const { geometry } = this.view
    if (limitBytes < this.memoryBytesMin || limitBytes > geometry.memoryBytesMax) return false
    const { segmentCount } = memorySharesOf(geometry, limitBytes)
    this.pool.moveLimit(segmentCount, limitBytes)
    this.adoptLimit()
    return true
  }

  /** The lowest limit that there may be now. */
  get memoryBytesMin(): number {
    const { reserveSegments, segmentBytes, workerCount, itemBytesMax } = this.view.geometry
    const segments = reserveSegments + LIMIT_SEGMENTS_PER_WORKER * workerCount + LIMIT_SEGMENTS_MIN
    return Math.max(
      MEMORY_BYTES_MIN,
      2 * itemBytesMax,
      (segments + 2 * this.index.pageCount) * segmentBytes,
    )
  }

  /** Works with the limit in force from now on. */
  private adoptLimit(): void {
    const { geometry } = this.view
    this.limitChanges = this.control[LIMIT_CHANGES_WORD]!
    const limitBytes = memoryLimitOf(this.memory)
    const shares = memorySharesOf(geometry, limitBytes)
    this.recordBytesMax = Math.floor(shares.segmentCount * 0.75) * geometry.segmentBytes
    this.smallRecordBytesMax = limitBytes / SMALL_RECORD_SHARE
    this.freeSegmentsGoal = shares.freeSegmentsGoal
    this.groups.adopt(shares)
    this.ghost.resize(shares.ghostBuckets)
    this.reclaimer.adopt(shares.freeSegmentsGoal)
    this.log.sealUnused(this.groups)
    if (this.pool.hasExcess) this.reclaimer.payExcess()
  }

  /**
   * Shows every live item of up to `bucketCount` buckets to the visitor, each under its stripe lock,
   * with the registers and `scannedKey` set. Start with cursor 0 and pass on what is returned, until
   * it is -1. An item that stays all the while is shown at least once, and twice only if its bucket
   * was split in the meantime.
   */
  scan(cursor: number, bucketCount: number, nowSeconds: number, visitor: ItemVisitor): number {
    this.enter(nowSeconds)
    const index = this.index
    let bucket = cursor
    for (let done = 0; done < bucketCount; done++) {
      this.keyStripe = this.stripesWord + (bucket & (STRIPE_COUNT - 1)) * STRIPE_WORDS
      this.lockStripe()
      if (bucket >= this.control[BUCKET_COUNT_WORD]!) {
        this.unlockStripe()
        return -1
      }
      let base = index.primary(bucket)
      let words = index.bucketWords
      for (;;) {
        for (let slot = base; slot < base + SLOTS_PER_BUCKET; slot++) {
          const location = words[slot]!
          if (location === 0) break
          this.found(words, slot, location)
          if (this.deadReason(nowSeconds) === MISS_NONE) this.show(nowSeconds, visitor)
        }
        const link = words[base + LINK_WORD]!
        if (link === 0) break
        base = index.overflow(link)
        words = index.bucketWords
      }
      this.unlockStripe()
      bucket++
    }
    return bucket
  }

  private show(nowSeconds: number, visitor: ItemVisitor): void {
    this.loadRegisters(nowSeconds)
    const view = this.view
    const traits = this.foundWords[this.foundBase + TRAITS_WORD]!
    const keyLength = keyLengthOf(traits)
    this.keyBytes = keyLength
    const segment = view.locationSegment(this.foundLocation)
    const position = view.locationOffset(this.foundLocation) + headerBytesOf(traits)
    view.copyOut(segment, position, this.scannedKeyBlock, 0, keyLength)
    visitor.visitItem(this)
  }

  /** What every operation begins with: a delayed flush that is due. */
  private enter(nowSeconds: number): void {
    assert(this.heldStripe === 0, 'a lookup was not released')
    const flushAt = this.control[FLUSH_AT_WORD]!
    if (flushAt !== 0 && flushAt >>> 0 <= nowSeconds) this.flushDue(nowSeconds)
  }

  private flushDue(nowSeconds: number): void {
    const control = this.control
    acquire(control, POOL_LOCK_WORD)
    const flushAt = control[FLUSH_AT_WORD]! >>> 0
    // Only the first to come does it: items stored after the instant live.
    if (flushAt !== 0 && flushAt <= nowSeconds) {
      Atomics.add(control, EPOCH_WORD, 1)
      Atomics.store(control, FLUSH_AT_WORD, 0)
    }
    release(control, POOL_LOCK_WORD)
  }

  /** What a write ends with: its share of the work for free segments and for the index. */
  private leave(recordBytes: number, nowSeconds: number): void {
    if (this.newItems >= GROWTH_LOT) {
      this.newItems = 0
      const items = this.counters[ITEMS]!
      const before = Atomics.add(this.control, ITEM_COUNT_WORD, items - this.publishedItems)
      const count = before + items - this.publishedItems
      this.publishedItems = items
      if (this.index.isCrowded(count)) this.index.grow()
    }
    const deficit = this.freeSegmentsGoal - this.pool.freeCount
    if (deficit > 0) {
      if (!this.evicts) {
        const gained = Math.min(recordBytes, STEP_RECORD_BYTES_MAX) + COMPACT_RECORD_BYTES
        this.reclaimer.compact(Math.min(deficit, COMPACT_DEFICIT_MAX) * gained, nowSeconds)
        return
      }
      // Dearer as segments run short, so that a victim that gains little cannot exhaust them.
      const paced = Math.min(recordBytes, STEP_RECORD_BYTES_MAX)
      this.reclaimer.step(deficit * (STEP_FACTOR * paced + STEP_BYTES_MIN), nowSeconds)
    }
  }

  private sourceOf(bytes: Uint8Array): ByteBlock {
    let block = this.sourceBlock
    if (block.bytes !== bytes) {
      block = new ByteBlock(bytes)
      if (bytes.length <= KEPT_BLOCK_BYTES_MAX) this.sourceBlock = block
    }
    return block
  }

  private hashKey(key: Uint8Array, keyOffset: number, keyLength: number): void {
    assert(keyLength > 0 && keyLength <= KEY_BYTES_MAX, 'the key length was not checked')
    let block = this.keyBlock
    if (block.bytes !== key) {
      block = new ByteBlock(key)
      if (key.length <= KEPT_BLOCK_BYTES_MAX) this.keyBlock = block
    }
    const hash = this.hash
    const low = hash.hash(block.view, keyOffset, keyLength)
    this.keyLow = low
    this.keyTag = tagOf(hash.more)
    this.keyStripe = this.stripesWord + (low & (STRIPE_COUNT - 1)) * STRIPE_WORDS
  }

  private lockStripe(): void {
    if (this.isShared) acquire(this.control, this.keyStripe)
    this.heldStripe = this.keyStripe
  }

  private unlockStripe(): void {
    const stripe = this.heldStripe
    assert(stripe !== 0, 'nothing is locked')
    this.heldStripe = 0
    if (this.isShared) release(this.control, stripe)
  }

  /** Finds the hashed key's item under its lock. A dead one is dropped and counts as not found. */
  private seek(keyLength: number, nowSeconds: number): boolean {
    const index = this.index
    const slot = index.find(this.keyLow, this.keyTag, this.hash, keyLength)
    this.missReason = MISS_NONE
    if (slot < 0) return false
    this.found(index.slotWords, slot, index.slotWords[slot]!)
    const reason = this.deadReason(nowSeconds)
    if (reason === MISS_NONE) return true
    this.missReason = reason
    const traits = this.foundWords[this.foundBase + TRAITS_WORD]!
    index.removeSlot(this.keyLow, this.foundSlotWords, slot)
    const recordBytes = retire(this.view, this.pool, this.foundLocation)
    this.reclaimer.countDead(reason === MISS_EXPIRED, traits, recordBytes)
    return false
  }

  private found(slotWords: Int32Array, slot: number, location: number): void {
    this.foundSlotWords = slotWords
    this.foundSlot = slot
    this.foundLocation = location
    this.foundWords = this.view.locationArena(location)
    this.foundBase = this.view.locationBase(location)
  }

  private deadReason(nowSeconds: number): number {
    const expiry = expiryAt(this.foundWords, this.foundBase)
    if (expiry !== 0 && expiry <= nowSeconds) return MISS_EXPIRED
    const segment = this.view.locationSegment(this.foundLocation)
    const epoch = this.control[this.view.segmentRecord(segment) + SEGMENT_EPOCH]
    return epoch === this.view.epoch ? MISS_NONE : MISS_FLUSHED
  }

  /** The group of a new value: of the main queue if its key came back, or it is too large for the small one. */
  private groupOfNew(
    isRecalled: boolean,
    recordBytes: number,
    expiry: number,
    nowSeconds: number,
  ): number {
    return isRecalled || recordBytes > this.smallRecordBytesMax
      ? this.groups.main(expiry, nowSeconds)
      : this.groups.small(expiry, nowSeconds)
  }

  /** The group in which a longer value of the item found belongs: it stays in its queue. */
  private foundGroup(nowSeconds: number): number {
    const segment = this.view.locationSegment(this.foundLocation)
    const group = this.control[this.view.segmentRecord(segment) + SEGMENT_GROUP]!
    const expiry = expiryAt(this.foundWords, this.foundBase)
    return queueOf(group) === MAIN_QUEUE
      ? this.groups.main(expiry, nowSeconds)
      : this.groups.small(expiry, nowSeconds)
  }

  private loadRegisters(nowSeconds: number): void {
    const words = this.foundWords
    const base = this.foundBase
    this.valueBytes = valueLengthAt(words, base)
    this.casLow = words[base + ITEM_CAS_LOW_WORD]! >>> 0
    this.casHigh = casHighAt(words, base)
    this.state = stateOf(words[base + TRAITS_WORD]!)
    this.expiry = expiryAt(words, base)
    this.flags = clientFlagsAt(words, base)
    this.lastAccess = lastAccessAt(words, base, nowSeconds)
    this.itemBytes = recordBytesAt(words, base, this.unitShift)
  }

  /** Where the value of the item found begins, counted from the start of its segment. */
  private foundValuePosition(): number {
    const traits = this.foundWords[this.foundBase + TRAITS_WORD]!
    return (
      this.view.locationOffset(this.foundLocation) + headerBytesOf(traits) + keyLengthOf(traits)
    )
  }

  /** The optional words that a record needs, for a CAS whose upper word is `casHigh` or the next one. */
  private layoutFor(expiry: number, flags: number, valueLength: number, casHigh: number): number {
    const hasWideCas =
      casHigh > NARROW_CAS_HIGH_MAX || this.control[CAS_HALF_WORD]! >= WIDE_CAS_HALVES
    return this.layoutMin | layoutFor(expiry, flags, valueLength, hasWideCas)
  }

  /** Whether what needs `layout` can be put into the record found without changing its size. */
  private fitsFound(layout: number, keyLength: number, valueLength: number): boolean {
    const words = this.foundWords
    const base = this.foundBase
    const foundLayout = layoutOf(words[base + TRAITS_WORD]!)
    return (
      (layout & ~foundLayout) === 0 &&
      recordBytesOf(foundLayout, keyLength, valueLength, this.unitShift) ===
        recordBytesAt(words, base, this.unitShift)
    )
  }

  /**
   * Writes the item found anew with more optional words. False: there is no room, or a flush has come
   * since it was found. Only narrow records ever lack a word, so no more than 64 KiB are copied.
   */
  private widenFound(layout: number, nowSeconds: number): boolean {
    const { control, log, view } = this
    const words = this.foundWords
    const base = this.foundBase
    const location = this.foundLocation
    const traits = words[base + TRAITS_WORD]!
    const keyLength = keyLengthOf(traits)
    const valueLength = valueLengthAt(words, base)
    const recordBytes = recordBytesOf(layout, keyLength, valueLength, this.unitShift)
    log.segmentsMissing = 0
    const group = this.foundGroup(nowSeconds)
    if (!log.reserve(recordBytes, HEADER_BYTES_MAX + keyLength, this.reserveSegments, group)) {
      return false
    }
    const from = view.locationSegment(location)
    const epoch = control[view.segmentRecord(from) + SEGMENT_EPOCH]
    if (control[view.segmentRecord(log.segment) + SEGMENT_EPOCH] !== epoch) {
      log.abandon()
      return false
    }
    const target = view.segmentArena(log.segment)
    const targetBase = view.locationBase(log.location)
    const state = stateOf(traits) | (log.reservedSpans ? STATE_SPANS : 0)
    const expiry = expiryAt(words, base)
    const flags = clientFlagsAt(words, base)
    const accessed = lastAccessAt(words, base, nowSeconds)
    fillHeader(target, targetBase, layout, keyLength, valueLength, state, flags, expiry, accessed)
    setCasAt(target, targetBase, casHighAt(words, base), words[base + ITEM_CAS_LOW_WORD]!)
    view.copyAcross(
      from,
      view.locationOffset(location) + headerBytesOf(traits),
      log.segment,
      log.offset + headerBytesOf(target[targetBase + TRAITS_WORD]!),
      keyLength + valueLength,
    )
    this.foundSlotWords[this.foundSlot] = log.location
    const gained = recordBytes - retire(view, this.pool, location)
    this.counters[BYTES] = this.counters[BYTES]! + gained
    this.found(this.foundSlotWords, this.foundSlot, log.location)
    log.commit(expiry)
    this.owedBytes = recordBytes
    this.owedSeconds = nowSeconds
    return true
  }

  private foundHasCas(casHigh: number, casLow: number): boolean {
    const words = this.foundWords
    const base = this.foundBase
    return words[base + ITEM_CAS_LOW_WORD] === (casLow | 0) && casHighAt(words, base) === casHigh
  }

  private isFoundNewer(casHigh: number, casLow: number): boolean {
    const words = this.foundWords
    const base = this.foundBase
    const foundHigh = casHighAt(words, base)
    if (foundHigh !== casHigh) return foundHigh > casHigh
    return words[base + ITEM_CAS_LOW_WORD]! >>> 0 > casLow
  }

  /** The reserved record takes over what a stale value keeps of the item; returns its expiry. */
  private inheritStale(): number {
    const log = this.log
    const words = this.view.segmentArena(log.segment)
    const base = this.view.locationBase(log.location)
    const state = stateOf(this.foundWords[this.foundBase + TRAITS_WORD]!) & STATE_WIN_SENT
    words[base + TRAITS_WORD] = words[base + TRAITS_WORD]! | ((state | STATE_STALE) << 24)
    const expiry = expiryAt(this.foundWords, this.foundBase)
    setExpiryAt(words, base, expiry)
    return expiry
  }

  private unlinkFound(): void {
    this.index.removeSlot(this.keyLow, this.foundSlotWords, this.foundSlot)
    const recordBytes = retire(this.view, this.pool, this.foundLocation)
    const counters = this.counters
    counters[ITEMS] = counters[ITEMS]! - 1
    counters[BYTES] = counters[BYTES]! - recordBytes
  }

  /** Reserves room for a record, evicting if need be. */
  private reserve(
    recordBytes: number,
    keyLength: number,
    group: number,
    nowSeconds: number,
  ): boolean {
    if (recordBytes > this.recordBytesMax) return false
    const log = this.log
    const keep = this.reserveSegments
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (log.reserve(recordBytes, HEADER_BYTES_MAX + keyLength, keep, group)) return true
      const endBytes = recordBytes <= this.view.segmentBytes ? recordBytes : 0
      if (!this.reclaimer.makeFree(log.segmentsMissing + keep, nowSeconds, endBytes)) {
        return !this.evicts && log.reserveAnywhere(recordBytes, GROUPS_MAX)
      }
    }
    return false
  }

  /** Writes header and key of the reserved record. The CAS comes when it is linked. */
  private fillRecord(
    layout: number,
    keyLength: number,
    valueLength: number,
    flags: number,
    expiry: number,
    state: number,
    nowSeconds: number,
  ): void {
    const view = this.view
    const log = this.log
    const words = view.segmentArena(log.segment)
    const base = view.locationBase(log.location)
    const bits = log.reservedSpans ? state | STATE_SPANS : state
    fillHeader(words, base, layout, keyLength, valueLength, bits, flags, expiry, nowSeconds)
    const keyWords = this.hash.words
    const keyBase = base + headerWordsOf(words[base + TRAITS_WORD]!)
    const keyWordCount = (keyLength + 3) >> 2
    for (let word = 0; word < keyWordCount; word++) words[keyBase + word] = keyWords[word]!
  }

  /** Copies a value into the reserved record, whose header is filled. */
  private fillValue(source: ByteBlock, valueOffset: number, valueLength: number): void {
    const position = this.reservedValuePosition()
    this.view.copyIn(this.log.segment, position, source, valueOffset, valueLength)
  }

  private reservedValuePosition(): number {
    const { view, log } = this
    const traits = view.segmentArena(log.segment)[view.locationBase(log.location) + TRAITS_WORD]!
    return log.offset + headerBytesOf(traits) + keyLengthOf(traits)
  }

  /**
   * Gives the reserved record its CAS and points the index at it, in place of the item found or as a
   * new one. False if the index has no room. The stripe is locked.
   */
  private link(order: WriteOrder, found: boolean, recordBytes: number): boolean {
    if (!found && !this.insert(order.nowSeconds)) return false
    this.takeCas(order)
    this.linkWithCas(found, recordBytes)
    return true
  }

  private linkWithCas(found: boolean, recordBytes: number): void {
    const log = this.log
    const counters = this.counters
    const words = this.view.segmentArena(log.segment)
    const base = this.view.locationBase(log.location)
    setCasAt(words, base, this.casHigh, this.casLow)
    let gained = recordBytes
    if (found) {
      // The slot keeps its frequency: a key that is read a lot is so with its new value, too.
      this.foundSlotWords[this.foundSlot] = log.location
      gained -= retire(this.view, this.pool, this.foundLocation)
    } else {
      counters[ITEMS] = counters[ITEMS]! + 1
      this.newItems++
    }
    counters[BYTES] = counters[BYTES]! + gained
    counters[TOTAL_ITEMS] = counters[TOTAL_ITEMS]! + 1
  }

  /** Adds a slot for the reserved record; where the chain is full, the item in it that was read least goes. */
  private insert(nowSeconds: number): boolean {
    const { index, keyLow, keyTag } = this
    const location = this.log.location
    if (index.insert(keyLow, keyTag, location)) return true
    if (!index.isChainFull || !this.view.geometry.evicts) return false
    const slot = index.leastRead(keyLow)
    this.reclaimer.evict(keyLow, index.slotWords, slot, nowSeconds)
    return index.insert(keyLow, keyTag, location)
  }

  /** Puts a new value into the record that was found, which keeps its size. */
  private overwrite(order: WriteOrder, source: ByteBlock): void {
    const { valueLength } = order
    this.takeCas(order)
    const words = this.foundWords
    const base = this.foundBase
    words[base + TRAITS_WORD] = words[base + TRAITS_WORD]! & ~(STATE_MASK << 24)
    setValueLengthAt(words, base, valueLength)
    setCasAt(words, base, this.casHigh, this.casLow)
    setClientFlagsAt(words, base, order.flags)
    setLastAccessAt(words, base, order.nowSeconds)
    this.setExpiry(order.expiry)
    const view = this.view
    const segment = view.locationSegment(this.foundLocation)
    view.copyIn(segment, this.foundValuePosition(), source, order.valueOffset, valueLength)
    // The record is as old as it was, but the value is new: it shall not be the next to leave.
    if (frequencyAt(this.foundSlotWords, this.foundSlot) === 0) {
      raiseFrequencyAt(this.foundSlotWords, this.foundSlot)
    }
    this.counters[TOTAL_ITEMS] = this.counters[TOTAL_ITEMS]! + 1
  }

  /** Sets the CAS registers to the CAS of the item being written. */
  private takeCas(order: WriteOrder): void {
    if ((order.givenCasHigh | order.givenCasLow) === 0) {
      this.nextCas()
    } else {
      this.casHigh = order.givenCasHigh >>> 0
      this.casLow = order.givenCasLow >>> 0
    }
  }

  /**
   * Takes the next CAS, of which the lower word is one atomic counter. The upper bits are
   * counted in halves of that word's range: whoever draws the first number of a half counts it, and
   * who draws a number of a half not yet counted sees that from its top bit.
   */
  private nextCas(): void {
    const control = this.control
    const half = this.isShared ? Atomics.load(control, CAS_HALF_WORD) : control[CAS_HALF_WORD]!
    const low = this.isShared ? Atomics.add(control, CAS_LOW_WORD, 1) : control[CAS_LOW_WORD]!++
    const drawn = (half & 1) === low >>> 31 ? half : half + 1
    if (drawn !== half && low << 1 === 0) Atomics.store(control, CAS_HALF_WORD, drawn)
    this.casHigh = drawn >>> 1
    this.casLow = low >>> 0
  }

  private extend(order: WriteOrder): number {
    const { keyLength, valueLength: length, nowSeconds } = order
    const after = order.mode === WRITE_APPEND
    const source = this.sourceOf(order.value)
    const log = this.log
    const view = this.view
    let oldLength = 0
    let reservedBytes = 0
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      this.lockStripe()
      const refusal = this.seek(keyLength, nowSeconds) ? this.refusalToExtend(order) : NOT_STORED
      if (refusal === 0) oldLength = valueLengthAt(this.foundWords, this.foundBase)
      if (refusal !== 0 || oldLength + length >= this.extendedBytesMin) {
        this.unlockStripe()
        if (reservedBytes !== 0) log.abandon()
        // Longer than when it was looked at to begin an extension.
        return refusal === 0 ? CHANGED : refusal
      }
      const valueLength = oldLength + length
      const foundLayout = layoutOf(this.foundWords[this.foundBase + TRAITS_WORD]!)
      const layout = foundLayout | this.layoutFor(0, 0, valueLength, order.givenCasHigh)
      const recordBytes = recordBytesOf(layout, keyLength, valueLength, this.unitShift)
      if (reservedBytes === recordBytes && !log.isFlushed()) {
        const words = this.foundWords
        const base = this.foundBase
        const expiry = expiryAt(words, base)
        const flags = clientFlagsAt(words, base)
        this.fillRecord(layout, keyLength, valueLength, flags, expiry, 0, nowSeconds)
        const from = view.locationSegment(this.foundLocation)
        const fromPosition = this.foundValuePosition()
        const position = this.reservedValuePosition()
        const oldPosition = after ? position : position + length
        const newPosition = after ? position + oldLength : position
        view.copyAcross(from, fromPosition, log.segment, oldPosition, oldLength)
        view.copyIn(log.segment, newPosition, source, order.valueOffset, length)
        this.link(order, true, recordBytes)
        this.unlockStripe()
        log.commit(expiry)
        this.leave(recordBytes, nowSeconds)
        return STORED
      }
      const group = this.foundGroup(nowSeconds)
      this.unlockStripe()
      if (reservedBytes !== 0) log.abandon()
      reservedBytes = 0
      if (!this.reserve(recordBytes, keyLength, group, nowSeconds)) break
      reservedBytes = recordBytes
    }
    if (reservedBytes !== 0) log.abandon()
    this.counters[NO_MEMORY_WRITES] = this.counters[NO_MEMORY_WRITES]! + 1
    return NO_MEMORY
  }

  /** Why nothing can be appended to the item found; 0 if it can. */
  private refusalToExtend(order: WriteOrder): number {
    const { keyLength, valueLength: addedBytes, casHigh, casLow } = order
    if ((casHigh | casLow) !== 0 && !this.foundHasCas(casHigh, casLow)) return EXISTS
    const oldBytes = valueLengthAt(this.foundWords, this.foundBase)
    const isTooLarge = keyLength + oldBytes + addedBytes + ITEM_OVERHEAD_BYTES > this.itemBytesMax
    return isTooLarge ? TOO_LARGE : 0
  }

  /** Reads the value of the item found as a number. */
  private parseFound(): boolean {
    const length = valueLengthAt(this.foundWords, this.foundBase)
    if (length > NUMBER_BYTES_MAX) return false
    const view = this.view
    const location = this.foundLocation
    view.copyOut(view.locationSegment(location), this.foundValuePosition(), this.digits, 0, length)
    return this.decimal.parseValue(this.digits.bytes, 0, length)
  }

  private addOverflowPage(nowSeconds: number): boolean {
    if (this.index.addOverflowPage()) return true
    return (
      this.reclaimer.makeFree(1 + this.reserveSegments, nowSeconds) && this.index.addOverflowPage()
    )
  }

  /** Ends a write that cannot be done; a SET deletes what it was to replace. */
  private refuse(mode: number, result: number, keyLength: number, nowSeconds: number): number {
    if (mode === WRITE_SET) {
      this.lockStripe()
      if (this.seek(keyLength, nowSeconds)) this.unlinkFound()
      this.unlockStripe()
    }
    if (result === NO_MEMORY) {
      this.counters[NO_MEMORY_WRITES] = this.counters[NO_MEMORY_WRITES]! + 1
    }
    return result
  }
}
