/**
 * A doubly linked list, from which any value is taken out, or moved to the end, in the same time
 * however long it is. An array takes longer the more it holds, and so does the first value of a Set
 * from which many were taken out at the front.
 *
 * Invariant: a link that is in no chain refers to no other. A link among the old objects that did would
 * keep the next one from being collected, and that the next: see slots.ts.
 */

/** Where a value stands in its chain. Only the chain changes it. */
export interface Link<T> {
  readonly value: T
  previous: Link<T> | undefined
  next: Link<T> | undefined
}

export class Chain<T> {
  first: Link<T> | undefined = undefined
  last: Link<T> | undefined = undefined
  size = 0

  append(value: T): Link<T> {
    const link: Link<T> = { value, previous: undefined, next: undefined }
    this.attach(link)
    return link
  }

  /** `link` must be in this chain. */
  remove(link: Link<T>): void {
    const { previous, next } = link
    if (previous === undefined) this.first = next
    else previous.next = next
    if (next === undefined) this.last = previous
    else next.previous = previous
    link.previous = undefined
    link.next = undefined
    this.size--
  }

  moveToEnd(link: Link<T>): void {
    this.remove(link)
    this.attach(link)
  }

  private attach(link: Link<T>): void {
    link.previous = this.last
    link.next = undefined
    if (this.last === undefined) this.first = link
    else this.last.next = link
    this.last = link
    this.size++
  }
}
