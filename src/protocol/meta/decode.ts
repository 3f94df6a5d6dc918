/**
 * Hot path. Meta commands (protocol.txt, "Meta Commands"): a line `m? <key> [<length>] <flag>*` to
 * the logical Request. A flag is one letter, some with a value right behind it; any known letter is
 * accepted on any command and means something on some.
 *
 * Which flags there are is in two bit sets; what they carry is in the request's fields. The flags'
 * tokens stay in `tokens`, because the answer repeats them in the order of the request.
 *
 * Invariant: of DECODED, no flag occurs twice and every value is a number where it must be one.
 */

import { Decimal } from '../../base/decimal.ts'
import { INT32_MAX } from '../../base/int32-max.ts'
import { KEY_BYTES_MAX } from '../../base/key-bytes-max.ts'
import { DECODED, INCOMPLETE, OVERSIZE, type Request, WRONG_LINE } from '../request.ts'
import { expiryOf, NOT_A_NUMBER, parseSigned, parseUint32 } from '../text/number.ts'
import {
  PROBLEM_ARITHMETIC_FLAG,
  PROBLEM_ARITHMETIC_MODE,
  PROBLEM_BAD_BASE64,
  PROBLEM_BAD_DATA_CHUNK,
  PROBLEM_BAD_FORMAT,
  PROBLEM_BAD_TOKEN,
  PROBLEM_DUPLICATE_FLAG,
  PROBLEM_ERROR,
  PROBLEM_INVALID_DELTA_VALUE,
  PROBLEM_INVALID_FLAG,
  PROBLEM_INVALID_INITIAL_VALUE,
  PROBLEM_OPAQUE_TOO_LONG,
  PROBLEM_SET_MODE,
  PROBLEM_TOO_MANY_FLAGS,
} from '../text/problems.ts'
import { LINE_META, VERB_META_ARITHMETIC, VERB_META_NOOP, VERB_META_SET, VERBS } from '../verbs.ts'
import { decodeBase64Key } from './base64.ts'

/** Tokens of a meta line, command and key included. */
const META_TOKENS_MAX = 20
/** Bytes of an opaque with its letter. */
const OPAQUE_BYTES_MAX = 32
/** Not a problem number. */
const NO_PROBLEM = -1

const CARRIAGE_RETURN = 0x0d
const LINE_FEED = 0x0a

function flagBit(letter: string): number {
  return 1 << ((letter.charCodeAt(0) | 0x20) - 0x61)
}

export const FLAG_C: number = flagBit('c')
export const FLAG_E: number = flagBit('e')
export const FLAG_H: number = flagBit('h')
export const FLAG_I: number = flagBit('i')
export const FLAG_K: number = flagBit('k')
export const FLAG_L: number = flagBit('l')
export const FLAG_N: number = flagBit('n')
export const FLAG_Q: number = flagBit('q')
export const FLAG_R: number = flagBit('r')
export const FLAG_S: number = flagBit('s')
export const FLAG_T: number = flagBit('t')
export const FLAG_U: number = flagBit('u')
export const FLAG_V: number = flagBit('v')
export const FLAG_X: number = flagBit('x')

/** Modes of ms and ma: the letter behind M. */
export const MODE_NONE = 0
export const MODE_SET = 0x53
export const MODE_ADD = 0x45
export const MODE_APPEND = 0x41
export const MODE_PREPEND = 0x50
export const MODE_REPLACE = 0x52
export const MODE_INCREMENT = 0x49
export const MODE_INCREMENT_SIGN = 0x2b
export const MODE_DECREMENT = 0x44
export const MODE_DECREMENT_SIGN = 0x2d

/** The letter behind the m -> verb, 0 for none. */
const VERB_OF_LETTER: Uint8Array = verbsByLetter()

function verbsByLetter(): Uint8Array {
  const table = new Uint8Array(256)
  for (const { line, name, number } of VERBS) {
    if (line === LINE_META) table[name.charCodeAt(1)] = number
  }
  return table
}

const number = new Decimal()

/** Decodes the line at `offset`, whose first token is two bytes long and begins with `m`. */
export function decodeMetaLine(
  bytes: Uint8Array,
  offset: number,
  end: number,
  valueBytesMax: number,
  request: Request,
): number {
  const tokens = request.tokens
  const verb = VERB_OF_LETTER[bytes[offset + 1]!]!
  request.verb = verb
  if (verb === VERB_META_NOOP) return DECODED
  if (verb === 0) return wrong(request, PROBLEM_ERROR)
  const isSet = verb === VERB_META_SET
  if (request.tokenCount < (isSet ? 3 : 2)) return wrong(request, PROBLEM_BAD_FORMAT)
  request.keyOffset = tokens[2]!
  request.keyLength = tokens[3]! - tokens[2]!
  if (isSet) {
    const length = parseUint32(bytes, tokens[4]!, tokens[5]!)
    if (length < 0 || length > INT32_MAX - 2) return wrong(request, PROBLEM_BAD_FORMAT)
    request.valueOffset = request.lineEnd + 1
    request.valueLength = length
    request.frameBytes = request.valueOffset + length + 2 - offset
  }
  const problem = decodeKeyAndFlags(bytes, isSet ? 3 : 2, request)
  if (problem !== NO_PROBLEM) {
    // memcached has one text for all flags of ma.
    const isOneForAll = verb === VERB_META_ARITHMETIC && problem !== PROBLEM_OPAQUE_TOO_LONG
    return wrong(request, isOneForAll ? PROBLEM_ARITHMETIC_FLAG : problem)
  }
  if (verb === VERB_META_ARITHMETIC) return checkArithmeticMode(request)
  if (!isSet) return DECODED
  if (!isSetMode(request.mode)) return wrong(request, PROBLEM_SET_MODE)
  if (request.valueLength > valueBytesMax) return OVERSIZE
  if (end - offset < request.frameBytes) return INCOMPLETE
  const blockEnd = request.valueOffset + request.valueLength
  if (bytes[blockEnd] === CARRIAGE_RETURN && bytes[blockEnd + 1] === LINE_FEED) return DECODED
  return wrong(request, PROBLEM_BAD_DATA_CHUNK)
}

function decodeKeyAndFlags(bytes: Uint8Array, first: number, request: Request): number {
  if (request.keyLength > KEY_BYTES_MAX) return PROBLEM_BAD_FORMAT
  if (request.tokenCount > META_TOKENS_MAX) return PROBLEM_TOO_MANY_FLAGS
  return decodeFlags(bytes, first, request)
}

/** Errors of meta commands are never hidden by q. */
function wrong(request: Request, problem: number): number {
  request.quiet = false
  request.problem = problem
  return WRONG_LINE
}

function checkArithmeticMode(request: Request): number {
  switch (request.mode) {
    case MODE_NONE:
    case MODE_INCREMENT:
    case MODE_INCREMENT_SIGN:
    case MODE_DECREMENT:
    case MODE_DECREMENT_SIGN:
      return DECODED
    default:
      return wrong(request, PROBLEM_ARITHMETIC_MODE)
  }
}

function isSetMode(mode: number): boolean {
  switch (mode) {
    case MODE_NONE:
    case MODE_SET:
    case MODE_ADD:
    case MODE_APPEND:
    case MODE_PREPEND:
    case MODE_REPLACE:
      return true
    default:
      return false
  }
}

/**
 * Reads the flags from token `first` on; returns NO_PROBLEM or the problem. A value that is wrong
 * does not end the reading, as a duplicate or unknown flag behind it has the say.
 */
function decodeFlags(bytes: Uint8Array, first: number, request: Request): number {
  const tokens = request.tokens
  const count = request.tokenCount
  let problem = NO_PROBLEM
  let lower = 0
  let upper = 0
  request.mode = MODE_NONE
  request.flags = 0
  request.expiry = 0
  request.casHigh = 0
  request.casLow = 0
  request.deltaHigh = 0
  request.deltaLow = 1
  request.initialHigh = 0
  request.initialLow = 0
  request.hasBinaryKey = false
  for (let token = first; token < count; token++) {
    const start = tokens[2 * token]!
    const end = tokens[2 * token + 1]!
    const letter = bytes[start]!
    const bit = 1 << ((letter | 0x20) - 0x61)
    const isUpper = letter >= 0x41 && letter <= 0x5a
    if (!isUpper && (letter < 0x61 || letter > 0x7a)) {
      return letter >= 127 ? PROBLEM_DUPLICATE_FLAG : PROBLEM_INVALID_FLAG
    }
    if (((isUpper ? upper : lower) & bit) !== 0) return PROBLEM_DUPLICATE_FLAG
    if (isUpper) upper |= bit
    else lower |= bit
    switch (letter) {
      case 0x62: // b
        request.hasBinaryKey = true
        request.keyLength = decodeBase64Key(bytes, tokens[2]!, tokens[3]!, request.binaryKey)
        if (request.keyLength === 0) problem = PROBLEM_BAD_BASE64
        break
      case 0x4e: // N
        request.vivifyToken = token
        request.vivifyExpiry = readExpiry(bytes, start + 1, end)
        if (request.vivifyExpiry < 0) problem = PROBLEM_BAD_TOKEN
        break
      case 0x54: // T
        request.expiryToken = token
        request.expiry = readExpiry(bytes, start + 1, end)
        if (request.expiry < 0) problem = PROBLEM_BAD_TOKEN
        break
      case 0x52: // R
        request.recacheToken = token
        request.recacheExpiry = readExpiry(bytes, start + 1, end)
        if (request.recacheExpiry < 0) problem = PROBLEM_BAD_TOKEN
        break
      case 0x46: // F
        request.flags = parseUint32(bytes, start + 1, end)
        // It has no text of its own in memcached: what another flag is told stays.
        if (request.flags < 0 && problem === NO_PROBLEM) problem = PROBLEM_BAD_FORMAT
        break
      case 0x43: // C
        if (!number.parse(bytes, start + 1, end - start - 1)) problem = PROBLEM_BAD_TOKEN
        request.casHigh = number.high
        request.casLow = number.low
        break
      case 0x45: // E
        if (!number.parse(bytes, start + 1, end - start - 1)) problem = PROBLEM_BAD_TOKEN
        request.newCasHigh = number.high
        request.newCasLow = number.low
        break
      case 0x44: // D
        if (!number.parse(bytes, start + 1, end - start - 1)) problem = PROBLEM_INVALID_DELTA_VALUE
        request.deltaHigh = number.high
        request.deltaLow = number.low
        break
      case 0x4a: // J
        if (!number.parse(bytes, start + 1, end - start - 1)) {
          problem = PROBLEM_INVALID_INITIAL_VALUE
        }
        request.initialHigh = number.high
        request.initialLow = number.low
        break
      case 0x4d: // M
        // Without a letter behind it the mode is one that does not exist.
        request.mode = end > start + 1 ? bytes[start + 1]! : -1
        break
      case 0x4f: // O
        if (end - start > OPAQUE_BYTES_MAX && problem === NO_PROBLEM) {
          problem = PROBLEM_OPAQUE_TOO_LONG
        }
        break
      case 0x63: // c
      case 0x66: // f
      case 0x68: // h
      case 0x6b: // k
      case 0x6c: // l
      case 0x71: // q
      case 0x73: // s
      case 0x74: // t
      case 0x75: // u
      case 0x76: // v
      case 0x78: // x
      case 0x49: // I
      case 0x4c: // L
      case 0x50: // P
        break
      default:
        return PROBLEM_INVALID_FLAG
    }
  }
  request.lowerFlags = lower
  request.upperFlags = upper
  request.quiet = (lower & FLAG_Q) !== 0
  return problem
}

/** An expiry of 0 or more; -1 if it is not a number. */
function readExpiry(bytes: Uint8Array, start: number, end: number): number {
  const expiry = parseSigned(bytes, start, end)
  if (expiry === NOT_A_NUMBER) return -1
  return expiryOf(expiry)
}
