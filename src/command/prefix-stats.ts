/**
 * Statistics by key prefix, what stands before the first `:` of a key: `stats detail on|off|dump`.
 * Off, they cost a request one look at a flag; on, a string, which is what they are for: to be
 * turned on for a while by somebody who looks.
 *
 * Invariant: at most PREFIXES_MAX prefixes are kept, whatever keys clients use; keys without a
 * prefix are not counted, as in memcached.
 */
import {
  OUTCOME_HIT,
  type Request,
  VERB_ADD,
  VERB_APPEND,
  VERB_CAS,
  VERB_DELETE,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_PREPEND,
  VERB_REPLACE,
  VERB_SET,
} from '../protocol/request.ts'

const DELIMITER = 0x3a
const PREFIXES_MAX = 10_000

interface PrefixCounts {
  get: number
  hit: number
  set: number
  del: number
}

export class PrefixStats {
  isEnabled = false
  private readonly counts: Map<string, PrefixCounts> = new Map()

  /** Counts a request that was carried out; other verbs have no key, or are not counted. */
  record(request: Request, bytes: Uint8Array, outcome: number): void {
    switch (request.verb) {
      case VERB_GET:
      case VERB_GET_AND_TOUCH: {
        const counts = this.find(bytes, request.keyOffset, request.keyLength)
        if (counts === undefined) return
        counts.get++
        if (outcome === OUTCOME_HIT) counts.hit++
        return
      }
      case VERB_SET:
      case VERB_ADD:
      case VERB_REPLACE:
      case VERB_APPEND:
      case VERB_PREPEND:
      case VERB_CAS: {
        const counts = this.find(bytes, request.keyOffset, request.keyLength)
        if (counts !== undefined) counts.set++
        return
      }
      case VERB_DELETE: {
        const counts = this.find(bytes, request.keyOffset, request.keyLength)
        if (counts !== undefined) counts.del++
      }
    }
  }

  /** One line a prefix, as memcached writes them. */
  lines(): string[] {
    return [...this.counts].map(
      ([prefix, { get, hit, set, del }]) =>
        `PREFIX ${prefix} get ${get} hit ${hit} set ${set} del ${del}`,
    )
  }

  clear(): void {
    this.counts.clear()
  }

  private find(bytes: Uint8Array, keyOffset: number, keyLength: number): PrefixCounts | undefined {
    const end = bytes.indexOf(DELIMITER, keyOffset)
    if (end < 0 || end >= keyOffset + keyLength) return undefined
    const length = end - keyOffset
    const prefix = Buffer.from(bytes.buffer, bytes.byteOffset + keyOffset, length).toString(
      'latin1',
    )
    const found = this.counts.get(prefix)
    if (found !== undefined || this.counts.size >= PREFIXES_MAX) return found
    const counts = { get: 0, hit: 0, set: 0, del: 0 }
    this.counts.set(prefix, counts)
    return counts
  }
}
