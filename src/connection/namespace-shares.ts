/**
 * A bound on memory that namespaces share, over all workers. Half of it is for whoever comes first; of the other half each
 * namespace has an equal share, which no other takes, and which is `shareBytesMin` at least: that half grows with the
 * namespaces where it must. Where there is one namespace, it may have all.
 *
 * What a namespace holds within its share is none of the half for whoever comes first. What all of them hold above their shares
 * is added up when one asks that has come to its share, and kept nowhere: a reload changes the shares, for one worker sooner than for
 * another, and there is no sum that could be wrong after it. That takes 0.1 us, and 0.8 where there are 64 beside `default`.
 *
 * Each worker counts in a lane of its own what it holds, and behind that who was refused (wanted-room.ts):
 *
 *   0           1 + namespace (0 to 255)   257                                     258
 *   | strangers | each namespace .......... | the highest namespace ever held for | refusals ... |
 *
 * Invariants: a lane has a single writer, and none holds anything for a namespace above its highest. A namespace that holds
 * less than its share is refused nothing, whatever others hold. Where there are several and whoever is refused holds no
 * more, all of them together hold no more than `commonBytes` and the shares.
 */
import { NAMESPACE_IDS } from '../base/namespaces-max.ts'
import { createSharedLanes, type SharedLanes, sharedLane } from '../observe/shared-lanes.ts'
import { type SharedRoom, WANTED_SLOTS, WantedRoom } from './wanted-room.ts'

/** In the place of a namespace: whoever is not logged in, and is counted apart from all namespaces. */
export const STRANGERS_HOLDER = -1

const FIRST_SLOT = 1
const HIGHEST_SLOT: number = FIRST_SLOT + NAMESPACE_IDS
const WANTED_SLOT: number = HIGHEST_SLOT + 1
const IN_STORES_SLOT: number = WANTED_SLOT + WANTED_SLOTS
const LANE_SLOTS: number = IN_STORES_SLOT + WANTED_SLOTS
/** Of the bound, to be free where room was refused. */
const SPARE_PART = 0.25

export function createNamespaceShares(workerCount: number): SharedLanes {
  return createSharedLanes(workerCount, LANE_SLOTS)
}

export interface NamespaceSharesOptions {
  readonly lanes: SharedLanes
  readonly workerIndex: number
  /** Half of the bound. */
  readonly commonBytes: number
  readonly shareBytesMin: number
  /** With the default one. */
  readonly namespaceCount: () => number
}

export class NamespaceShares implements SharedRoom {
  readonly spareBytes: number
  readonly wanted: WantedRoom
  /** The same for room in the namespaces' stores, which each has of its own. */
  readonly wantedInStores: WantedRoom
  private readonly options: NamespaceSharesOptions
  /** By worker, and its own. */
  private readonly lanes: readonly Float64Array[]
  private readonly ownLane: Float64Array
  /** By slot, while they are added up. */
  private readonly sums: Float64Array = new Float64Array(HIGHEST_SLOT)

  constructor(options: NamespaceSharesOptions) {
    const { lanes, workerIndex } = options
    this.options = options
    this.lanes = Array.from({ length: lanes.laneCount }, (_, index) => sharedLane(lanes, index))
    this.ownLane = this.lanes[workerIndex]!
    this.spareBytes = options.commonBytes * 2 * SPARE_PART
    this.wanted = new WantedRoom(this.lanes, this.ownLane, WANTED_SLOT, this)
    const inStores = { spareBytes: 0, hasRoomFor: () => false, isAboveShare: () => false }
    this.wantedInStores = new WantedRoom(this.lanes, this.ownLane, IN_STORES_SLOT, inStores)
  }

  /** What is held for a namespace, or for STRANGERS_HOLDER, has changed by so many bytes. */
  count(holder: number, change: number): void {
    const { ownLane } = this
    if (holder > ownLane[HIGHEST_SLOT]!) ownLane[HIGHEST_SLOT] = holder
    ownLane[FIRST_SLOT + holder]! += change
  }

  /** The same of all workers. */
  heldBy(holder: number): number {
    let sum = 0
    for (const lane of this.lanes) sum += lane[FIRST_SLOT + holder]!
    return sum
  }

  /** Whether a namespace may have so many bytes more, within so many times the bound. */
  hasRoomFor(bytes: number, namespace: number, times: number): boolean {
    const { commonBytes, namespaceCount } = this.options
    const isAlone = namespaceCount() === 1
    const share = this.shareBytes * times
    const own = this.heldBy(namespace)
    const ownThen = own + bytes
    if (ownThen <= share) return true
    const aboveThen = this.heldAbove(share) - Math.max(0, own - share) + (ownThen - share)
    return aboveThen <= commonBytes * (isAlone ? 2 : 1) * times
  }

  /** Whether it holds some of the half for whoever comes first. */
  isAboveShare(namespace: number): boolean {
    return this.heldBy(namespace) > this.shareBytes
  }

  /** Of each namespace. */
  private get shareBytes(): number {
    const { commonBytes, shareBytesMin, namespaceCount } = this.options
    const namespaces = namespaceCount()
    return namespaces === 1 ? 0 : Math.max(commonBytes / namespaces, shareBytesMin)
  }

  /** By all namespaces above so much each. One that went away in a reload may still hold something. */
  private heldAbove(share: number): number {
    const { lanes, sums } = this
    let end = FIRST_SLOT
    // A lane at a time, as it lies in memory.
    for (const lane of lanes) {
      const laneEnd = (FIRST_SLOT + 1 + lane[HIGHEST_SLOT]!) | 0
      while (end < laneEnd) sums[end++] = 0
      for (let slot = FIRST_SLOT; slot < laneEnd; slot++) sums[slot]! += lane[slot]!
    }
    let above = 0
    for (let slot = FIRST_SLOT; slot < end; slot++) above += Math.max(0, sums[slot]! - share)
    return above
  }
}
