/**
 * Hot path. Copies of items that are read often, in the memory of one thread of the gate, so that such reads do not reach
 * the nodes (docs/cluster.md, "Near cache").
 *
 *     read often -> filling -> held -> dropped: changed here (write-stripes.ts), the node said so, tracking is over
 *        (read, tracked)  `------------`         (tracking.ts), too old, expired, flushed, or others need the room
 *
 * Invariants: a copy is shown only if, since before its read was sent, nobody changed the item through this gate, the
 * node has said nothing of its key, the connection has tracked all along, and less time has passed than
 * `ttlMs` and than the item had. What it was of is compared whole, with its namespace and generation; an item that is
 * stale, or has a winner to be chosen, is never held, as reading it changes it. All that is held, and what is filling, is
 * counted, and within `bytesMax`.
 *
 * A table of sets, each of WAYS places; who comes to a full set takes the place that was not read lately.
 */
import { COUNTER } from '../../observe/counters.ts'
import type { Generation } from '../../remote/generation.ts'
import {
  HEAD_BYTES,
  HEAD_STALE,
  HEAD_WIN_SENT,
  headStateOf,
  isItem,
} from '../../remote/item-head.ts'
import type { CopyKeeper } from '../../remote/tracking.ts'
import { NearEntry, PLACE_BYTES } from './near-entry.ts'
import { ReadSketch } from './read-sketch.ts'
import { RecentChanges } from './recent-changes.ts'
import { NO_VERSION, type WriteStripes } from './write-stripes.ts'

/** So many reads make a key hot; the count is halved each time that HALVE_MS are over. */
export const HOT_READS = 8
export const HALVE_MS = 500
/**
 * A key that was changed lately is hot if it was read so many times as often: where fewer reads are answered here, those that
 * are not go to the nodes in smaller company, and cost more than was saved (test/bench/README.md).
 */
export const READS_A_CHANGE = 64
/** A copy takes three commands and a message; where it has answered fewer reads, its key gets none for a while. */
export const WORTH_HITS = 8
export const BARREN_MS = 500
/** The largest copy, also in a large cache. */
export const COPY_BYTES_MAX: number = 64 * 1024
/** No copy takes more of the whole. */
const COPIES_MIN = 16
const WAYS = 4
const PLACES_MAX = 65_536
const COLON = 0x3a
/** As PTTL answers. */
const NO_EXPIRY = -1

export interface NearCacheOptions {
  /** Of this thread. */
  readonly bytesMax: number
  readonly ttlMs: number
  readonly stripes: WriteStripes
  readonly lane: Float64Array
  readonly clock: { nowMs(): number }
  /** A node does not track. */
  readonly onRefusal: (error: Error) => void
}

export class NearCache implements CopyKeeper {
  readonly stripes: WriteStripes
  private readonly options: NearCacheOptions
  private readonly lane: Float64Array
  private readonly copyBytesMax: number
  private readonly sketch: ReadSketch = new ReadSketch()
  private readonly changes: RecentChanges
  private readonly places: (NearEntry | undefined)[]
  private readonly setMask: number
  private bytes = 0
  /** Where the next one is looked for that has to go. */
  private hand = 0
  /** Of the last find(), for fill(), which comes behind it or not at all. */
  private hash = 0
  private isHot = false

  constructor(options: NearCacheOptions) {
    const { bytesMax, stripes, lane } = options
    this.options = options
    this.stripes = stripes
    this.changes = new RecentChanges(stripes)
    this.lane = lane
    this.copyBytesMax = Math.min(COPY_BYTES_MAX, Math.floor(bytesMax / COPIES_MIN))
    const places = Math.min(PLACES_MAX, Math.max(WAYS, bytesMax / PLACE_BYTES))
    const sets = 2 ** Math.floor(Math.log2(places / WAYS))
    this.setMask = sets - 1
    this.places = new Array<NearEntry | undefined>(sets * WAYS).fill(undefined)
  }

  /**
   * The copy of the item of a key, of which `generation` is confirmed; undefined: there is none. Whoever then asks the
   * engine calls fill() first.
   */
  find(
    generation: Generation,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): Buffer | undefined {
    const { lane, stripes, sketch, changes } = this
    const hash = stripes.hash(bytes, offset, length)
    this.hash = hash
    const reads = sketch.count(hash)
    this.isHot = reads >= HOT_READS && reads >= READS_A_CHANGE * changes.count(hash)
    const place = this.placeOf(hash, generation, bytes, offset, length)
    if (place >= 0) {
      const entry = this.places[place]!
      if (entry.item !== undefined) {
        if (this.isTrue(entry, generation.usedMs)) {
          entry.hits++
          this.isHot = false
          lane[COUNTER.near_hits]!++
          return entry.item
        }
        this.dropFalse(place, entry, generation.usedMs)
      }
      if (this.places[place]?.holdsOff(generation.usedMs)) this.isHot = false
    }
    lane[COUNTER.near_misses]!++
    return undefined
  }

  /** After find() has found nothing: what is to go with the read, if the key is hot. `engineKey`: as it is sent. */
  fill(generation: Generation, engineKey: Buffer): NearEntry | undefined {
    if (!this.isHot) return undefined
    this.isHot = false
    const { hash, stripes } = this
    const version = stripes.capture(hash)
    if (version === NO_VERSION) return undefined
    const entry = new NearEntry(this, generation, engineKey, hash, version, generation.usedMs)
    this.put(entry)
    return entry
  }

  private put(entry: NearEntry): void {
    const { places } = this
    const first = (entry.hash & this.setMask) * WAYS
    let chosen = -1
    for (let place = first; place < first + WAYS; place++) {
      const other = places[place]
      if (other === undefined) {
        if (chosen < 0) chosen = place
      } else if (other.hash === entry.hash && other.key.equals(entry.key)) {
        chosen = place
        break
      }
    }
    if (chosen < 0) chosen = this.leastReadOf(first)
    this.clear(chosen)
    entry.place = chosen
    places[chosen] = entry
    this.add(entry.ownBytes)
    this.makeRoom(chosen)
  }

  /** Of a full set. Each that stays has to be read again to stay once more. */
  private leastReadOf(first: number): number {
    const { places } = this
    let chosen = first
    for (let place = first + 1; place < first + WAYS; place++) {
      if (places[place]!.hits < places[chosen]!.hits) chosen = place
    }
    for (let place = first; place < first + WAYS; place++) places[place]!.hits >>>= 1
    return chosen
  }

  /** What came for a read that was sent with `entry`, and the milliseconds that its item has left. */
  keep(entry: NearEntry, reply: unknown, leftMs: number): void {
    if (this.places[entry.place] !== entry) return
    const { ttlMs } = this.options
    const { sentMs } = entry
    if (!isItem(reply) || !isPlain(reply) || entry.ownBytes + reply.length > this.copyBytesMax) {
      entry.holdOff(sentMs + ttlMs)
      return
    }
    if (entry.version !== this.stripes.version(entry.hash)) {
      entry.holdOff(sentMs + BARREN_MS)
      return
    }
    if (!entry.isTracked || !(leftMs >= 0 || leftMs === NO_EXPIRY)) {
      this.clear(entry.place)
      return
    }
    entry.untilMs = sentMs + (leftMs === NO_EXPIRY ? ttlMs : Math.min(ttlMs, leftMs))
    // Out of the block that it came in, which it would keep from being freed.
    const item = Buffer.allocUnsafeSlow(reply.length)
    reply.copy(item)
    entry.item = item
    this.lane[COUNTER.near_entries]!++
    this.add(item.length)
    this.makeRoom(entry.place)
  }

  /** Nothing came for it, or nothing that was tracked. */
  abandon(entry: NearEntry): void {
    if (this.places[entry.place] === entry) this.clear(entry.place)
  }

  invalidated(key: Buffer): void {
    let offset = 0
    for (let colons = 0; colons < 3; colons++) offset = key.indexOf(COLON, offset) + 1
    const hash = this.stripes.hash(key, offset, key.length - offset)
    const first = (hash & this.setMask) * WAYS
    for (let place = first; place < first + WAYS; place++) {
      const entry = this.places[place]
      if (entry !== undefined && entry.hash === hash && entry.key.equals(key)) {
        // What comes while it is being read may tell of the change before, by this gate.
        const isElsewhere = !entry.isFilling && entry.version === this.stripes.version(hash)
        if (isElsewhere) this.changes.changedElsewhere(hash)
        this.changed(place, entry, this.options.clock.nowMs())
      }
    }
  }

  refused(error: Error): void {
    this.options.onRefusal(error)
  }

  /** To be called every HALVE_MS: what was read and changed once counts for less, and what is shown no more goes. */
  tick(): void {
    this.sketch.halve()
    this.changes.halve()
    const nowMs = this.options.clock.nowMs()
    for (let place = 0; place < this.places.length; place++) {
      const entry = this.places[place]
      if (entry === undefined || entry.isFilling) continue
      if (entry.item === undefined ? !entry.holdsOff(nowMs) : !this.isTrue(entry, nowMs)) {
        if (entry.item !== undefined && !entry.isTracked) this.lane[COUNTER.near_drops]!++
        this.clear(place)
      }
    }
  }

  private placeOf(
    hash: number,
    generation: Generation,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): number {
    const { places } = this
    const first = (hash & this.setMask) * WAYS
    for (let place = first; place < first + WAYS; place++) {
      const entry = places[place]
      if (entry !== undefined && entry.hash === hash) {
        if (entry.isOf(generation, bytes, offset, length)) return place
      }
    }
    return -1
  }

  private isTrue(entry: NearEntry, nowMs: number): boolean {
    const { version, hash, untilMs, isTracked } = entry
    return nowMs < untilMs && isTracked && version === this.stripes.version(hash)
  }

  /** It has an item that is to be shown no more. */
  private dropFalse(place: number, entry: NearEntry, nowMs: number): void {
    if (!entry.isTracked) {
      this.lane[COUNTER.near_drops]!++
      this.clear(place)
    } else if (entry.version !== this.stripes.version(entry.hash)) this.changed(place, entry, nowMs)
    else this.clear(place)
  }

  /** Somebody has changed the item: what is changed as often as it is read gets no copy for a while. */
  private changed(place: number, entry: NearEntry, nowMs: number): void {
    const isWorth = entry.hits >= WORTH_HITS
    this.lane[COUNTER.near_invalidations]!++
    this.clear(place)
    if (isWorth) return
    entry.holdOff(nowMs + BARREN_MS)
    this.places[place] = entry
    this.add(entry.ownBytes)
  }

  private add(bytes: number): void {
    this.bytes += bytes
    this.lane[COUNTER.near_bytes] = this.bytes
  }

  private clear(place: number): void {
    const entry = this.places[place]
    if (entry === undefined) return
    this.places[place] = undefined
    const { item } = entry
    let bytes = entry.ownBytes
    if (item !== undefined) {
      bytes += item.length
      entry.item = undefined
      this.lane[COUNTER.near_entries]!--
    }
    this.add(-bytes)
  }

  /** Others go until all is within the bound; `kept` stays. */
  private makeRoom(kept: number): void {
    const { places } = this
    const { bytesMax } = this.options
    while (this.bytes > bytesMax) {
      const place = this.hand
      this.hand = (place + 1) % places.length
      const entry = places[place]
      if (entry === undefined || place === kept) continue
      if (entry.hits > 0 && entry.item !== undefined) entry.hits >>>= 1
      else this.clear(place)
    }
  }
}

/** Reading it changes nothing. */
function isPlain(item: Buffer): boolean {
  return item.length >= HEAD_BYTES && (headStateOf(item) & (HEAD_STALE | HEAD_WIN_SENT)) === 0
}
