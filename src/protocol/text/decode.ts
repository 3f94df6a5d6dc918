/**
 * Hot path. Text lines: bytes to the logical Request. Classic commands here, by what their row in
 * ../verbs.ts has behind the name, meta commands in ../meta/decode.ts; what is neither becomes
 * VERB_OPERATE (an operator's command, rare, read from its tokens) or the answer ERROR.
 *
 * Two steps, because the auth gate stands between them: `scanLine` finds the line, `decodeLine`
 * makes a request of it. Nothing is allocated and nothing throws.
 *
 * Invariant: after DECODED, OVERSIZE or WRONG_LINE, `frameBytes` is the request's whole length,
 * line and data block, so whoever skips that many bytes is in step again. A storage line with a
 * legal length skips its block whatever else is wrong with it; one without has no block
 * (memcached does the same).
 */

import { Decimal } from '../../base/decimal.ts'
import { INT32_MAX } from '../../base/int32-max.ts'
import { KEY_BYTES_MAX } from '../../base/key-bytes-max.ts'
import { decodeMetaLine } from '../meta/decode.ts'
import {
  DECODED,
  INCOMPLETE,
  OVERSIZE,
  type Request,
  TOKENS_MAX,
  WRONG_LINE,
  WRONG_MAGIC,
} from '../request.ts'
import {
  LINE_DELAY,
  LINE_EXPIRY_KEYS,
  LINE_KEY,
  LINE_KEY_DELTA,
  LINE_KEY_EXPIRY,
  LINE_KEYS,
  LINE_LEVEL,
  LINE_META,
  LINE_OPERATION,
  LINE_SASL,
  LINE_STORAGE,
  VERB_CAS,
  VERB_OPERATE,
  VERB_SASL_LIST,
  VERB_SASL_STEP,
  VERB_UNKNOWN,
  VERBS,
  type Verb,
} from '../verbs.ts'
import { expiryOf, NOT_A_NUMBER, parseField, parseSigned, parseUint32 } from './number.ts'
import { OPERATION_VERBS } from './operations.ts'
import {
  PROBLEM_BAD_DATA_CHUNK,
  PROBLEM_BAD_FORMAT,
  PROBLEM_ERROR,
  PROBLEM_INVALID_DELTA,
  PROBLEM_INVALID_EXPTIME,
} from './problems.ts'
import { contentEnd, isWord } from './scan.ts'

/** Without a line feed in this many bytes, only a list of keys can be under way. */
export const LINE_BYTES_MAX = 2048

const SHORTEST_LINE_BYTES = 4
const CARRIAGE_RETURN = 0x0d
const LINE_FEED = 0x0a
const SPACE = 0x20
/** memcached looks behind at most so many spaces for the `get` of a long line. */
const LEADING_SPACES_MAX = 100

const encoder = new TextEncoder()
const WORD_NOREPLY = encoder.encode('noreply')
const WORD_MECH = encoder.encode('mech')
const WORD_AUTH = encoder.encode('auth')
const HTTP = encoder.encode('HTTP/')
const GET_START = encoder.encode('get ')
const GETS_START = encoder.encode('gets ')

interface NamedVerb {
  readonly name: Uint8Array
  readonly verb: number
  readonly line: number
  readonly wantsCas: boolean
}

function named(name: string, verb: number, line: number, wantsCas = false): NamedVerb {
  return { name: encoder.encode(name), verb, line, wantsCas }
}

function namesOf({ name, number, line, word = name, casWord }: Verb): NamedVerb[] {
  if (line === undefined || line === LINE_META) return []
  const first = named(word, number, line)
  return casWord === undefined ? [first] : [first, named(casWord, number, line, true)]
}

/** Verbs by the length of their name. */
const VERBS_BY_LENGTH: readonly (readonly NamedVerb[])[] = verbsByLength([
  ...VERBS.flatMap(namesOf),
  ...OPERATION_VERBS.map((name) => named(name, VERB_OPERATE, LINE_OPERATION)),
])

function verbsByLength(verbs: readonly NamedVerb[]): NamedVerb[][] {
  const longest = Math.max(...verbs.map(({ name }) => name.length))
  const byLength: NamedVerb[][] = Array.from({ length: longest + 1 }, () => [])
  for (const verb of verbs) byLength[verb.name.length]!.push(verb)
  return byLength
}

const number = new Decimal()

/**
 * What bytes `[offset, end)` without a line feed are the beginning of: INCOMPLETE, or WRONG_MAGIC
 * for what will never be a request. `keysBytesMax` bounds a list of keys.
 */
export function judgeUnfinishedLine(
  bytes: Uint8Array,
  offset: number,
  end: number,
  keysBytesMax: number,
): number {
  if (end - offset <= LINE_BYTES_MAX) return INCOMPLETE
  let at = offset
  while (at < end && bytes[at] === SPACE) at++
  if (at - offset > LEADING_SPACES_MAX || end - offset > keysBytesMax) return WRONG_MAGIC
  const isList = startsWith(bytes, at, end, GET_START) || startsWith(bytes, at, end, GETS_START)
  return isList ? INCOMPLETE : WRONG_MAGIC
}

function startsWith(bytes: Uint8Array, offset: number, end: number, word: Uint8Array): boolean {
  return end - offset >= word.length && isWord(bytes, offset, offset + word.length, word)
}

/**
 * Makes a request of the line that `scanLine` found at `offset`. `valueBytesMax` bounds stored
 * values, `saslBytesMax` a SASL message.
 */
export function decodeLine(
  bytes: Uint8Array,
  offset: number,
  end: number,
  valueBytesMax: number,
  saslBytesMax: number,
  request: Request,
): number {
  const tokens = request.tokens
  const lineBytes = request.lineEnd + 1 - offset
  request.frameBytes = lineBytes
  request.verb = VERB_UNKNOWN
  request.quiet = false
  if (lineBytes < SHORTEST_LINE_BYTES) return wrong(request, PROBLEM_BAD_FORMAT)
  // A line that begins with a space has no verb, as far as memcached is concerned.
  if (request.tokenCount === 0 || tokens[0] !== offset) return unknownLine(bytes, request)
  const nameLength = tokens[1]! - offset
  if (nameLength === 2 && bytes[offset] === 0x6d) {
    return decodeMetaLine(bytes, offset, end, valueBytesMax, request)
  }
  if (nameLength >= VERBS_BY_LENGTH.length) return unknownLine(bytes, request)
  const candidates = VERBS_BY_LENGTH[nameLength]!
  let index = 0
  while (index < candidates.length && !isWord(bytes, offset, tokens[1]!, candidates[index]!.name)) {
    index++
  }
  if (index === candidates.length) return unknownLine(bytes, request)
  const { verb, line } = candidates[index]!
  request.verb = verb
  switch (line) {
    case LINE_KEYS:
      if (request.tokenCount < 2) return wrong(request, PROBLEM_BAD_FORMAT)
      request.wantsCas = candidates[index]!.wantsCas
      return decodeKeys(bytes, offset, 1, request)
    case LINE_STORAGE:
      return decodeStorage(bytes, offset, end, valueBytesMax, request)
    case LINE_EXPIRY_KEYS:
      if (request.tokenCount < 3) return wrong(request, PROBLEM_BAD_FORMAT)
      request.wantsCas = candidates[index]!.wantsCas
      if (!readExpiry(bytes, 1, request)) return wrong(request, PROBLEM_INVALID_EXPTIME)
      return decodeKeys(bytes, offset, 2, request)
    case LINE_KEY:
      if (!decodeKey(bytes, 2, request)) return wrong(request, PROBLEM_BAD_FORMAT)
      request.casHigh = 0
      request.casLow = 0
      return DECODED
    case LINE_KEY_DELTA:
      if (!decodeKey(bytes, 3, request)) return wrong(request, PROBLEM_BAD_FORMAT)
      if (!number.parse(bytes, tokens[4]!, tokens[5]! - tokens[4]!)) {
        return wrong(request, PROBLEM_INVALID_DELTA)
      }
      request.deltaHigh = number.high
      request.deltaLow = number.low
      request.casHigh = 0
      request.casLow = 0
      request.createsMissing = false
      return DECODED
    case LINE_KEY_EXPIRY:
      if (!decodeKey(bytes, 3, request)) return wrong(request, PROBLEM_BAD_FORMAT)
      if (!readExpiry(bytes, 2, request)) return wrong(request, PROBLEM_INVALID_EXPTIME)
      return DECODED
    case LINE_DELAY:
      return decodeFlush(bytes, request)
    case LINE_LEVEL:
      request.quiet = endsInNoreply(bytes, request)
      request.level = request.tokenCount < 2 ? -1 : parseUint32(bytes, tokens[2]!, tokens[3]!)
      return request.level < 0 ? wrong(request, PROBLEM_BAD_FORMAT) : DECODED
    case LINE_SASL:
      return decodeSasl(bytes, offset, end, saslBytesMax, request)
    default:
      request.quiet = line === LINE_OPERATION && endsInNoreply(bytes, request)
      return DECODED
  }
}

function wrong(request: Request, problem: number): number {
  request.problem = problem
  return WRONG_LINE
}

/** A browser or a probe that speaks HTTP is not worth an answer: it would be read as a page. */
function unknownLine(bytes: Uint8Array, request: Request): number {
  const last = request.tokenCount - 1
  if (last > 0 && last < TOKENS_MAX) {
    const start = request.tokens[2 * last]!
    if (startsWith(bytes, start, request.tokens[2 * last + 1]!, HTTP)) return WRONG_MAGIC
  }
  request.quiet = endsInNoreply(bytes, request)
  return wrong(request, PROBLEM_ERROR)
}

/** One key of a list that is too long spoils the request before any of it is answered. */
function decodeKeys(
  bytes: Uint8Array,
  offset: number,
  firstKeyToken: number,
  request: Request,
): number {
  const start = request.tokens[2 * firstKeyToken]!
  request.keyOffset = start
  request.keyLength = request.tokens[2 * firstKeyToken + 1]! - start
  request.keysEnd = contentEnd(bytes, offset, request.lineEnd)
  if (request.tokenBytesMax <= KEY_BYTES_MAX) return DECODED
  return wrong(request, PROBLEM_BAD_FORMAT)
}

/** Reads the key from the second token; false if there are too few tokens or the key is too long. */
function decodeKey(bytes: Uint8Array, tokensMin: number, request: Request): boolean {
  if (request.tokenCount < tokensMin) return false
  request.quiet = endsInNoreply(bytes, request)
  const start = request.tokens[2]!
  request.keyOffset = start
  request.keyLength = request.tokens[3]! - start
  return request.keyLength <= KEY_BYTES_MAX
}

function endsInNoreply(bytes: Uint8Array, request: Request): boolean {
  const last = request.tokenCount - 1
  if (last <= 0 || last >= TOKENS_MAX) return false
  return isWord(bytes, request.tokens[2 * last]!, request.tokens[2 * last + 1]!, WORD_NOREPLY)
}

function readExpiry(bytes: Uint8Array, token: number, request: Request): boolean {
  const expiry = parseSigned(bytes, request.tokens[2 * token]!, request.tokens[2 * token + 1]!)
  request.expiry = expiryOf(expiry)
  return expiry !== NOT_A_NUMBER
}

/** <verb> <key> <flags> <exptime> <bytes> [<cas unique>] [noreply] */
function decodeStorage(
  bytes: Uint8Array,
  offset: number,
  end: number,
  valueBytesMax: number,
  request: Request,
): number {
  const tokens = request.tokens
  if (request.tokenCount < 5) return wrong(request, PROBLEM_BAD_FORMAT)
  const length = parseUint32(bytes, tokens[8]!, tokens[9]!)
  if (length < 0 || length > INT32_MAX - 2) return wrong(request, PROBLEM_BAD_FORMAT)
  request.quiet = request.tokenCount > 5 && endsInNoreply(bytes, request)
  const valueOffset = request.lineEnd + 1
  request.frameBytes = valueOffset + length + 2 - offset
  const keyOffset = tokens[2]!
  request.keyOffset = keyOffset
  request.keyLength = tokens[3]! - keyOffset
  if (request.keyLength > KEY_BYTES_MAX) return wrong(request, PROBLEM_BAD_FORMAT)
  const flags = parseField(bytes, tokens[4]!, tokens[5]!)
  const expiry = parseField(bytes, tokens[6]!, tokens[7]!)
  if (flags < 0 || expiry === NOT_A_NUMBER) return wrong(request, PROBLEM_BAD_FORMAT)
  request.flags = flags
  request.expiry = expiryOf(expiry)
  request.casHigh = 0
  request.casLow = 0
  if (request.verb === VERB_CAS) {
    if (request.tokenCount < 6) return wrong(request, PROBLEM_BAD_FORMAT)
    if (!number.parse(bytes, tokens[10]!, tokens[11]! - tokens[10]!)) {
      return wrong(request, PROBLEM_BAD_FORMAT)
    }
    request.casHigh = number.high
    request.casLow = number.low
  }
  request.valueOffset = valueOffset
  request.valueLength = length
  if (length > valueBytesMax) return OVERSIZE
  return checkBlock(bytes, offset, end, request)
}

/** The data block whose place is in the request: whole, still coming, or without its end. */
export function checkBlock(
  bytes: Uint8Array,
  offset: number,
  end: number,
  request: Request,
): number {
  if (end - offset < request.frameBytes) return INCOMPLETE
  const blockEnd = request.valueOffset + request.valueLength
  if (bytes[blockEnd] === CARRIAGE_RETURN && bytes[blockEnd + 1] === LINE_FEED) return DECODED
  return wrong(request, PROBLEM_BAD_DATA_CHUNK)
}

/** flush_all [<delay>] [noreply] */
function decodeFlush(bytes: Uint8Array, request: Request): number {
  const tokens = request.tokens
  request.quiet = endsInNoreply(bytes, request)
  request.expiry = 0
  if (request.tokenCount === (request.quiet ? 2 : 1)) return DECODED
  const delay = parseSigned(bytes, tokens[2]!, tokens[3]!)
  if (delay === NOT_A_NUMBER) return wrong(request, PROBLEM_INVALID_EXPTIME)
  request.expiry = Math.max(delay, 0)
  return DECODED
}

/**
 * sasl mech | sasl auth <mechanism> <bytes> | sasl auth <bytes>, as arcus-memcached has it. The
 * mechanism is the key, the message the value; without a mechanism it is a step.
 */
function decodeSasl(
  bytes: Uint8Array,
  offset: number,
  end: number,
  saslBytesMax: number,
  request: Request,
): number {
  const tokens = request.tokens
  const count = request.tokenCount
  if (count === 2 && isWord(bytes, tokens[2]!, tokens[3]!, WORD_MECH)) {
    request.verb = VERB_SASL_LIST
    return DECODED
  }
  if (count < 3 || count > 4 || !isWord(bytes, tokens[2]!, tokens[3]!, WORD_AUTH)) {
    return wrong(request, PROBLEM_BAD_FORMAT)
  }
  const length = parseUint32(bytes, tokens[2 * count - 2]!, tokens[2 * count - 1]!)
  if (length < 0 || length > INT32_MAX - 2) return wrong(request, PROBLEM_BAD_FORMAT)
  if (count === 3) request.verb = VERB_SASL_STEP
  request.keyOffset = tokens[4]!
  request.keyLength = count === 3 ? 0 : tokens[5]! - tokens[4]!
  request.valueOffset = request.lineEnd + 1
  request.valueLength = length
  request.frameBytes = request.valueOffset + length + 2 - offset
  if (length + request.keyLength > saslBytesMax) return OVERSIZE
  return checkBlock(bytes, offset, end, request)
}
