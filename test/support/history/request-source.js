/**
 * Random requests for a recorded history: a few hot keys on which all processes meet, many cold ones
 * that keep memory full, values of all sizes, every verb, and CAS ids that were seen a while ago.
 * Values of different requests differ (marked-value.js), so that an answer tells which write it saw.
 * Plain JavaScript, because workers import it too.
 *
 * Invariant: the record that next() returns is the same one each time.
 */
import { EXTENSION_BYTES_MIN, PIECE_BYTES_MIN, pieceText, writePiece } from './marked-value.js'

export const COUNTER_KEY = 'counter'

const HOT_SHARE_PERCENT = 65
const KEY_TAIL = '-'.repeat(200)
const TOO_LARGE_EVERY = 500

/** Shares of the verbs, in percent. */
// biome-ignore format: a table
const VERBS = [
  ['get', 38], ['gat', 4], ['touch', 4], ['set', 18], ['add', 4], ['replace', 4], ['cas', 8],
  ['append', 4], ['prepend', 3], ['increment', 6], ['decrement', 3], ['delete', 4],
].flatMap(([verb, share]) => Array(share).fill(verb))

/** Writes the bytes of a request's value. */
export function writeValueOf({ pieceId, value, valueBytes }, target, offset) {
  if (pieceId === 0) target.latin1Write(value, offset)
  else writePiece(target, offset, pieceId, valueBytes)
}

/** A request that asks for nothing in particular, to be copied. */
export const PLAIN_REQUEST = Object.freeze({
  verb: 'get',
  key: '',
  value: '',
  valueBytes: 0,
  pieceId: 0,
  flags: 0,
  expiry: 0,
  token: 0,
  delta: 0,
})

export class RequestSource {
  #options
  #state
  #serial = 0
  /** A CAS seen of each key: mostly the last one, which may be out of date. */
  #tokens = new Map()
  #request = { ...PLAIN_REQUEST }

  constructor(options) {
    this.#options = options
    this.#state = options.seed | 0
  }

  /** An integer from 0 to bound - 1 (mulberry32). */
  below(bound) {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * bound)
  }

  sawCas(key, cas) {
    if (cas !== 0 && this.below(5) > 0) this.#tokens.set(key, cas)
  }

  next(nowSeconds) {
    const options = this.#options
    const request = this.#request
    Object.assign(request, PLAIN_REQUEST)
    if (options.flushEvery > 0 && this.below(options.flushEvery) === 0) {
      request.verb = 'flush'
      request.key = ''
      if (options.delaysFlushes && this.below(2) === 0) {
        request.expiry = nowSeconds + 1 + this.below(2)
      }
      return request
    }
    if (options.counts && this.below(16) === 0) {
      request.verb = 'increment'
      request.key = COUNTER_KEY
      request.delta = 1
      return request
    }
    const isHot = this.below(100) < HOT_SHARE_PERCENT
    // The first of the hot keys are hotter than the others.
    const number = isHot
      ? Math.min(this.below(options.hotKeyCount), this.below(options.hotKeyCount))
      : this.below(options.coldKeyCount)
    // Keys of all lengths up to 200 and more, each with one.
    const name = `${isHot ? 'hot' : 'cold'} ${number}`
    request.key = (name + KEY_TAIL)
      .slice(0, name.length + ((number * 7919) % 200))
      .replace(' ', ':')
    if (options.readShare !== undefined && this.below(100) < options.readShare) return request
    request.verb = VERBS[this.below(VERBS.length)]
    if (!isHot && this.below(2) === 0) request.verb = 'set'
    switch (request.verb) {
      case 'cas':
        request.verb = 'set'
        request.token = this.#token(request.key)
        this.#chooseWrite(nowSeconds)
        break
      case 'set':
      case 'add':
      case 'replace':
        this.#chooseWrite(nowSeconds)
        break
      case 'append':
      case 'prepend':
        this.#choosePiece(Math.max(EXTENSION_BYTES_MIN, this.#length()))
        if (options.extendsByCas && this.below(4) === 0) request.token = this.#token(request.key)
        break
      case 'increment':
      case 'decrement':
        request.delta = this.below(4) === 0 ? 1 + this.below(1_000_000) : 1 + this.below(9)
        break
      case 'gat':
      case 'touch':
        request.expiry = this.#expiry(nowSeconds)
        break
      default:
        break
    }
    return request
  }

  #chooseWrite(nowSeconds) {
    const request = this.#request
    const { itemBytesMax } = this.#options
    request.flags = this.below(2) === 0 ? 0 : this.below(2 ** 32)
    request.expiry = this.#expiry(nowSeconds)
    if (request.token === 0 && this.below(TOO_LARGE_EVERY) === 0) {
      this.#choosePiece(itemBytesMax + this.below(1000))
    } else if (this.below(3) === 0) {
      request.value = String(this.below(10 ** (1 + this.below(9))))
      request.valueBytes = request.value.length
    } else {
      this.#choosePiece(this.#length())
    }
  }

  #choosePiece(length) {
    const { process, processCount } = this.#options
    const request = this.#request
    request.pieceId = 1 + process + this.#serial++ * processCount
    request.value = pieceText(request.pieceId)
    request.valueBytes = length
  }

  #length() {
    const max = this.#options.valueBytesMax
    const kind = this.below(100)
    const bound = kind < 50 ? 200 : kind < 80 ? 4000 : kind < 95 ? max >> 3 : max
    return PIECE_BYTES_MIN + this.below(Math.min(bound, max) - PIECE_BYTES_MIN)
  }

  #expiry(nowSeconds) {
    if (!this.#options.expires) return 0
    const kind = this.below(100)
    if (kind < 60) return 0
    if (kind < 90) return nowSeconds + 1 + this.below(4)
    return kind < 94 ? nowSeconds : nowSeconds + 1000
  }

  #token(key) {
    return this.#tokens.get(key) ?? 1
  }
}
