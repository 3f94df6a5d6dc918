/**
 * Writes the items of one namespace down, a bounded number at a time, while clients may go on.
 *
 *     step() -> the sink gets no chunk, or some -> step() -> ... -> step(), false: all have been shown
 *
 * Invariant: while a stripe is held, bytes are copied into the chunk at hand and nothing else is done: no
 * chunk is handed out, and of no value more than PIECE_BYTES_MAX is copied. Items that do not fit into what is
 * left of the chunk are put aside, and looked up again when the scan has let go; of a value that takes several pieces each is
 * copied only if the item is still the same.
 */
import { HIT } from './result.ts'
import { AGE_CLASSES, ageClassOf } from './snapshot-ages.ts'
import {
  CAS_FORM_LARGE,
  CAS_FORM_WIDE,
  CHUNK_BYTES_MAX,
  CHUNK_HEADER_BYTES,
  CHUNK_ITEMS,
  CHUNK_PIECE,
  PIECE_ABANDONED,
  PIECE_CONTINUES,
  PIECE_LAST,
  RECORD_CAS_FORM,
  RECORD_CAS_LOW,
  RECORD_CAS_MIDDLE,
  RECORD_HEADER_BYTES,
  RECORD_KEY_LENGTH,
  RECORD_LAST_ACCESS,
  RECORD_TRAITS,
  TRAIT_EXPIRY,
  TRAIT_FLAGS,
  TRAIT_FREQUENCY_SHIFT,
  TRAIT_MAIN,
} from './snapshot-layout.ts'
import type { ItemVisitor, Store } from './store.ts'

/** Buckets of the index in one step: some 130 items. */
const STEP_BUCKETS = 16
/** What is copied under a stripe at most. Also the longest value that is not in pieces. */
export const PIECE_BYTES_MAX: number = 512 * 1024
/** A chunk that has so much is handed out: the rest is room for what a step may find. */
const CHUNK_BYTES_FULL: number = CHUNK_BYTES_MAX / 2
/** Longer records are put aside. */
const RECORD_BYTES_MAX: number = 64 * 1024
/** Words behind the header of a record: expiry, flags, CAS. */
const OPTIONAL_BYTES_MAX = 12

/** Takes a chunk; its bytes are written over when it returns. */
export type ChunkSink = (payload: Uint8Array, length: number) => void

/** A large value of which pieces are still to be copied. */
interface LargeCopy {
  readonly key: Uint8Array
  readonly location: number
  readonly sequence: number
  readonly casHigh: number
  readonly casLow: number
  readonly valueBytes: number
  copiedBytes: number
}

export class SnapshotWalk implements ItemVisitor {
  /** What was written down so far. */
  itemCount = 0
  itemBytes = 0
  /** Bytes of items, by how long ago they were read. */
  readonly ageBytes: Float64Array = new Float64Array(AGE_CLASSES)
  private readonly store: Store
  private readonly namespace: number
  private readonly writtenSeconds: number
  private readonly sink: ChunkSink
  private readonly payload: Uint8Array = new Uint8Array(CHUNK_BYTES_MAX)
  private readonly view: DataView = new DataView(this.payload.buffer)
  private used = 0
  private cursor = 0
  private nowSeconds = 0
  private aside: Uint8Array[] = []
  private large: LargeCopy | undefined = undefined

  /** `namespace` is its place in the summary; ages count from `writtenSeconds`. */
  constructor(store: Store, namespace: number, writtenSeconds: number, sink: ChunkSink) {
    this.writtenSeconds = writtenSeconds
    this.store = store
    this.namespace = namespace
    this.sink = sink
    this.beginChunk(CHUNK_ITEMS)
  }

  /** The next bucket of the index, -1 after the last: how far it is. */
  get bucket(): number {
    return this.cursor
  }

  /** Writes some more; false if that was all. */
  step(nowSeconds: number): boolean {
    this.nowSeconds = nowSeconds
    if (this.large !== undefined) {
      this.copyPiece(this.large)
      return true
    }
    const key = this.aside.pop()
    if (key !== undefined) {
      this.writeAside(key)
      return true
    }
    if (this.cursor < 0) {
      this.handOut(CHUNK_ITEMS)
      return false
    }
    this.cursor = this.store.scan(this.cursor, STEP_BUCKETS, nowSeconds, this)
    if (this.used >= CHUNK_BYTES_FULL) this.handOut(CHUNK_ITEMS)
    return true
  }

  /** See ItemVisitor. */
  visitItem(store: Store): void {
    const recordBytes = RECORD_HEADER_BYTES + OPTIONAL_BYTES_MAX + store.keyBytes + store.valueBytes
    if (recordBytes > RECORD_BYTES_MAX || recordBytes > CHUNK_BYTES_MAX - this.used) {
      this.aside.push(store.scannedKey.slice(0, store.keyBytes))
      return
    }
    this.writeHeader(store.scannedKey, store.keyBytes, 0)
    store.copyValue(this.payload, this.used)
    this.used += store.valueBytes
  }

  private writeAside(key: Uint8Array): void {
    const { store } = this
    this.handOut(CHUNK_ITEMS)
    if (store.lookup(key, 0, key.length, this.nowSeconds) !== HIT) return
    const isWhole = store.valueBytes <= PIECE_BYTES_MAX
    this.writeHeader(key, key.length, isWhole ? 0 : CAS_FORM_LARGE)
    if (isWhole) {
      store.copyValue(this.payload, this.used)
      this.used += store.valueBytes
      store.release()
      return
    }
    const { valueBytes, casHigh, casLow, heldLocation: location, heldSequence: sequence } = store
    store.release()
    this.large = { key, location, sequence, casHigh, casLow, valueBytes, copiedBytes: 0 }
    this.handOut(CHUNK_PIECE)
  }

  private copyPiece(large: LargeCopy): void {
    const { store } = this
    const { key, valueBytes, copiedBytes } = large
    const isFound = store.lookup(key, 0, key.length, this.nowSeconds) === HIT
    const isSame =
      isFound &&
      store.heldLocation === large.location &&
      store.heldSequence === large.sequence &&
      store.casHigh === large.casHigh &&
      store.casLow === large.casLow &&
      store.valueBytes === valueBytes
    const length = Math.min(valueBytes - copiedBytes, PIECE_BYTES_MAX)
    if (isSame) {
      store.copyValueRange(copiedBytes, length, this.payload, this.used)
      this.used += length
    }
    if (isFound) store.release()
    large.copiedBytes += length
    const isLast = large.copiedBytes === valueBytes
    this.payload[2] = !isSame ? PIECE_ABANDONED : isLast ? PIECE_LAST : PIECE_CONTINUES
    if (!isSame || isLast) this.large = undefined
    this.handOut(this.large === undefined ? CHUNK_ITEMS : CHUNK_PIECE)
  }

  /** Writes all but the value of the item that is held, and counts it. */
  private writeHeader(key: Uint8Array, keyLength: number, form: number): void {
    const { store, view, payload } = this
    const at = this.used
    const isWide = store.casHigh > 0xff
    view.setUint32(at, store.valueBytes, true)
    payload[at + RECORD_KEY_LENGTH] = keyLength
    payload[at + RECORD_TRAITS] =
      store.state |
      (store.heldFrequency << TRAIT_FREQUENCY_SHIFT) |
      (store.heldIsMain ? TRAIT_MAIN : 0) |
      (store.expiry !== 0 ? TRAIT_EXPIRY : 0) |
      (store.flags !== 0 ? TRAIT_FLAGS : 0)
    payload[at + RECORD_CAS_FORM] = form | (isWide ? CAS_FORM_WIDE : 0)
    payload[at + RECORD_CAS_MIDDLE] = isWide ? 0 : store.casHigh
    view.setUint32(at + RECORD_CAS_LOW, store.casLow, true)
    view.setUint32(at + RECORD_LAST_ACCESS, store.lastAccess, true)
    let next = at + RECORD_HEADER_BYTES
    if (store.expiry !== 0) {
      view.setUint32(next, store.expiry, true)
      next += 4
    }
    if (store.flags !== 0) {
      view.setUint32(next, store.flags, true)
      next += 4
    }
    if (isWide) {
      view.setUint32(next, store.casHigh, true)
      next += 4
    }
    for (let index = 0; index < keyLength; index++) payload[next + index] = key[index]!
    this.used = next + keyLength
    this.itemCount++
    this.itemBytes += store.itemBytes
    const age = ageClassOf(this.writtenSeconds - store.lastAccess)
    this.ageBytes[age] = this.ageBytes[age]! + store.itemBytes
  }

  /** Hands the chunk out, unless nothing is in it, and begins one of that kind. */
  private handOut(nextKind: number): void {
    const { used, payload } = this
    const isEmpty = used === CHUNK_HEADER_BYTES && payload[0] === CHUNK_ITEMS
    if (!isEmpty) this.sink(payload, used)
    this.beginChunk(nextKind)
  }

  private beginChunk(kind: number): void {
    const { payload } = this
    payload[0] = kind
    payload[1] = this.namespace
    payload[2] = 0
    payload[3] = 0
    this.used = CHUNK_HEADER_BYTES
  }
}
