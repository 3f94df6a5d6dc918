/**
 * Hot path. Meta answers: numbers to bytes in a caller's buffer. The caller has made room; each
 * function returns the offset behind what it wrote.
 *
 * The answer is a code of two letters and the request's flags that ask for something, in the
 * request's order. q hides the nominal answer: the miss of mg, the success of the others. NF, NS,
 * EX and errors are always sent.
 */

import {
  OUTCOME_EXISTS,
  OUTCOME_FOUND,
  OUTCOME_HIT,
  OUTCOME_NO_KEY,
  OUTCOME_NO_MEMORY,
  OUTCOME_NO_RIGHT,
  OUTCOME_NON_NUMERIC,
  OUTCOME_NOT_FOUND,
  OUTCOME_NUMBER,
  OUTCOME_OK,
  OUTCOME_STORE_LATE,
  OUTCOME_TOO_LARGE,
  type Request,
} from '../request.ts'
import {
  problemOfStore,
  type TextResult,
  writeBytes,
  writeDecimal64,
  writeLineEnd,
  writeProblem,
} from '../text/encode.ts'
import { writeDecimal } from '../text/number.ts'
import { PROBLEM_NO_KEY, PROBLEM_NO_RIGHT } from '../text/problems.ts'
import { VERB_META_ARITHMETIC, VERB_META_DEBUG, VERB_META_GET, VERB_META_SET } from '../verbs.ts'
import { FLAG_V } from './decode.ts'

/** What stands behind the flags of a hit: who recaches, who already does, and that it is stale. */
export const MARK_WON = 1
export const MARK_SENT = 2
export const MARK_STALE = 4

/** The result registers of a meta command, as `command/` leaves them. */
export interface MetaResult extends TextResult {
  /** Of the item: Unix seconds, 0 never; before the request, from T, from N, and after the request. */
  readonly expiryBefore: number
  readonly expiryTouched: number
  readonly expiryVivified: number
  readonly expiry: number
  readonly lastAccess: number
  readonly wasFetched: boolean
  readonly itemBytes: number
  /** N has made the item. */
  readonly isCreated: boolean
  readonly marks: number
}

const SPACE = 0x20
const MINUS = 0x2d
const DIGIT_ZERO = 0x30
const DIGIT_ONE = 0x31

const encoder = new TextEncoder()

const HD = encoder.encode('HD')
const VA = encoder.encode('VA ')
const EN = encoder.encode('EN')
const NF = encoder.encode('NF')
const NS = encoder.encode('NS')
const EX = encoder.encode('EX')
const ME = encoder.encode('ME ')
const MN = encoder.encode('MN\r\n')
const KEY_IS_BASE64 = encoder.encode(' b')
const DEBUG_EXPIRY = encoder.encode(' exp=')
const DEBUG_LAST_ACCESS = encoder.encode(' la=')
const DEBUG_CAS = encoder.encode(' cas=')
const DEBUG_FETCHED = encoder.encode(' fetch=yes')
const DEBUG_NOT_FETCHED = encoder.encode(' fetch=no')
const DEBUG_CLASS_AND_SIZE = encoder.encode(' cls=1 size=')
const TOO_LARGE = encoder.encode('SERVER_ERROR object too large for cache\r\n')
const NO_MEMORY = encoder.encode('SERVER_ERROR out of memory storing object\r\n')
const NO_MEMORY_NUMBER = encoder.encode('SERVER_ERROR out of memory\r\n')
const NON_NUMERIC = encoder.encode(
  'CLIENT_ERROR cannot increment or decrement non-numeric value\r\n',
)

/** Digits of the last number that was counted. */
function digitCount(bytes: Uint8Array, offset: number, high: number, low: number): number {
  return writeDecimal64(bytes, offset, high, low) - offset
}

export function writeMetaNoop(bytes: Uint8Array, offset: number): number {
  return writeBytes(bytes, offset, MN)
}

/**
 * Writes the answer to `request` up to, not including, the value of a HIT (which the caller copies
 * behind it and ends with a line end). `input` holds the request's line.
 */
export function writeMetaResponse(
  bytes: Uint8Array,
  offset: number,
  request: Request,
  outcome: number,
  result: MetaResult,
  input: Uint8Array,
  nowSeconds: number,
): number {
  let at = offset
  switch (outcome) {
    case OUTCOME_HIT:
      at = writeDecimal(bytes, writeBytes(bytes, at, VA), result.valueBytes)
      break
    case OUTCOME_FOUND:
      if (request.verb === VERB_META_DEBUG) {
        return writeDebug(bytes, offset, request, result, input, nowSeconds)
      }
      at = writeBytes(bytes, at, HD)
      break
    case OUTCOME_OK:
      if (request.quiet) return offset
      at = writeBytes(bytes, at, HD)
      break
    case OUTCOME_NUMBER:
      if (request.quiet) return offset
      if ((request.lowerFlags & FLAG_V) !== 0) {
        at = writeBytes(bytes, at, VA)
        const digits = digitCount(bytes, at, result.numberHigh, result.numberLow)
        at = writeDecimal(bytes, at, digits)
      } else {
        at = writeBytes(bytes, at, HD)
      }
      break
    case OUTCOME_NOT_FOUND:
      if (request.verb === VERB_META_GET) {
        if (request.quiet) return offset
        at = writeBytes(bytes, at, EN)
      } else if (request.verb === VERB_META_DEBUG) {
        return writeLineEnd(bytes, writeBytes(bytes, at, EN))
      } else {
        at = writeBytes(bytes, at, NF)
      }
      break
    case OUTCOME_EXISTS:
      at = writeBytes(bytes, at, EX)
      break
    case OUTCOME_TOO_LARGE:
      return writeBytes(bytes, at, TOO_LARGE)
    case OUTCOME_NON_NUMERIC:
      return writeBytes(bytes, at, NON_NUMERIC)
    case OUTCOME_NO_MEMORY:
      return writeBytes(bytes, at, request.verb === VERB_META_SET ? NO_MEMORY : NO_MEMORY_NUMBER)
    case OUTCOME_NO_RIGHT:
      return writeProblem(bytes, at, PROBLEM_NO_RIGHT)
    case OUTCOME_NO_KEY:
      return writeProblem(bytes, at, PROBLEM_NO_KEY)
    default:
      if (outcome >= OUTCOME_STORE_LATE) return writeProblem(bytes, at, problemOfStore(outcome))
      at = writeBytes(bytes, at, NS)
  }
  at = writeFlags(bytes, at, request, outcome, result, input, nowSeconds)
  if (outcome === OUTCOME_NUMBER && (request.lowerFlags & FLAG_V) !== 0) {
    at = writeDecimal64(bytes, writeLineEnd(bytes, at), result.numberHigh, result.numberLow)
  }
  return writeLineEnd(bytes, at)
}

function writeFlags(
  bytes: Uint8Array,
  offset: number,
  request: Request,
  outcome: number,
  result: MetaResult,
  input: Uint8Array,
  nowSeconds: number,
): number {
  const tokens = request.tokens
  const verb = request.verb
  const isGetHit = verb === VERB_META_GET && outcome !== OUTCOME_NOT_FOUND
  const isSet = verb === VERB_META_SET
  const hasItem = isGetHit || (verb === VERB_META_ARITHMETIC && outcome === OUTCOME_NUMBER)
  let expiry = result.expiryBefore
  let at = offset
  for (let token = isSet ? 3 : 2; token < request.tokenCount; token++) {
    const letter = input[tokens[2 * token]!]!
    switch (letter) {
      case 0x4f: // O
        bytes[at++] = SPACE
        at = copyToken(bytes, at, input, tokens[2 * token]!, tokens[2 * token + 1]!)
        break
      case 0x6b: // k
        bytes[at++] = SPACE
        bytes[at++] = letter
        at = copyToken(bytes, at, input, tokens[2]!, tokens[3]!)
        if (request.hasBinaryKey) at = writeBytes(bytes, at, KEY_IS_BASE64)
        break
      case 0x63: // c
        if (!hasItem && !isSet) break
        at = writeDecimal64(
          bytes,
          startFlag(bytes, at, letter),
          outcome === OUTCOME_EXISTS ? 0 : result.casHigh,
          outcome === OUTCOME_EXISTS ? 0 : result.casLow,
        )
        break
      case 0x73: // s
        if (!isGetHit && !isSet) break
        at = writeDecimal(bytes, startFlag(bytes, at, letter), result.valueBytes)
        break
      case 0x74: // t
        if (hasItem) at = writeTtl(bytes, startFlag(bytes, at, letter), expiry, nowSeconds)
        break
      case 0x54: // T
        expiry = result.expiryTouched
        break
      case 0x4e: // N
        if (result.isCreated) expiry = result.expiryVivified
        break
      case 0x66: // f
        if (isGetHit) at = writeDecimal(bytes, startFlag(bytes, at, letter), result.flags)
        break
      case 0x6c: // l
        if (isGetHit) {
          at = writeDecimal(
            bytes,
            startFlag(bytes, at, letter),
            Math.max(0, nowSeconds - result.lastAccess),
          )
        }
        break
      case 0x68: // h
        if (!isGetHit) break
        at = startFlag(bytes, at, letter)
        bytes[at++] = result.wasFetched ? DIGIT_ONE : DIGIT_ZERO
        break
    }
  }
  if (!isGetHit || result.marks === 0) return at
  if ((result.marks & MARK_SENT) !== 0) at = startFlag(bytes, at, 0x5a)
  if ((result.marks & MARK_STALE) !== 0) at = startFlag(bytes, at, 0x58)
  if ((result.marks & MARK_WON) !== 0) at = startFlag(bytes, at, 0x57)
  return at
}

function startFlag(bytes: Uint8Array, offset: number, letter: number): number {
  bytes[offset] = SPACE
  bytes[offset + 1] = letter
  return offset + 2
}

function writeTtl(bytes: Uint8Array, offset: number, expiry: number, nowSeconds: number): number {
  if (expiry !== 0) return writeDecimal(bytes, offset, Math.max(0, expiry - nowSeconds))
  bytes[offset] = MINUS
  bytes[offset + 1] = DIGIT_ONE
  return offset + 2
}

function copyToken(
  bytes: Uint8Array,
  offset: number,
  input: Uint8Array,
  start: number,
  end: number,
): number {
  for (let at = start; at < end; at++) bytes[offset + at - start] = input[at]!
  return offset + end - start
}

/** ME <key> exp= la= cas= fetch= cls= size= */
function writeDebug(
  bytes: Uint8Array,
  offset: number,
  request: Request,
  result: MetaResult,
  input: Uint8Array,
  nowSeconds: number,
): number {
  const tokens = request.tokens
  let at = writeBytes(bytes, offset, ME)
  at = copyToken(bytes, at, input, tokens[2]!, tokens[3]!)
  at = writeTtl(bytes, writeBytes(bytes, at, DEBUG_EXPIRY), result.expiry, nowSeconds)
  at = writeBytes(bytes, at, DEBUG_LAST_ACCESS)
  at = writeDecimal(bytes, at, Math.max(0, nowSeconds - result.lastAccess))
  at = writeBytes(bytes, at, DEBUG_CAS)
  at = writeDecimal64(bytes, at, result.casHigh, result.casLow)
  at = writeBytes(bytes, at, result.wasFetched ? DEBUG_FETCHED : DEBUG_NOT_FETCHED)
  at = writeBytes(bytes, at, DEBUG_CLASS_AND_SIZE)
  return writeLineEnd(bytes, writeDecimal(bytes, at, result.itemBytes))
}
