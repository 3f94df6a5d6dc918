/**
 * The item store as one worker sees it: its face. Hot path: numbers in, numbers out, nothing allocated;
 * results that are more than one number are left in its registers (item-registers.ts).
 *
 * Invariant: an item is found, changed and linked only under the stripe lock of its key. lookup()
 * that returns HIT keeps that lock until release(), so what is between them must be short, and no
 * other operation of this Store may be called there (it is asserted).
 *
 * What is done to items is in files of its own: `held-item.ts` has the item in hand, `writer.ts`,
 * `extender.ts` and `numbers.ts` what is written, `scan.ts` the way through all of it, `upkeep.ts` the
 * work beside. What verbs and statuses mean on the wire is left to the command layer. Layouts, locks
 * and the life of a segment are in README.md.
 */
import { assert } from '../base/assert.ts'
import type { ArrivingValue, ReceivedValue } from './arriving-value.ts'
import { CasSource } from './cas-source.ts'
import type { EvictionObserver } from './eviction-observer.ts'
import { Extender } from './extender.ts'
import { flush } from './flush.ts'
import type { StoreMemory } from './geometry.ts'
import { HeldItem } from './held-item.ts'
import { lastAccessAt, setCasAt, stateOf, TRAITS_WORD } from './item.ts'
import { ItemRegisters } from './item-registers.ts'
import type { LargeExtension } from './large-extension.ts'
import type { LargeValue } from './large-value.ts'
import { LastBlock } from './last-block.ts'
import type { Lenders } from './lender.ts'
import type { CopyCount } from './memory-view.ts'
import { NewRecord } from './new-record.ts'
import { Numbers } from './numbers.ts'
import { createParts, type StoreParts } from './parts.ts'
import { type PinnedParts, Pins } from './pins.ts'
import { Restorer } from './restorer.ts'
import { EXISTS, HIT, MISS, NOT_FOUND, REMOVED, STORED } from './result.ts'
import { Scan } from './scan.ts'
import { TouchedKeys } from './touched-keys.ts'
import { Upkeep } from './upkeep.ts'
import { extendedBytesMinOf, largeBytesMinOf, ValueReceiver } from './value-receiver.ts'
import { Widener } from './widener.ts'
import type { WriteOrder } from './write-order.ts'
import { Writer } from './writer.ts'

/**
 * Gets each item of a scan, while its stripe is held as after a HIT: it reads the registers and
 * `scannedKey`, and may copy the value with copyValue() or copyValueRange(), which does not count as a
 * read. Of a value of 2 MiB or more it copies a piece at most: for the rest it keeps the key,
 * `heldLocation` and `heldSequence`, and comes back with lookup() when the scan has returned. It calls
 * nothing else of the store and changes nothing.
 */
export interface ItemVisitor {
  visitItem(store: Store): void
}

export class Store extends ItemRegisters {
  /** Of a scan: the key, its first keyBytes bytes. */
  readonly scannedKey: Uint8Array

  /** Values from this length on may be stored with beginLarge(). */
  readonly largeBytesMin: number
  /** Items that appending makes as long as this are extended with beginExtension(). */
  readonly extendedBytesMin: number

  private readonly parts: StoreParts
  private readonly item: HeldItem
  private readonly cas: CasSource
  private readonly upkeep: Upkeep
  private readonly record: NewRecord
  private readonly widener: Widener
  private readonly receiver: ValueReceiver
  private readonly extender: Extender
  private readonly writer: Writer
  private readonly numbers: Numbers
  private readonly scanner: Scan
  private readonly pins: Pins
  private readonly targets: LastBlock = new LastBlock()
  private readonly evicts: boolean

  constructor(memory: StoreMemory, workerIndex: number) {
    const { geometry } = memory
    super()
    assert(workerIndex >= 0 && workerIndex < geometry.workerCount, `no worker ${workerIndex}`)
    this.largeBytesMin = largeBytesMinOf(geometry.segmentBytes)
    this.extendedBytesMin = extendedBytesMinOf(geometry.segmentBytes)
    this.evicts = geometry.evicts
    const parts = createParts(memory, workerIndex)
    const upkeep = new Upkeep(parts)
    const item = new HeldItem(parts)
    const cas = new CasSource(parts.control, parts.isShared)
    const record = new NewRecord(parts, item, cas, upkeep)
    const sources = new LastBlock()
    const receiver = new ValueReceiver(parts, item, record, upkeep, sources)
    const { extendedBytesMin } = this
    const extender = new Extender(parts, item, record, receiver, upkeep, sources, extendedBytesMin)
    this.parts = parts
    this.upkeep = upkeep
    this.item = item
    this.cas = cas
    this.record = record
    this.receiver = receiver
    this.extender = extender
    this.widener = new Widener(parts, item, record, upkeep)
    this.writer = new Writer(parts, item, record, extender, cas, upkeep, sources)
    this.numbers = new Numbers(parts, item, record, cas)
    this.scanner = new Scan(parts, item)
    this.pins = new Pins(parts.view, parts.pool)
    this.scannedKey = this.scanner.key
  }

  /** Takes part in what the stores of this worker, one for each namespace, lend each other. */
  joinLending(others: Lenders): void {
    const { parts, upkeep } = this
    const lender = others.join(parts.pool, upkeep)
    upkeep.lender = lender
    parts.reclaimer.lender = lender
  }

  /** Its namespace is no more, or there is no other. */
  leaveLending(): void {
    const { parts, upkeep } = this
    upkeep.lender?.leave()
    upkeep.lender = undefined
    parts.reclaimer.lender = undefined
  }

  /** Whose items these are. */
  get namespace(): number {
    return this.parts.geometry.namespace
  }

  /** Tells `observer` of every item that this worker evicts. */
  observeEvictions(observer: EvictionObserver): void {
    this.parts.fates.observer = observer
  }

  /**
   * While a snapshot is being restored, keys that clients change are noted in that memory
   * (createTouchedMemory()), the same for all workers; undefined: everything is back.
   */
  noteChanges(memory: SharedArrayBuffer | undefined): void {
    this.item.touched = memory === undefined ? undefined : new TouchedKeys(memory)
  }

  /** For who asks lookup() for an item to delete it: to be called before, for a key that may not be restored yet. */
  noteChange(key: Uint8Array, keyOffset: number, keyLength: number): void {
    const { item } = this
    if (item.touched === undefined) return
    item.useKey(key, keyOffset, keyLength)
    item.noteChange()
  }

  /** Puts items of a snapshot back; clients' changes are noted in `touched` from before on. `epoch`: see Restorer. */
  createRestorer(touched: SharedArrayBuffer, epoch?: number): Restorer {
    const { parts, item, record, upkeep, writer } = this
    return new Restorer(parts, item, record, upkeep, writer, touched, epoch)
  }

  /** What this worker copies, for whatever purpose. */
  get copies(): CopyCount {
    return this.parts.view
  }

  /**
   * Finds an item. HIT: the registers are set and the stripe is locked until release(). MISS: nothing
   * is locked, missReason says why. Does not count as a read of the item.
   */
  lookup(key: Uint8Array, keyOffset: number, keyLength: number, nowSeconds: number): number {
    const item = this.item
    item.begin(nowSeconds)
    item.useKey(key, keyOffset, keyLength)
    item.lock()
    const isFound = item.seek()
    this.missReason = item.missReason
    if (!isFound) {
      item.unlock()
      return MISS
    }
    this.loadItem(item)
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
    const item = this.item
    item.begin(nowSeconds)
    item.useKey(key, keyOffset, keyLength)
    // A touch into the past deletes, also what is not restored yet.
    if (expiry !== 0 && expiry <= nowSeconds) item.noteChange()
    const found = this.widener.seek(expiry, casHigh)
    this.missReason = item.missReason
    if (found === HIT) this.loadItem(item)
    return found
  }

  /** What few ask of the item that is held, as it is now: to read all of it with each item cost a pipelined get a twentieth. */
  get expiry(): number {
    return this.item.expiry()
  }
  get lastAccess(): number {
    return lastAccessAt(this.item.words, this.item.base, this.item.nowSeconds)
  }
  get state(): number {
    return stateOf(this.item.words[this.item.base + TRAITS_WORD]!)
  }
  /** Header and padding included. */
  get itemBytes(): number {
    return this.item.recordBytes()
  }

  /** Where the item that is held lies; with its length and `heldSequence` it tells whether it is still the same. */
  get heldLocation(): number {
    return this.item.location
  }

  /** When the first segment of the item that is held was sealed: a number that no later one has. */
  get heldSequence(): number {
    return this.item.sequence()
  }

  /** Whether the item that is held lies in the main queue, and how many of its reads count (0 to 3). */
  get heldIsMain(): boolean {
    return this.item.isInMainQueue
  }

  get heldFrequency(): number {
    return this.item.frequency
  }

  /** Copies the whole value. Between HIT and release(), as are all down to release(). */
  copyValue(target: Uint8Array, targetOffset: number): void {
    this.item.copyValue(0, this.valueBytes, this.targets.of(target), targetOffset)
  }

  copyValueRange(
    valueOffset: number,
    length: number,
    target: Uint8Array,
    targetOffset: number,
  ): void {
    this.item.copyValue(valueOffset, length, this.targets.of(target), targetOffset)
  }

  /**
   * Has the whole value stay as it is, where it is, until `parts` has released what it is given; the item
   * itself may go. Only of values of 16 KiB and more, which are never overwritten where they lie. False: it
   * has to be copied.
   */
  pinValue(parts: PinnedParts): boolean {
    const { item } = this
    return this.pins.pin(item.segment(), item.valuePosition(), this.valueBytes, parts)
  }

  /** Counts a read: the item is fetched, was accessed now, and is more likely to stay. */
  markRead(nowSeconds: number): void {
    this.item.markRead(nowSeconds)
  }

  /** Only after lookupToChange() with an expiry, unless `expiry` is 0. */
  setExpiry(expiry: number): void {
    this.item.setExpiry(expiry)
  }

  /** Replaces the state bits (STATE_MASK). */
  setState(bits: number): void {
    this.item.setState(bits)
  }

  /**
   * Gives the item a CAS, 0 and 0 for the next one, and sets the CAS registers. Only after
   * lookupToChange() with that CAS.
   */
  setCas(casHigh: number, casLow: number): void {
    const { item } = this
    this.cas.take(casHigh, casLow)
    this.loadCas(this.cas)
    setCasAt(item.words, item.base, this.casHigh, this.casLow)
  }

  /** Deletes the item; only release() may follow. */
  removeFound(): void {
    this.item.unlink()
  }

  release(): void {
    this.item.unlock()
    if (this.widener.owedBytes !== 0) this.widener.pay()
  }

  /**
   * Carries out an order, which is clear again afterwards.
   *
   * STORED, and the CAS registers are set. EXISTS: the CAS differs, or WRITE_ADD met an item.
   * NOT_FOUND: a CAS was given, or WRITE_REPLACE, and there is no item. NOT_STORED: nothing to append
   * or prepend to. CHANGED: the item is not the one that `extension` is of, or it has become so long
   * that an extension is to be begun. TOO_LARGE, NO_MEMORY: WRITE_SET then deletes the old item, which
   * is stale. As in memcached a CAS turns SET, ADD and REPLACE into the same compare-and-swap, and
   * appending keeps the item's flags and expiry.
   */
  write(order: WriteOrder): number {
    const written = this.writer.write(order)
    order.clear()
    if (written === STORED) this.loadCas(this.cas)
    return written
  }

  /**
   * Begins a value of largeBytesMin or more, which is appended to what is returned as it arrives.
   * It is stored by a write() of the same key with `received` set to it; that, or abandon(), ends it.
   */
  beginLarge(keyLength: number, valueLength: number): LargeValue {
    return this.receiver.begin(keyLength, valueLength)
  }

  /**
   * The same for a shorter value, if mayBegin() says so. Undefined: it is to be kept elsewhere until it is complete.
   */
  beginArriving(order: WriteOrder): ArrivingValue | undefined {
    return this.receiver.beginArriving(order)
  }

  /** Takes the next bytes of a value, or, without a source, knows that they are in its room(). */
  appendLarge(
    large: ReceivedValue,
    source: Uint8Array | undefined,
    offset: number,
    length: number,
    nowSeconds: number,
  ): boolean {
    return this.receiver.append(large, source, offset, length, nowSeconds)
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
    const extension = this.extender.begin(order, createsMissing)
    order.clear()
    return extension
  }

  /**
   * Fills the next `lengthMax` bytes at most of an extension under way, for the same order, and does
   * the share of the work that a write does. STORED: go on. CHANGED: it is to be begun anew.
   * NO_MEMORY: there is no room. The order is clear again afterwards.
   */
  proceedExtension(extension: LargeExtension, order: WriteOrder, lengthMax: number): number {
    const proceeded = this.extender.proceed(extension, order, lengthMax)
    order.clear()
    return proceeded
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
    const item = this.item
    item.begin(nowSeconds)
    item.useKey(key, keyOffset, keyLength)
    item.noteChange()
    item.lock()
    let result = NOT_FOUND
    if (item.seek()) {
      if ((casHigh | casLow) !== 0 && !item.hasCas(casHigh, casLow)) {
        result = EXISTS
      } else {
        item.unlink()
        result = REMOVED
      }
    }
    item.unlock()
    // With -M what a delete leaves has to be made into room, by the next writes or already now.
    if (!this.evicts && result === REMOVED) this.upkeep.leave(0, nowSeconds)
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
    const { item, numbers } = this
    item.begin(nowSeconds)
    item.useKey(key, keyOffset, keyLength)
    item.noteChange()
    const done = numbers.add(increment, deltaHigh, deltaLow, casHigh, casLow)
    if (done === STORED) {
      this.numberHigh = numbers.decimal.high
      this.numberLow = numbers.decimal.low
      this.loadCas(this.cas)
    }
    return done
  }

  /**
   * Makes all items stored so far dead, now (atSeconds 0) or at the second `atSeconds`: then it is
   * those stored before that instant. A later call replaces a delayed flush that is pending.
   */
  flush(atSeconds: number, nowSeconds: number): void {
    flush(this.parts.control, atSeconds, nowSeconds)
  }

  /**
   * Background work, to be called every second or more often: a due flush, memory of the expired and
   * of the flushed, free segments. Drops about `budget` items, at a few hundred nanoseconds each,
   * and looks at no more than about 16 times as many.
   */
  maintain(nowSeconds: number, budget: number): void {
    this.item.begin(nowSeconds)
    this.upkeep.maintain(nowSeconds, budget)
  }

  /**
   * Sets the limit of the memory, for all workers: true, or false if the segments were not laid out for
   * so much, or if so few cannot do. What is above a lower limit is given back by and by: by writes, each
   * of which does no more than it does in a full store, and by maintain(). With -M that is as much as
   * compacting gains, and until it is enough, writes are refused that need a segment.
   */
  setMemoryLimit(limitBytes: number): boolean {
    return this.upkeep.setMemoryLimit(limitBytes)
  }

  /** The lowest limit that there may be now. */
  get memoryBytesMin(): number {
    return this.upkeep.memoryBytesMin
  }

  /**
   * Whether nothing of this worker's writing is half done. False: large values, or what long values are
   * extended to, are on their way to it and hold segments; ask again when they have been stored or
   * abandoned. Where it is true, all that this worker has written is whole records that slots refer
   * to, and stays so until its next operation.
   *
   * Changes nothing and waits for nobody. That no item is held and no room is reserved is asserted: so
   * it is between any two operations.
   */
  quiesce(): boolean {
    const { log } = this.parts
    assert(!this.item.isHeld, 'a lookup was not released')
    assert(!log.isReserved, 'room is reserved and not used')
    return log.receivingSegments === 0
  }

  /**
   * Shows every live item of up to `bucketCount` buckets to the visitor, each under its stripe lock,
   * with the registers and `scannedKey` set; see ItemVisitor for what that may do. Start with cursor 0 and pass on what is returned, until
   * it is -1. An item that stays all the while is shown at least once, and twice only if its bucket
   * was split in the meantime.
   */
  scan(cursor: number, bucketCount: number, nowSeconds: number, visitor: ItemVisitor): number {
    const { item, scanner } = this
    scanner.begin(cursor, bucketCount, nowSeconds)
    while (scanner.next()) {
      this.loadItem(item)
      this.keyBytes = scanner.copyKey()
      visitor.visitItem(this)
    }
    return scanner.cursor
  }
}
