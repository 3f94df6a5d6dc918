/**
 * A bucket of the index: ten slots and a link in one cache line. Hot path.
 *
 *      bucket, 64 bytes:   word 0..9             10..14                    15
 *                          +--------------------+-------------------------+----------+
 *                          | 10 locations       | 10 tags, two in a word  | overflow |
 *                          | 32 bits each       | 16 bits each            | link     |
 *                          +--------------------+-------------------------+----------+
 *
 *      tag, 16 bits:     15                     7 6          2 1         0
 *                       +------------------------+------------+-----------+
 *                       | hash high, bits 15..7  | path       | frequency |
 *                       +------------------------+------------+-----------+
 *
 *      path:  0 0 1 b b   the next bits of the lower hash, the next one lowest, after a 1 that says how
 *                         many they are: up to four, here two
 *
 * The path tells a split of the bucket, and further ones, where the slot goes; only when it is spent
 * has the key to be hashed again. A slot is named by the index of the word of its location; its tag
 * follows from that, since buckets begin at multiples of 16 words.
 *
 * Invariant: location 0 is an empty slot, whose tag means nothing. The two slots whose tags share a
 * word are in one bucket, so one stripe lock guards both.
 */

export const BUCKET_WORDS = 16
export const SLOTS_PER_BUCKET = 10
export const TAGS_WORD = 10
export const LINK_WORD = 15
/** Reads of an item are counted up to this. */
export const FREQUENCY_MAX = 3

/** What tells keys apart: of 512 other keys one has the same. */
const TAG_MASK = 0xff80
const TAG_PAIR_MASK = 0xff80ff80 | 0
const PATH_BITS = 4
const PATH_SHIFT = 2
const PATH_MASK = 0x7c
const SPENT_PATH: number = 1 << PATH_SHIFT

/** The tag of a key, from that half of its hash which does not choose the bucket; no path, frequency 0. */
export function tagOf(high: number): number {
  return high & TAG_MASK
}

/** That tag with the path of a key that is in a bucket by the `level` lowest bits of its hash. */
export function withPath(tag: number, low: number, level: number): number {
  const next = (low >>> level) & ((1 << PATH_BITS) - 1)
  return (tag & ~PATH_MASK) | (((1 << PATH_BITS) | next) << PATH_SHIFT)
}

export function isPathSpent(tag: number): boolean {
  return (tag & PATH_MASK) === SPENT_PATH
}

/** The next bit of the hash: 1 if the slot goes to the new bucket. The path is not spent. */
export function nextBitOf(tag: number): number {
  return (tag >>> PATH_SHIFT) & 1
}

/** The tag after the bucket has been split by that bit. */
export function withoutNextBit(tag: number): number {
  return (tag & ~PATH_MASK) | (((tag & PATH_MASK) >>> 1) & PATH_MASK)
}

/** Whether what is left of the path is that of a key which is in a bucket by `level` bits. */
export function hasPathOf(tag: number, low: number, level: number): boolean {
  const path = (tag & PATH_MASK) >>> PATH_SHIFT
  if (path === 0) return false
  const end = 1 << (31 - Math.clz32(path))
  return (path ^ end) === ((low >>> level) & (end - 1))
}

/**
 * Which slots of a bucket have that tag, whatever their path and frequency: bit 11 + n is slot 2n,
 * bit 27 + n slot 2n + 1. A half x of a word is 0 just if (x - 1) & ~x has its top bit set. What the
 * lower half borrows does not mislead the upper one, which is 0, or 128 and more.
 */
export function matchesOf(words: Int32Array, base: number, tag: number): number {
  const pair = tag | (tag << 16)
  const x0 = (words[base + TAGS_WORD]! ^ pair) & TAG_PAIR_MASK
  const x1 = (words[base + TAGS_WORD + 1]! ^ pair) & TAG_PAIR_MASK
  const x2 = (words[base + TAGS_WORD + 2]! ^ pair) & TAG_PAIR_MASK
  const x3 = (words[base + TAGS_WORD + 3]! ^ pair) & TAG_PAIR_MASK
  const x4 = (words[base + TAGS_WORD + 4]! ^ pair) & TAG_PAIR_MASK
  return (
    (((x0 - 0x00010001) & ~x0 & 0x80008000) >>> 4) |
    (((x1 - 0x00010001) & ~x1 & 0x80008000) >>> 3) |
    (((x2 - 0x00010001) & ~x2 & 0x80008000) >>> 2) |
    (((x3 - 0x00010001) & ~x3 & 0x80008000) >>> 1) |
    ((x4 - 0x00010001) & ~x4 & 0x80008000)
  )
}

/** The slot, counted within its bucket, that a bit of what matchesOf() returned stands for. */
export function matchedSlot(bit: number): number {
  return (((bit & 15) - 11) << 1) | (bit >> 4)
}

/** The tag of a slot, with path and frequency. */
export function tagAt(words: Int32Array, slot: number): number {
  return (words[tagWordOf(slot)]! >>> tagShiftOf(slot)) & 0xffff
}

export function setTagAt(words: Int32Array, slot: number, tag: number): void {
  const at = tagWordOf(slot)
  const shift = tagShiftOf(slot)
  words[at] = (words[at]! & ~(0xffff << shift)) | (tag << shift)
}

export function frequencyAt(words: Int32Array, slot: number): number {
  return (words[tagWordOf(slot)]! >>> tagShiftOf(slot)) & FREQUENCY_MAX
}

/** Counts a read. */
export function raiseFrequencyAt(words: Int32Array, slot: number): void {
  const at = tagWordOf(slot)
  const shift = tagShiftOf(slot)
  const pair = words[at]!
  if (((pair >>> shift) & FREQUENCY_MAX) !== FREQUENCY_MAX) words[at] = pair + (1 << shift)
}

/** Takes one read back; the frequency is not 0. */
export function lowerFrequencyAt(words: Int32Array, slot: number): void {
  const at = tagWordOf(slot)
  words[at] = words[at]! - (1 << tagShiftOf(slot))
}

/** Forgets the reads: they are counted elsewhere from now on. */
export function clearFrequencyAt(words: Int32Array, slot: number): void {
  const at = tagWordOf(slot)
  words[at] = words[at]! & ~(FREQUENCY_MAX << tagShiftOf(slot))
}

export function clearBucket(words: Int32Array, base: number): void {
  for (let word = base; word < base + BUCKET_WORDS; word++) words[word] = 0
}

function tagWordOf(slot: number): number {
  return (slot & -BUCKET_WORDS) + TAGS_WORD + ((slot >> 1) & 7)
}

function tagShiftOf(slot: number): number {
  return (slot & 1) << 4
}
