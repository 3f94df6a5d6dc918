/**
 * Takes the items of a snapshot in, chunk by chunk, a bounded number at a time.
 *
 *     take(chunk) -> step() -> step() -> ... -> step(), false: take the next one -> ... -> end()
 *
 * Invariant: nothing that a chunk says is believed about lengths: what does not fit into it ends the restore
 * with a SnapshotError. Every item is counted, as restored or by why it is not. What has expired by the second
 * of a step is not restored.
 *
 * Two may take in chunks of one snapshot. A large value that comes in several chunks is left to the first one: the
 * second stops before it, and the first goes on there.
 */

import { KEY_BYTES_MAX } from '../base/key-bytes-max.ts'
import { STATE_MASK } from './item.ts'
import type { LargeValue } from './large-value.ts'
import { RestoreOrder, type Restorer, TOGETHER_MAX } from './restorer.ts'
import { CHANGED, EXISTS, STORED } from './result.ts'
import { ageClassOf } from './snapshot-ages.ts'
import {
  CAS_FORM_LARGE,
  CAS_FORM_WIDE,
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
  SnapshotError,
  TRAIT_EXPIRY,
  TRAIT_FLAGS,
  TRAIT_FREQUENCY_SHIFT,
  TRAIT_MAIN,
} from './snapshot-layout.ts'
import type { Store } from './store.ts'

const UINT32_MAX = 0xffff_ffff
/** Of the memory, what items may have that come back: index and open segments take the rest. */
const ITEMS_SHARE = 0.94
const ITEMS_SHARE_NO_EVICTION = 0.88
/** Of smaller items than this the index grows as they come. */
const INDEXED_BYTES_MIN = 64
/** Of a record: expiry, flags and the upper word of its CAS. */
const WORDS_BYTES_MAX = 12
/** What an item takes in the index. */
const SLOT_BYTES = 10

/** What became of the items of a snapshot. */
export interface RestoreCounts {
  restored: number
  /** Its time was over, or nobody can tell whether it is. */
  expired: number
  /** Clients had changed it meanwhile, or flushed it. */
  superseded: number
  /** There was no room for it, or its namespace is no more. */
  dropped: number
}

export function noCounts(): RestoreCounts {
  return { restored: 0, expired: 0, superseded: 0, dropped: 0 }
}

/** How seconds of the snapshot are to be understood here. */
export interface TimeShift {
  /** To be added to each. */
  readonly seconds: number
  /** False: nobody knows how long ago it was written, so nothing comes back that expires. */
  readonly isKnown: boolean
  /** When it was written, in the snapshot's own seconds. */
  readonly writtenSeconds: number
}

export interface IntakeTarget {
  readonly store: Store
  readonly restorer: Restorer
  readonly memoryBytes: number
  readonly evicts: boolean
  /** Of the snapshot: bytes of items by the class of their age, and how many items there are. */
  readonly ageBytes: ArrayLike<number>
  readonly itemCount: number
}

/** Which part of the items has room: those of classes below `ageClass`, and so many bytes of that one. */
interface Share {
  readonly ageClass: number
  bytesLeft: number
}

export class SnapshotIntake {
  readonly counts: RestoreCounts = noCounts()
  /** By their place in the summary; undefined where there is no such namespace any more. */
  private readonly targets: (IntakeTarget | undefined)[]
  private readonly shares: (Share | undefined)[]
  private readonly shift: TimeShift
  private readonly order: RestoreOrder = new RestoreOrder()
  /** Of the items that come together. */
  private readonly orders: RestoreOrder[] = []
  private payload: Uint8Array = new Uint8Array(0)
  private view: DataView = new DataView(this.payload.buffer)
  private at = 0
  private end = 0
  private readonly takesLarge: boolean
  private target: IntakeTarget | undefined = undefined
  private share: Share | undefined = undefined
  /** The large value whose pieces are expected; undefined with `isLarge`: it is not wanted. */
  private large: LargeValue | undefined = undefined
  private isLarge = false
  private largeBytesLeft = 0
  private readonly largeKey: Uint8Array = new Uint8Array(KEY_BYTES_MAX)

  constructor(
    targets: readonly (IntakeTarget | undefined)[],
    shift: TimeShift,
    takesLarge: boolean = true,
  ) {
    this.takesLarge = takesLarge
    for (let place = 0; place < TOGETHER_MAX; place++) this.orders.push(new RestoreOrder())
    this.targets = [...targets]
    this.shares = targets.map((target) => (target === undefined ? undefined : shareOf(target)))
    this.shift = shift
  }

  /** Whether all has room. If not, what is left out is counted as it comes, by one alone. */
  get hasRoomForAll(): boolean {
    return this.shares.every((share) => share === undefined)
  }

  /** Whether the next chunk has to be a piece of a large value. */
  get awaitsPiece(): boolean {
    return this.isLarge
  }

  /** Where in the chunk it is: at its end if all is taken. */
  get position(): number {
    return this.at
  }

  /** A namespace is no more. */
  forget(store: Store): void {
    const place = this.targets.findIndex((target) => target?.store === store)
    if (place < 0) return
    if (this.target?.store === store) {
      this.large?.abandon()
      this.large = undefined
      this.target = undefined
    }
    this.targets[place] = undefined
  }

  /** Makes room in the indexes for what comes, before anything does; false if that is done. */
  prepare(): boolean {
    let goesOn = false
    for (const target of this.targets) {
      if (target === undefined) continue
      const items = Math.min(target.itemCount, target.memoryBytes / INDEXED_BYTES_MIN)
      if (target.restorer.growIndex(items)) goesOn = true
    }
    return goesOn
  }

  /** The next chunk, whose bytes stay as they are until step() says that it is done. `from`: where the other one stopped. */
  take(payload: Uint8Array, length: number, from: number = CHUNK_HEADER_BYTES): void {
    const [kind, place] = payload
    if (length < CHUNK_HEADER_BYTES || (kind !== CHUNK_ITEMS && kind !== CHUNK_PIECE)) {
      throw new SnapshotError('a chunk of an unknown kind')
    }
    if (this.isLarge !== (kind === CHUNK_PIECE)) {
      throw new SnapshotError('the pieces of a large value are not where they should be')
    }
    if (place! >= this.targets.length) throw new SnapshotError('a chunk of no namespace')
    this.payload = payload
    this.view = new DataView(payload.buffer, payload.byteOffset, length)
    this.at = from
    this.end = length
    if (kind === CHUNK_PIECE) return
    this.target = this.targets[place!]
    this.share = this.shares[place!]
  }

  /** Restores up to `count` items; false if the chunk is done, or the next item is not for this one. */
  step(count: number, nowSeconds: number): boolean {
    if (this.payload[0] === CHUNK_PIECE) {
      this.takePiece(nowSeconds)
      return false
    }
    let left = count
    while (left > 0 && this.at < this.end) {
      const taken = this.takeTogether(Math.min(left, TOGETHER_MAX), nowSeconds)
      left -= taken
      if (taken > 0) continue
      if (!this.takeRecord(nowSeconds)) return false
      left--
    }
    return this.at < this.end
  }

  /** Restores as many of the next records as are whole, small and well formed, `countMax` at most. */
  private takeTogether(countMax: number, nowSeconds: number): number {
    const { target, orders, counts } = this
    if (target === undefined) return 0
    let taken = 0
    let wanted = 0
    for (; taken < countMax && this.isSmall(target); taken++) {
      const order = orders[wanted]!
      this.decode(order, nowSeconds)
      if (order.expiry !== 0 && order.expiry <= nowSeconds) counts.expired++
      else if (!this.hasShare(order)) counts.dropped++
      else wanted++
    }
    const { restorer } = target
    restorer.warm(orders, wanted)
    for (let place = 0; place < wanted; place++) {
      this.count(restorer.restoreWarm(orders[place]!, place))
    }
    return taken
  }

  /** Whether the next record is whole in this chunk, and its value is not stored in segments of its own. */
  private isSmall({ store }: IntakeTarget): boolean {
    const { view, payload, at, end } = this
    if (end - at < RECORD_HEADER_BYTES + WORDS_BYTES_MAX) return false
    const valueLength = view.getUint32(at, true)
    const keyLength = payload[at + RECORD_KEY_LENGTH]!
    return (
      valueLength < store.largeBytesMin &&
      (payload[at + RECORD_CAS_FORM]! & CAS_FORM_LARGE) === 0 &&
      keyLength > 0 &&
      keyLength <= KEY_BYTES_MAX &&
      at + RECORD_HEADER_BYTES + WORDS_BYTES_MAX + keyLength + valueLength <= end
    )
  }

  /** Nothing more comes; false if something of a value is missing. */
  close(): boolean {
    this.large?.abandon()
    this.large = undefined
    return !this.isLarge
  }

  /** False: it is a large one, and left to the other. */
  private takeRecord(nowSeconds: number): boolean {
    const { order, counts, at } = this
    const isLarge = this.decode(order, nowSeconds)
    if (isLarge && !this.takesLarge) {
      this.at = at
      return false
    }
    if (isLarge) {
      if (this.at !== this.end) throw new SnapshotError('records behind a large one')
      this.isLarge = true
      this.largeBytesLeft = order.valueLength
    }
    const { target } = this
    if (target === undefined) counts.dropped++
    else if (order.expiry !== 0 && order.expiry <= nowSeconds) counts.expired++
    else if (!this.hasShare(order)) counts.dropped++
    else if (isLarge || order.valueLength >= target.store.largeBytesMin)
      this.beginLarge(target, isLarge)
    else this.count(target.restorer.restore(order))
    return true
  }

  /** Fills the order; its expiry is `nowSeconds` if its time is over. True for a record without its value. */
  private decode(order: RestoreOrder, nowSeconds: number): boolean {
    const { view, payload, at } = this
    if (this.end - at < RECORD_HEADER_BYTES) throw new SnapshotError('a record is cut off')
    const valueLength = view.getUint32(at, true)
    const keyLength = payload[at + RECORD_KEY_LENGTH]!
    const traits = payload[at + RECORD_TRAITS]!
    const form = payload[at + RECORD_CAS_FORM]!
    const isLarge = (form & CAS_FORM_LARGE) !== 0
    const words = (traits >>> 7) + ((traits >>> 6) & 1) + (form & CAS_FORM_WIDE)
    const keyAt = at + RECORD_HEADER_BYTES + 4 * words
    const next = keyAt + keyLength + (isLarge ? 0 : valueLength)
    if (keyLength === 0 || keyLength > KEY_BYTES_MAX || next > this.end) {
      throw new SnapshotError('a record of a wrong length')
    }
    let wordAt = at + RECORD_HEADER_BYTES
    order.expiry = 0
    if ((traits & TRAIT_EXPIRY) !== 0) {
      order.expiry = this.expiryHere(view.getUint32(wordAt, true), nowSeconds)
      wordAt += 4
    }
    order.flags = 0
    if ((traits & TRAIT_FLAGS) !== 0) {
      order.flags = view.getUint32(wordAt, true)
      wordAt += 4
    }
    order.givenCasHigh = payload[at + RECORD_CAS_MIDDLE]!
    if ((form & CAS_FORM_WIDE) !== 0) order.givenCasHigh = view.getUint32(wordAt, true)
    order.givenCasLow = view.getUint32(at + RECORD_CAS_LOW, true)
    const lastAccess = view.getUint32(at + RECORD_LAST_ACCESS, true) + this.shift.seconds
    order.lastAccess = Math.max(0, Math.min(lastAccess, nowSeconds))
    order.state = traits & STATE_MASK
    order.frequency = (traits >>> TRAIT_FREQUENCY_SHIFT) & 3
    order.isMain = (traits & TRAIT_MAIN) !== 0
    order.nowSeconds = nowSeconds
    order.setKey(payload, keyAt, keyLength)
    order.setValue(payload, keyAt + keyLength, valueLength)
    this.at = next
    return isLarge
  }

  private expiryHere(expiry: number, nowSeconds: number): number {
    const { seconds, isKnown } = this.shift
    if (!isKnown) return nowSeconds
    return Math.max(1, Math.min(expiry + seconds, UINT32_MAX))
  }

  /** Whether the item is of the part that has room. */
  private hasShare(order: RestoreOrder): boolean {
    const { share, shift } = this
    if (share === undefined) return true
    const age = ageClassOf(shift.writtenSeconds + shift.seconds - order.lastAccess)
    if (age !== share.ageClass) return age < share.ageClass
    share.bytesLeft -= order.keyLength + order.valueLength + RECORD_HEADER_BYTES + SLOT_BYTES
    return share.bytesLeft >= 0
  }

  /** Begins a value that is stored in segments of its own: its bytes are here, or in pieces to come. */
  private beginLarge(target: IntakeTarget, isInPieces: boolean): void {
    const { order } = this
    const { keyLength, valueLength } = order
    if (!target.restorer.hasRoomFor(keyLength, valueLength)) {
      this.counts.dropped++
      return
    }
    const large = target.store.beginLarge(keyLength, valueLength)
    if (isInPieces) {
      this.largeKey.set(order.key.subarray(order.keyOffset, order.keyOffset + keyLength))
      order.setKey(this.largeKey, 0, keyLength)
      this.large = large
    } else this.append(target, large, order.value, order.valueOffset, valueLength)
  }

  /** Appends to a large value, and restores it if that was all of it. */
  private append(
    target: IntakeTarget,
    large: LargeValue,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): void {
    const { order } = this
    if (!target.store.appendLarge(large, bytes, offset, length, order.nowSeconds)) {
      this.large = undefined
      this.counts.dropped++
    } else if (large.missingBytes === 0) {
      this.large = undefined
      const isExpired = order.expiry !== 0 && order.expiry <= order.nowSeconds
      if (!isExpired) this.count(target.restorer.restoreReceived(order, large))
      else {
        large.abandon()
        this.counts.expired++
      }
    }
  }

  private takePiece(nowSeconds: number): void {
    const { payload, order, large, target } = this
    const ending = payload[2]!
    const length = this.end - CHUNK_HEADER_BYTES
    if (ending === PIECE_ABANDONED) {
      this.isLarge = false
      if (large !== undefined) this.counts.superseded++
      large?.abandon()
      this.large = undefined
      return
    }
    this.largeBytesLeft -= length
    const isLast = ending === PIECE_LAST
    if (
      length === 0 ||
      (!isLast && ending !== PIECE_CONTINUES) ||
      this.largeBytesLeft < 0 ||
      isLast !== (this.largeBytesLeft === 0)
    ) {
      throw new SnapshotError('a large value of a wrong length')
    }
    if (isLast) this.isLarge = false
    if (large === undefined || target === undefined) return
    order.nowSeconds = nowSeconds
    this.append(target, large, payload, CHUNK_HEADER_BYTES, length)
  }

  private count(result: number): void {
    const { counts } = this
    if (result === STORED) counts.restored++
    else if (result === EXISTS || result === CHANGED) counts.superseded++
    else counts.dropped++
  }
}

/** Undefined: there is room for all. */
function shareOf(target: IntakeTarget): Share | undefined {
  const { ageBytes, itemCount, memoryBytes, evicts } = target
  let total = itemCount * SLOT_BYTES
  for (let age = 0; age < ageBytes.length; age++) total += ageBytes[age]!
  const room = memoryBytes * (evicts ? ITEMS_SHARE : ITEMS_SHARE_NO_EVICTION)
  if (total <= room) return undefined
  let left = room
  const indexShare = (itemCount * SLOT_BYTES) / total
  for (let age = 0; age < ageBytes.length; age++) {
    // Slots are shared out as if all items were of one size.
    const bytes = ageBytes[age]! / (1 - indexShare)
    if (bytes > left) return { ageClass: age, bytesLeft: left }
    left -= bytes
  }
  return undefined
}
