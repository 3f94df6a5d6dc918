/**
 * One worker's side of the watch log: it writes the events of its worker into its ring, and reads
 * all rings while it has watchers. What the shared memory looks like is in watch-memory.ts.
 *
 * Nobody watching costs a request one look at `observed`; all else here runs only while somebody
 * does. A record is 40 bytes and its key, padded to 8:
 *
 *     word   31                                              0
 *           +-------------------------------------------------+
 *       0   |  namespace  |     length in units of 8 bytes    |
 *       1   |    connection; all ones: filler up to the end   |
 *       2,3 |          time, a double, in microseconds        |
 *       4,5 |            number of the event, a double        |
 *       6   |                 size of the value               |
 *       7   |              time to live, seconds              |
 *       8   |             seconds since last access           |
 *       9   |  key length |   kind    |  command  |  status   |
 *           +-------------------------------------------------+
 *       10.. the key, or for a connection its peer
 *
 * Invariant: a record becomes visible to readers only when it is complete: `written` moves last.
 */
import { COUNTER } from './counters.ts'
import {
  EVENT_ID_INDEX,
  gatherWanted,
  NAMESPACE_WORDS,
  NAMESPACES_VERSION_WORD,
  OBSERVED_WORD,
  UNIT_BYTES,
  WATCHER_COUNT_WORDS,
  type WatchMemory,
  WORKER_CURSORS,
  WORKER_NAMESPACES,
  WORKER_WANTED,
  WORKER_WRITTEN,
  workerWord,
} from './watch-memory.ts'

export const WATCH_RECORD_HEADER_BYTES = 40
const RECORD_KEY_BYTES_MAX = 255
/** Rings have fewer units than these bits count. */
const UNITS_MASK = 0xff_ffff
const NAMESPACE_SHIFT = 24
const FILLER = 0xffffffff
/** Of the users of the default namespace: as many as memcached has for all. */
export const WATCHERS_MAX = 20
/**
 * Of those of each other namespace. Places of their own, or the users of one could keep those of another out,
 * and could see by a refusal that others watch.
 */
export const TENANT_WATCHERS_MAX = 4
/**
 * What one drain takes, of all rings together. It runs within turns of connections: what waits in the rings of all
 * workers, which go on writing meanwhile, must hold none of them up.
 */
export const DRAIN_RECORDS_MAX = 256
const RECORD_UNITS_MAX = Math.ceil((WATCH_RECORD_HEADER_BYTES + RECORD_KEY_BYTES_MAX) / UNIT_BYTES)
const DEFAULT_ALONE = [0]

/** An event as it is written and read; one record is reused for all. */
export class WatchRecord {
  kind = 0
  /** Whose event it is: 0 to 255. */
  namespace = 0
  connectionId = 0
  timeMicros = 0
  eventId = 0
  valueBytes = 0
  ttlSeconds = 0
  idleSeconds = 0
  command = 0
  status = 0
  key: Uint8Array = new Uint8Array(RECORD_KEY_BYTES_MAX)
  keyLength = 0
}

export class WatchLog {
  /** Word OBSERVED_WORD of it is 0 while nobody watches and no prefixes are counted. */
  readonly observed: Int32Array
  /** What `write` writes. */
  readonly record: WatchRecord = new WatchRecord()

  private readonly eventIds: BigInt64Array
  private readonly rings: readonly DataView[]
  private readonly bytes: readonly Uint8Array[]
  private readonly ringUnits: number
  private readonly workerCount: number
  private readonly workerIndex: number
  private readonly lane: Float64Array
  private readonly nowMicros: () => number
  private readonly read: WatchRecord = new WatchRecord()
  /** The namespaces that anybody watches, as of this version, and what each may have in a ring. */
  private readonly watched: Int32Array = new Int32Array(NAMESPACE_WORDS)
  private watchedVersion = -1
  private shareUnits: number
  /** What each namespace has in the own ring from here on; every reader has read what is before. */
  private readonly unreadOf: Uint32Array = new Uint32Array(32 * NAMESPACE_WORDS)
  private retired = 0
  /** The ring that the next drain begins with. */
  private nextWriter = 0

  /** `nowMicros`: Unix time in microseconds. */
  constructor(
    memory: WatchMemory,
    workerIndex: number,
    lane: Float64Array,
    nowMicros: () => number,
  ) {
    this.observed = new Int32Array(memory.control)
    this.eventIds = new BigInt64Array(memory.control, 0, EVENT_ID_INDEX + 1)
    this.rings = memory.rings.map((ring) => new DataView(ring))
    this.bytes = memory.rings.map((ring) => new Uint8Array(ring))
    this.ringUnits = memory.rings[0]!.byteLength / UNIT_BYTES
    this.shareUnits = this.ringUnits
    this.workerCount = memory.rings.length
    this.workerIndex = workerIndex
    this.lane = lane
    this.nowMicros = nowMicros
  }

  /** True if somebody watches events of one of these kinds. */
  isWatched(kinds: number): boolean {
    return (this.observed[OBSERVED_WORD]! & kinds) !== 0
  }

  /**
   * Writes `record`, whose key is `key[keyOffset, +keyLength)`; it gets its time and number here. Only those
   * who watch `namespace` are told.
   */
  write(namespace: number, key: Uint8Array, keyOffset: number, keyLength: number): void {
    if (!this.isWatchedIn(namespace)) return
    const own = workerWord(this.workerCount, this.workerIndex)
    const control = this.observed
    const ringUnits = this.ringUnits
    const length = Math.min(keyLength, RECORD_KEY_BYTES_MAX)
    const units = Math.ceil((WATCH_RECORD_HEADER_BYTES + length) / UNIT_BYTES)
    const written = control[own + WORKER_WRITTEN]!
    const unitsToEnd = ringUnits - ((written >>> 0) % ringUnits)
    const fillerUnits = units > unitsToEnd ? unitsToEnd : 0
    const unread = this.unreadUnits(own, written)
    this.retire((written - unread) | 0)
    const { unreadOf } = this
    if (
      ringUnits - unread < fillerUnits + units ||
      unreadOf[namespace]! + units > this.shareUnits
    ) {
      this.lane[COUNTER.log_worker_dropped]!++
      return
    }
    const ring = this.rings[this.workerIndex]!
    let offset = (ringUnits - unitsToEnd) * UNIT_BYTES
    if (fillerUnits > 0) {
      ring.setUint32(offset, fillerUnits)
      ring.setUint32(offset + 4, FILLER)
      offset = 0
    }
    const { record } = this
    ring.setUint32(offset, (units | (namespace << NAMESPACE_SHIFT)) >>> 0)
    ring.setUint32(offset + 4, record.connectionId)
    ring.setFloat64(offset + 8, this.nowMicros())
    ring.setFloat64(offset + 16, this.nextEventId())
    ring.setUint32(offset + 24, record.valueBytes)
    ring.setUint32(offset + 28, record.ttlSeconds)
    ring.setUint32(offset + 32, record.idleSeconds)
    ring.setUint8(offset + 36, length)
    ring.setUint8(offset + 37, record.kind)
    ring.setUint8(offset + 38, record.command)
    ring.setUint8(offset + 39, record.status)
    const bytes = this.bytes[this.workerIndex]!
    const keyStart = offset + WATCH_RECORD_HEADER_BYTES
    for (let index = 0; index < length; index++) bytes[keyStart + index] = key[keyOffset + index]!
    unreadOf[namespace]! += units
    Atomics.store(control, own + WORKER_WRITTEN, (written + fillerUnits + units) | 0)
    this.lane[COUNTER.log_worker_written]!++
  }

  /** The number of the last event: who begins to watch now sees only later ones. */
  lastEventId(): number {
    return Number(Atomics.load(this.eventIds, EVENT_ID_INDEX))
  }

  /**
   * Takes one of the places that the users of a namespace have on all workers together; false if there is
   * none.
   */
  takePlace(namespace: number): boolean {
    const word = WATCHER_COUNT_WORDS + namespace
    const placeCount = namespace === 0 ? WATCHERS_MAX : TENANT_WATCHERS_MAX
    if (Atomics.add(this.observed, word, 1) < placeCount) {
      this.lane[COUNTER.log_watchers]!++
      return true
    }
    Atomics.sub(this.observed, word, 1)
    return false
  }

  givePlaceBack(namespace: number): void {
    Atomics.sub(this.observed, WATCHER_COUNT_WORDS + namespace, 1)
    this.lane[COUNTER.log_watchers]!--
  }

  /** The watchers of this worker want these kinds from now on, of these namespaces; 0 is nothing. */
  want(kinds: number, namespaces: Iterable<number> = DEFAULT_ALONE): void {
    const { observed: control, workerCount, workerIndex } = this
    const own = workerWord(workerCount, workerIndex)
    const isFirst = control[own + WORKER_WANTED] === 0
    this.wantIn(own, kinds === 0 ? [] : namespaces)
    // In this order: a writer that sees the new reader with an old cursor drops, and is not ahead.
    Atomics.store(control, own + WORKER_WANTED, kinds)
    if (isFirst) {
      for (let writer = 0; writer < workerCount; writer++) {
        const ring = workerWord(workerCount, writer)
        const written = Atomics.load(control, ring + WORKER_WRITTEN)
        Atomics.store(control, ring + WORKER_CURSORS + workerIndex, written)
      }
    }
    gatherWanted(control, workerCount)
  }

  /**
   * Gives the events that were written since the last call to `take`, ring by ring, DRAIN_RECORDS_MAX at most.
   * False: there are more.
   */
  drain(take: (record: WatchRecord) => void): boolean {
    const { observed: control, workerCount, nextWriter } = this
    // Nobody has kept the rings' writers from overwriting what an old cursor points at.
    if (control[workerWord(workerCount, this.workerIndex) + WORKER_WANTED] === 0) return true
    let left = DRAIN_RECORDS_MAX
    for (let index = 0; index < workerCount; index++) {
      const writer = (nextWriter + index) % workerCount
      left = this.drainRing(writer, left, take)
      if (left >= 0) continue
      // Not with the same one again: who writes as fast as it is read would keep the others' events back.
      this.nextWriter = (writer + 1) % workerCount
      return false
    }
    return true
  }

  /** Gives `recordsMax` events of one ring at most; the result is how many are left of that, -1 if it has more. */
  private drainRing(
    writer: number,
    recordsMax: number,
    take: (record: WatchRecord) => void,
  ): number {
    const { observed: control, ringUnits, read } = this
    const own = workerWord(this.workerCount, writer)
    const cursor = own + WORKER_CURSORS + this.workerIndex
    const end = Atomics.load(control, own + WORKER_WRITTEN)
    const ring = this.rings[writer]!
    let at = control[cursor]!
    let left = recordsMax
    while (at !== end) {
      const offset = ((at >>> 0) % ringUnits) * UNIT_BYTES
      if (ring.getUint32(offset + 4) !== FILLER) {
        if (--left < 0) break
        this.load(ring, this.bytes[writer]!, offset)
        take(read)
      }
      at = (at + (ring.getUint32(offset) & UNITS_MASK)) | 0
    }
    Atomics.store(control, cursor, at)
    return left
  }

  private load(ring: DataView, bytes: Uint8Array, offset: number): void {
    const { read } = this
    read.namespace = ring.getUint32(offset) >>> NAMESPACE_SHIFT
    read.connectionId = ring.getUint32(offset + 4)
    read.timeMicros = ring.getFloat64(offset + 8)
    read.eventId = ring.getFloat64(offset + 16)
    read.valueBytes = ring.getUint32(offset + 24)
    read.ttlSeconds = ring.getUint32(offset + 28)
    read.idleSeconds = ring.getUint32(offset + 32)
    read.keyLength = ring.getUint8(offset + 36)
    read.kind = ring.getUint8(offset + 37)
    read.command = ring.getUint8(offset + 38)
    read.status = ring.getUint8(offset + 39)
    const keyStart = offset + WATCH_RECORD_HEADER_BYTES
    for (let index = 0; index < read.keyLength; index++) read.key[index] = bytes[keyStart + index]!
  }

  private wantIn(own: number, namespaces: Iterable<number>): void {
    const bits = new Int32Array(NAMESPACE_WORDS)
    for (const namespace of namespaces) bits[namespace >>> 5]! |= 1 << (namespace & 31)
    const { observed: control } = this
    for (let word = 0; word < NAMESPACE_WORDS; word++) {
      Atomics.store(control, own + WORKER_NAMESPACES + word, bits[word]!)
    }
    Atomics.add(control, NAMESPACES_VERSION_WORD, 1)
  }

  private isWatchedIn(namespace: number): boolean {
    const version = Atomics.load(this.observed, NAMESPACES_VERSION_WORD)
    if (version !== this.watchedVersion) this.readWatched(version)
    return ((this.watched[namespace >>> 5]! >>> (namespace & 31)) & 1) === 1
  }

  private readWatched(version: number): void {
    const { observed: control, watched, workerCount, ringUnits } = this
    let count = 0
    for (let word = 0; word < NAMESPACE_WORDS; word++) {
      let bits = 0
      for (let worker = 0; worker < workerCount; worker++) {
        bits |= Atomics.load(control, workerWord(workerCount, worker) + WORKER_NAMESPACES + word)
      }
      watched[word] = bits
      for (; bits !== 0; bits &= bits - 1) count++
    }
    // A filler takes less than a record, and there is one at a time.
    const shared = ringUnits - RECORD_UNITS_MAX
    this.shareUnits = count > 1 ? Math.floor(shared / count) : ringUnits
    this.watchedVersion = version
  }

  /** Takes off the namespaces' accounts what all readers have read: what is before `end`. */
  private retire(end: number): void {
    const ring = this.rings[this.workerIndex]!
    const { ringUnits, unreadOf } = this
    // A reader that has just come has an old cursor for a moment, which lies behind.
    while (((end - this.retired) | 0) > 0) {
      const offset = ((this.retired >>> 0) % ringUnits) * UNIT_BYTES
      const head = ring.getUint32(offset)
      const units = head & UNITS_MASK
      if (ring.getUint32(offset + 4) !== FILLER) unreadOf[head >>> NAMESPACE_SHIFT]! -= units
      this.retired = (this.retired + units) | 0
    }
  }

  /** Units of the own ring that some worker with watchers has not read. */
  private unreadUnits(own: number, written: number): number {
    const control = this.observed
    let unread = 0
    for (let reader = 0; reader < this.workerCount; reader++) {
      const wanted = Atomics.load(control, workerWord(this.workerCount, reader) + WORKER_WANTED)
      if (wanted === 0) continue
      const cursor = Atomics.load(control, own + WORKER_CURSORS + reader)
      unread = Math.max(unread, (written - cursor) >>> 0)
    }
    return unread
  }

  private nextEventId(): number {
    return Number(Atomics.add(this.eventIds, EVENT_ID_INDEX, 1n)) + 1
  }
}
