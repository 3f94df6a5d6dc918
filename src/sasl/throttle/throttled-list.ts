/**
 * Who is refused just now, by name: for the log, for `stats auth` and for the audit. Shared by all workers
 * and short: a crowd that is refused is told of as a crowd. Sources and users have a list each, so that
 * a crowd of sources hides no user.
 *
 *     entry: | what it is, 0 if free | kind | key | key | bytes of text | text, UTF-8 |
 *
 * Invariant: an entry is there from the beginning of a refusal until there has been none for a while. All
 * of it is read and written under the caller's lock.
 */
import type { FailureCounts } from './failure-counts.ts'

const WHAT = 0
const KIND = 1
const KEY_HIGH = 2
const KEY_LOW = 3
const TEXT_BYTES = 4
const TEXT = 5
const ENTRY_WORDS = 96
const ENTRIES = 32
/** Who comes back within this time was never away. */
const GRACE_TICKS = 100

export const THROTTLED_KINDS = ['source', 'network', 'user', 'unknown_user'] as const
export type ThrottledKind = (typeof THROTTLED_KINDS)[number]

/** Fit for a log: of a user that there is not, the length and a tag (claimed-user.ts). */
export interface Throttled {
  readonly kind: ThrottledKind
  readonly name: string
}

export const THROTTLED_LIST_WORDS: number = ENTRIES * ENTRY_WORDS

const encoder = new TextEncoder()

export class ThrottledList {
  private readonly words: Int32Array
  private readonly bytes: Uint8Array
  private readonly counts: FailureCounts

  /** `words` are this list's alone, zero at first; `counts` counts those that are on it. */
  constructor(words: Int32Array, counts: FailureCounts) {
    this.words = words
    this.bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
    this.counts = counts
  }

  /** A refusal began. 'known': it goes on one that is listed; 'full': there are too many to list. */
  begin(who: Throttled, kind: number, high: number, low: number): 'listed' | 'known' | 'full' {
    const { words, bytes } = this
    let free = -1
    for (let at = 0; at < words.length; at += ENTRY_WORDS) {
      if (words[at + WHAT] === 0) {
        if (free === -1) free = at
      } else if (
        words[at + KIND] === kind &&
        words[at + KEY_HIGH] === high &&
        words[at + KEY_LOW] === low
      ) {
        return 'known'
      }
    }
    if (free === -1) return 'full'
    words[free + WHAT] = THROTTLED_KINDS.indexOf(who.kind) + 1
    words[free + KIND] = kind
    words[free + KEY_HIGH] = high
    words[free + KEY_LOW] = low
    const start = (free + TEXT) * 4
    // Whole characters only, and never into shared memory itself.
    const text = new Uint8Array((ENTRY_WORDS - TEXT) * 4)
    const { written } = encoder.encodeInto(who.name, text)
    bytes.set(text.subarray(0, written), start)
    words[free + TEXT_BYTES] = written
    return 'listed'
  }

  /** Takes those off the list that have not been refused for a while, and returns them. */
  takeEnded(now: number): readonly Throttled[] {
    const { words, counts } = this
    const ended: Throttled[] = []
    for (let at = 0; at < words.length; at += ENTRY_WORDS) {
      if (words[at + WHAT] === 0) continue
      const until = counts.lastRefusedUntil(
        words[at + KIND]!,
        words[at + KEY_HIGH]!,
        words[at + KEY_LOW]!,
      )
      if (until + GRACE_TICKS > now) continue
      ended.push(this.read(at))
      words[at + WHAT] = 0
    }
    return ended
  }

  /** Who is refused at this moment, and for how many ticks yet. */
  list(now: number): readonly (Throttled & { readonly ticksLeft: number })[] {
    const { words, counts } = this
    const listed: (Throttled & { readonly ticksLeft: number })[] = []
    for (let at = 0; at < words.length; at += ENTRY_WORDS) {
      if (words[at + WHAT] === 0) continue
      const until = counts.refusedUntil(
        words[at + KIND]!,
        words[at + KEY_HIGH]!,
        words[at + KEY_LOW]!,
        now,
      )
      if (until > now) listed.push({ ...this.read(at), ticksLeft: until - now })
    }
    return listed
  }

  private read(at: number): Throttled {
    const { words, bytes } = this
    const start = (at + TEXT) * 4
    const text = Buffer.from(bytes.subarray(start, start + words[at + TEXT_BYTES]!))
    return { kind: THROTTLED_KINDS[words[at + WHAT]! - 1]!, name: text.toString() }
  }
}
