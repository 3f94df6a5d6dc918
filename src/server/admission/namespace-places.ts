/**
 * How many connections the users of each namespace have, over all workers, so that none takes all places of
 * `-c`. Three quarters of the places are for whoever comes first; of the last quarter each namespace has an
 * equal share, which no other takes; one place at least, unless these were more than half of all: with so few
 * places nobody has a share. Where there is one namespace, it may have all.
 *
 * Invariant: a namespace with fewer connections than its share is refused none, whatever others have.
 */

/** As many as a namespace's number can say. */
const NAMESPACE_IDS = 256
/** Behind them: the connections of all. */
const ALL_WORD = NAMESPACE_IDS
/** Of the places, a quarter; and a half, beyond which there are no shares. */
const RESERVED_SHIFT = 2
const RESERVED_MAX_SHIFT = 1

export function createNamespacePlaces(): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * (NAMESPACE_IDS + 1))
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
    const { counts } = this
    const own = Atomics.add(counts, namespace, 1) + 1
    const all = Atomics.add(counts, ALL_WORD, 1) + 1
    if (this.isWithin(own, all)) return true
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
    Atomics.sub(this.counts, ALL_WORD, 1)
  }

  private isWithin(own: number, all: number): boolean {
    const { connectionsMax, namespaceCount } = this.options
    const namespaces = namespaceCount()
    if (namespaces === 1) return true
    const least = namespaces <= connectionsMax >> RESERVED_MAX_SHIFT ? 1 : 0
    const share = Math.max(least, Math.floor((connectionsMax >> RESERVED_SHIFT) / namespaces))
    return own <= share || all <= connectionsMax - share * namespaces
  }
}
