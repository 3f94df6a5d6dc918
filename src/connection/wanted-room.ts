/**
 * Who was refused for want of room that namespaces share (namespace-shares.ts), for a second after it. That somebody was is
 * the sign that room is short: what is refused may be large, so memory that is never quite full keeps others out all the same.
 * While it is, whoever holds some and moves it slowly (pace.ts) gives way, until what was refused fits with a quarter of the
 * bound to spare. While there is room, the slow go on.
 *
 * Each worker counts in its lane, behind the shares, and learns of the others' by its coarse timer:
 *
 *   0               1 + namespace   1 + 256 + namespace
 *   | all refusals | refusals ... | bytes that were refused last ... |
 *
 * Invariant: whose namespace holds no more than its share gives way to users of the same one alone.
 */
import { NAMESPACE_IDS } from '../base/namespaces-max.ts'

const COUNTS = 1
const BYTES: number = COUNTS + NAMESPACE_IDS
/** Doubles in a lane. */
export const WANTED_SLOTS: number = BYTES + NAMESPACE_IDS

/** For how long a refusal counts. */
const WANTED_MS = 1000

/** What is shared. */
export interface SharedRoom {
  /** Free once the slow have given way. */
  readonly spareBytes: number
  hasRoomFor(bytes: number, namespace: number, times: number): boolean
  isAboveShare(namespace: number): boolean
}

interface Want {
  readonly namespace: number
  readonly bytes: number
  readonly untilMs: number
}

export class WantedRoom {
  private readonly lanes: readonly Float64Array[]
  private readonly ownLane: Float64Array
  private readonly firstSlot: number
  private readonly room: SharedRoom
  private wants: Want[] = []
  /** Refusals that this worker knows of, in all and by namespace. */
  private allSeen = 0
  private readonly seen: Float64Array = new Float64Array(NAMESPACE_IDS)

  constructor(
    lanes: readonly Float64Array[],
    ownLane: Float64Array,
    firstSlot: number,
    room: SharedRoom,
  ) {
    this.lanes = lanes
    this.ownLane = ownLane
    this.firstSlot = firstSlot
    this.room = room
  }

  /** A user of the namespace was refused so many bytes. */
  refused(bytes: number, namespace: number): void {
    const { ownLane, firstSlot } = this
    ownLane[firstSlot + BYTES + namespace] = bytes
    ownLane[firstSlot + COUNTS + namespace]!++
    ownLane[firstSlot]!++
  }

  /** To be called ten times a second. */
  look(nowMs: number): void {
    const all = this.sum(0)
    if (all === this.allSeen && this.wants.length === 0) return
    this.wants = this.wants.filter(({ untilMs }) => untilMs > nowMs)
    if (all === this.allSeen) return
    this.allSeen = all
    for (let namespace = 0; namespace < NAMESPACE_IDS; namespace++) {
      const count = this.sum(COUNTS + namespace)
      if (count === this.seen[namespace]) continue
      this.seen[namespace] = count
      this.note({ namespace, bytes: this.wantedBy(namespace), untilMs: nowMs + WANTED_MS })
    }
  }

  /** Whether somebody lacks what is held for the namespace, and moved too slowly. */
  isWantedOf(namespace: number): boolean {
    const { wants, room } = this
    if (wants.length === 0) return false
    const isAboveShare = room.isAboveShare(namespace)
    for (const { namespace: refused, bytes } of wants) {
      if (refused !== namespace && !isAboveShare) continue
      if (!room.hasRoomFor(bytes + room.spareBytes, refused, 1)) return true
    }
    return false
  }

  private note(want: Want): void {
    this.wants = this.wants.filter(({ namespace }) => namespace !== want.namespace)
    this.wants.push(want)
  }

  private sum(slot: number): number {
    let sum = 0
    for (const lane of this.lanes) sum += lane[this.firstSlot + slot]!
    return sum
  }

  private wantedBy(namespace: number): number {
    let most = 0
    for (const lane of this.lanes) {
      most = Math.max(most, lane[this.firstSlot + BYTES + namespace]!)
    }
    return most
  }
}
