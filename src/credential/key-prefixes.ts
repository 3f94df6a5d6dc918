/**
 * Hot path. The prefixes of which a key has to begin with one, put in such a way that it is compared with one
 * alone, however many there are: a list of keys in one request has millions, and is judged in one turn.
 *
 * The prefixes are in order, and none is the beginning of another. So as long as several are left, each of them
 * goes on behind what they have in common, and a byte of the key tells which of them to leave out:
 *
 *   cart: price: session:     at 0, below p: cart:
 *                             otherwise: price: session:     at 0, below s: price:
 *                                                            otherwise: session:
 *
 * What is looked at next lies further on in the key, and the prefix that is left is compared as a whole. So no
 * byte of a key is read more than twice, none behind the longest prefix, and nothing is allocated.
 */

// A division has four numbers in a row.
const POSITION = 0
/** The byte from which on a key goes with what is above. */
const PIVOT = 1
const BELOW = 2
const ABOVE = 3
const DIVISION_NUMBERS = 4

export class KeyPrefixes {
  private readonly prefixes: readonly Uint8Array[]
  private readonly divisions: Int32Array
  /** Where the first division is; a number below 0 is `~index` of the one prefix that is left. */
  private readonly root: number

  constructor(prefixes: readonly Uint8Array[]) {
    this.prefixes = shortestOf(prefixes)
    const count = this.prefixes.length
    this.divisions = new Int32Array(DIVISION_NUMBERS * Math.max(0, count - 1))
    this.root = this.divide(0, count)
  }

  /** Whether the key in `bytes` begins with one of them. */
  cover(bytes: Uint8Array, keyOffset: number, keyLength: number): boolean {
    const { divisions } = this
    let at = this.root
    while (at >= 0) {
      const position = divisions[at + POSITION]!
      if (position >= keyLength) return false
      const byte = bytes[keyOffset + position]!
      do at = divisions[at + (byte < divisions[at + PIVOT]! ? BELOW : ABOVE)]!
      while (at >= 0 && divisions[at + POSITION] === position)
    }
    const prefix = this.prefixes[~at]
    if (prefix === undefined || prefix.length > keyLength) return false
    return beginsWith(bytes, keyOffset, prefix)
  }

  /** Divides the prefixes `[first, end)`, as near the middle as it goes; returns where the division is. */
  private divide(first: number, end: number): number {
    if (end - first <= 1) return ~first
    const { prefixes, divisions } = this
    // They are in order: what the first and the last have in common, all have.
    const position = commonBytes(prefixes[first]!, prefixes[end - 1]!)
    const byteOf = (index: number) => prefixes[index]![position]!
    const middle = (first + end) >> 1
    let before = middle
    while (before > first && byteOf(before - 1) === byteOf(middle)) before--
    let behind = middle
    while (behind < end && byteOf(behind) === byteOf(middle)) behind++
    const isBefore = before > first && (behind === end || middle - before <= behind - middle)
    const split = isBefore ? before : behind
    // The list is divided but once before each of them, and never before the first.
    const at = DIVISION_NUMBERS * (split - 1)
    divisions[at + POSITION] = position
    divisions[at + PIVOT] = byteOf(split)
    divisions[at + BELOW] = this.divide(first, split)
    divisions[at + ABOVE] = this.divide(split, end)
    return at
  }
}

/** In order, without those that begin with another: what begins with them begins with that one, too. */
function shortestOf(prefixes: readonly Uint8Array[]): readonly Uint8Array[] {
  const shortest: Uint8Array[] = []
  for (const prefix of [...prefixes].sort(compareBytes)) {
    const last = shortest.at(-1)
    // Whatever begins with a prefix comes right behind it.
    if (last === undefined || !beginsWith(prefix, 0, last)) shortest.push(prefix)
  }
  return shortest
}

function beginsWith(bytes: Uint8Array, offset: number, prefix: Uint8Array): boolean {
  const length = prefix.length
  let at = 0
  while (at < length && bytes[offset + at] === prefix[at]) at++
  return at === length
}

function commonBytes(one: Uint8Array, other: Uint8Array): number {
  let at = 0
  while (at < one.length && one[at] === other[at]) at++
  return at
}

function compareBytes(one: Uint8Array, other: Uint8Array): number {
  const at = commonBytes(one, other)
  return (one[at] ?? -1) - (other[at] ?? -1)
}
