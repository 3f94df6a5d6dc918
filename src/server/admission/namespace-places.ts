/**
 * How many connections the users of each namespace have, over all workers, so that none takes all places of
 * `-c`. Three quarters of the places are for whoever comes first; of the last quarter each namespace has an
 * equal share, which no other takes; one place at least, unless these were more than half of all: with so few
 * places nobody has a share. Where there is one namespace, it may have all.
 *
 * What a namespace has within its share is none of those for whoever comes first: a client that gives one of these
 * back finds it again, unless somebody else has come.
 *
 * Invariants: a namespace with fewer connections than its share is refused none, whatever others have. All of them together
 * have at most `connectionsMax` where there are several.
 */
import { NAMESPACE_IDS } from '../../base/namespaces-max.ts'

/** Of the places, a quarter; and a half, beyond which there are no shares. */
const RESERVED_SHIFT = 2
const RESERVED_MAX_SHIFT = 1

export function createNamespacePlaces(): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * NAMESPACE_IDS)
}

export interface NamespacePlacesOptions {
  readonly memory: SharedArrayBuffer
  /** Of all. */
  readonly connectionsMax: number
  /** With the default one. */
  readonly namespaceCount: () => number
}

export class NamespacePlaces {
  private readonly counts: Int32Array
  private readonly options: NamespacePlacesOptions

  constructor(options: NamespacePlacesOptions) {
    this.counts = new Int32Array(options.memory)
    this.options = options
  }

  /** For one more connection that is logged in; false: the namespace has all that it may have. */
  take(namespace: number): boolean {
    // Counted before it is looked at what others have: of two who come at once one sees the other.
    const own = Atomics.add(this.counts, namespace, 1) + 1
    if (this.isWithin(own)) return true
    this.giveBack(namespace)
    return false
  }

  /** Whether there is one, which others may take before it is taken. */
  hasPlace(namespace: number): boolean {
    if (!this.take(namespace)) return false
    this.giveBack(namespace)
    return true
  }

  giveBack(namespace: number): void {
    Atomics.sub(this.counts, namespace, 1)
  }

  private isWithin(own: number): boolean {
    const { connectionsMax, namespaceCount } = this.options
    const namespaces = namespaceCount()
    if (namespaces === 1) return true
    const least = namespaces <= connectionsMax >> RESERVED_MAX_SHIFT ? 1 : 0
    const share = Math.max(least, Math.floor((connectionsMax >> RESERVED_SHIFT) / namespaces))
    return own <= share || this.countAbove(share) <= connectionsMax - share * namespaces
  }

  /** Connections that all namespaces have above their shares. A namespace that went away in a reload may still have some. */
  private countAbove(share: number): number {
    const { counts } = this
    let above = 0
    for (let namespace = 0; namespace < NAMESPACE_IDS; namespace++) {
      above += Math.max(0, Atomics.load(counts, namespace) - share)
    }
    return above
  }
}
