/**
 * What the lines that tune memcached's slabs, LRU lists and crawler may say: `slabs`, `lru`,
 * `lru_crawler`. None of these parts is here, so nothing is changed by them; what memcached takes is
 * answered with OK and what it refuses in its words, so that tuning scripts go on. Dumps, which
 * lru_crawler is also for, are in operations.ts.
 *
 * Differs from memcached: words must be whole, which takes `slabs auto 1` for `slabs automove 1`;
 * and no page is moved by `slabs reassign`.
 */
import { INT32_MAX } from '../../base/int32-max.ts'

/** The line can be carried out; all other answers say what is wrong with it. */
export const OK = 'OK'
const ERROR = 'ERROR'
const BAD_FORMAT = 'CLIENT_ERROR bad command line format'
const UINT32_MAX = 4294967295
const AUTOMOVE_LEVEL_MAX = 2
const AUTOMOVE_WINDOW_MIN = 3
const AUTOMOVE_WINDOW_MAX = 1800
const LRU_PERCENT_MAX = 80
const CRAWLER_SLEEP_MICROSECONDS_MAX = 1_000_000
const SLAB_CLASSES = 64

/** slabs reassign <from> <to> | slabs automove <level> | slabs automove ratio|freeratio|window <n> */
export function answerSlabs(words: readonly string[]): string {
  const [, name, what, value] = words
  if (name === 'reassign' && words.length === 4) return 'CLIENT_ERROR slab reassignment disabled'
  if (name !== 'automove' || what === undefined) return ERROR
  if (what === 'ratio' || what === 'freeratio') return isDecimal(value) ? OK : ERROR
  if (what === 'window') {
    if (!isUint32(value)) return BAD_FORMAT
    const window = Number(value)
    if (window >= AUTOMOVE_WINDOW_MIN && window <= AUTOMOVE_WINDOW_MAX) return OK
    return 'CLIENT_ERROR automove window too low or too high'
  }
  if (!isUint32(what)) return BAD_FORMAT
  return Number(what) <= AUTOMOVE_LEVEL_MAX ? OK : ERROR
}

/** lru mode flat|segmented | lru tune <hot> <warm> <factor> <factor> | lru temp_ttl <ttl> */
export function answerLru(words: readonly string[]): string {
  const [, name, first, second, hotFactor, warmFactor] = words
  switch (name) {
    case 'mode':
      return first === 'flat' || first === 'segmented' ? OK : ERROR
    case 'temp_ttl':
      return isInt32(first) ? OK : ERROR
    case 'tune':
      if (!isUint32(first) || !isUint32(second)) return ERROR
      if (!isDecimal(hotFactor) || !isDecimal(warmFactor)) return ERROR
      if (Number(first) + Number(second) > LRU_PERCENT_MAX) {
        return 'ERROR hot and warm pcts must not exceed 80'
      }
      if (Number(hotFactor) <= 0 || Number(warmFactor) <= 0) {
        return 'ERROR hot/warm age factors must be greater than 0'
      }
      return OK
    default:
      return ERROR
  }
}

/** lru_crawler enable|disable | lru_crawler sleep|tocrawl <n> | lru_crawler crawl <classes> */
export function answerCrawler(words: readonly string[]): string {
  const [, name, value] = words
  if (words.length === 2) return name === 'enable' || name === 'disable' ? OK : ERROR
  if (words.length !== 3) return ERROR
  switch (name) {
    case 'crawl':
      // Expired items leave by themselves.
      return isClassList(value) ? OK : 'BADCLASS invalid class id'
    case 'tocrawl':
      return isUint32(value) ? OK : BAD_FORMAT
    case 'sleep':
      if (!isUint32(value)) return BAD_FORMAT
      if (Number(value) <= CRAWLER_SLEEP_MICROSECONDS_MAX) return OK
      return 'CLIENT_ERROR sleep must be one second or less'
    default:
      return ERROR
  }
}

/** `all`, `hash`, or a list of slab classes. */
export function isClassList(word: string | undefined): boolean {
  if (word === undefined) return false
  if (word === 'all' || word === 'hash') return true
  return word
    .split(',')
    .every((id) => /^\d{1,2}$/.test(id) && Number(id) > 0 && Number(id) < SLAB_CLASSES)
}

function isUint32(word: string | undefined): boolean {
  return word !== undefined && /^\d{1,11}$/.test(word) && Number(word) <= UINT32_MAX
}

function isInt32(word: string | undefined): boolean {
  if (word === undefined || !/^-?\d{1,10}$/.test(word)) return false
  const number = Number(word)
  return number <= INT32_MAX && number >= -INT32_MAX - 1
}

/** What C's strtod() reads, without its names and hexadecimals. */
function isDecimal(word: string | undefined): boolean {
  return word !== undefined && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i.test(word)
}
