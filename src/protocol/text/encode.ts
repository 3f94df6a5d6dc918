/**
 * Hot path. Text answers: numbers to bytes in a caller's buffer. The caller has made room; each
 * function returns the offset behind what it wrote.
 *
 * noreply suppresses every answer of a classic command, errors included, as in memcached; whoever
 * writes more than an outcome (values, statistics) does not come here with it.
 */
import { Decimal } from '../../base/decimal.ts'
import {
  OUTCOME_EXISTS,
  OUTCOME_NO_KEY,
  OUTCOME_NO_MEMORY,
  OUTCOME_NO_RIGHT,
  OUTCOME_NON_NUMERIC,
  OUTCOME_NOT_FOUND,
  OUTCOME_NOT_STORED,
  OUTCOME_NUMBER,
  OUTCOME_OK,
  OUTCOME_REFUSED,
  OUTCOME_STORE_LATE,
  OUTCOME_STORE_REFUSED,
  OUTCOME_TOO_LARGE,
  OUTCOME_TOUCHED,
  type Request,
} from '../request.ts'
import {
  hasVerb,
  VERB_ADD,
  VERB_DECREMENT,
  VERB_INCREMENT,
  VERB_REPLACE,
  verbsThat,
} from '../verbs.ts'
import { writeDecimal } from './number.ts'
import {
  PROBLEM_ERROR,
  PROBLEM_LINES,
  PROBLEM_NO_KEY,
  PROBLEM_NO_RIGHT,
  PROBLEM_STORE_LATE,
} from './problems.ts'

/** Room that every answer without a value fits in: a key, five numbers, flags, a text. */
export const TEXT_RESPONSE_BYTES_MAX = 1024

const SPACE = 0x20
const CARRIAGE_RETURN = 0x0d
const LINE_FEED = 0x0a

const encoder = new TextEncoder()

const STORED = encoder.encode('STORED\r\n')
const NOT_STORED = encoder.encode('NOT_STORED\r\n')
const EXISTS = encoder.encode('EXISTS\r\n')
const NOT_FOUND = encoder.encode('NOT_FOUND\r\n')
const DELETED = encoder.encode('DELETED\r\n')
const OK = encoder.encode('OK\r\n')
const TOUCHED = encoder.encode('TOUCHED\r\n')
const VALUE = encoder.encode('VALUE ')
const END = encoder.encode('END\r\n')
const NON_NUMERIC = encoder.encode(
  'CLIENT_ERROR cannot increment or decrement non-numeric value\r\n',
)
const TOO_LARGE = encoder.encode('SERVER_ERROR object too large for cache\r\n')
const NO_MEMORY = encoder.encode('SERVER_ERROR out of memory storing object\r\n')
const NO_MEMORY_NUMBER = encoder.encode('SERVER_ERROR out of memory\r\n')
const FLUSH_REFUSED = encoder.encode('CLIENT_ERROR flush_all not allowed\r\n')

const DELETED_VERBS: number = verbsThat(({ done }) => done === 'DELETED')
const OK_VERBS: number = verbsThat(({ done }) => done === 'OK')

/** The result registers of a command, as `command/` leaves them. */
export interface TextResult {
  readonly flags: number
  readonly casHigh: number
  readonly casLow: number
  readonly valueBytes: number
  readonly numberHigh: number
  readonly numberLow: number
}

const decimal = new Decimal()

/** Copies a short constant; a loop is faster than `set` below some fifty bytes. */
export function writeBytes(bytes: Uint8Array, offset: number, text: Uint8Array): number {
  const length = text.length
  for (let index = 0; index < length; index++) bytes[offset + index] = text[index]!
  return offset + length
}

export function writeLineEnd(bytes: Uint8Array, offset: number): number {
  bytes[offset] = CARRIAGE_RETURN
  bytes[offset + 1] = LINE_FEED
  return offset + 2
}

/** A number of 64 bits in two lanes. */
export function writeDecimal64(
  bytes: Uint8Array,
  offset: number,
  high: number,
  low: number,
): number {
  if (high === 0) return writeDecimal(bytes, offset, low)
  decimal.high = high
  decimal.low = low
  return offset + decimal.format(bytes, offset)
}

/**
 * `VALUE <key> <flags> <bytes>[ <cas>]\r\n` for an item that was found; the caller copies the value
 * behind it and ends it with `writeLineEnd`.
 */
export function writeValueLine(
  bytes: Uint8Array,
  offset: number,
  input: Uint8Array,
  keyOffset: number,
  keyLength: number,
  wantsCas: boolean,
  result: TextResult,
): number {
  let at = writeBytes(bytes, offset, VALUE)
  for (let index = 0; index < keyLength; index++) bytes[at + index] = input[keyOffset + index]!
  at += keyLength
  bytes[at++] = SPACE
  at = writeDecimal(bytes, at, result.flags)
  bytes[at++] = SPACE
  at = writeDecimal(bytes, at, result.valueBytes)
  if (wantsCas) {
    bytes[at++] = SPACE
    at = writeDecimal64(bytes, at, result.casHigh, result.casLow)
  }
  return writeLineEnd(bytes, at)
}

export function writeEnd(bytes: Uint8Array, offset: number): number {
  return writeBytes(bytes, offset, END)
}

/** The answer to a wrong line. */
export function writeProblem(bytes: Uint8Array, offset: number, problem: number): number {
  return writeBytes(bytes, offset, PROBLEM_LINES[problem]!)
}

/** What a failure of the store is told as; PROBLEM_ERROR if it is none. */
export function problemOfStore(outcome: number): number {
  return outcome >= OUTCOME_STORE_LATE && outcome <= OUTCOME_STORE_REFUSED
    ? PROBLEM_STORE_LATE + outcome - OUTCOME_STORE_LATE
    : PROBLEM_ERROR
}

/** The answer to a classic command that is not a retrieval. */
export function writeTextResponse(
  bytes: Uint8Array,
  offset: number,
  request: Request,
  outcome: number,
  result: TextResult,
): number {
  if (request.quiet) return offset
  const verb = request.verb
  switch (outcome) {
    case OUTCOME_OK:
      if (hasVerb(DELETED_VERBS, verb)) return writeBytes(bytes, offset, DELETED)
      if (hasVerb(OK_VERBS, verb)) return writeBytes(bytes, offset, OK)
      return writeBytes(bytes, offset, STORED)
    case OUTCOME_NUMBER:
      return writeLineEnd(bytes, writeDecimal64(bytes, offset, result.numberHigh, result.numberLow))
    case OUTCOME_TOUCHED:
      return writeBytes(bytes, offset, TOUCHED)
    case OUTCOME_NOT_FOUND:
      return writeBytes(bytes, offset, verb === VERB_REPLACE ? NOT_STORED : NOT_FOUND)
    case OUTCOME_EXISTS:
      return writeBytes(bytes, offset, verb === VERB_ADD ? NOT_STORED : EXISTS)
    case OUTCOME_NOT_STORED:
      return writeBytes(bytes, offset, NOT_STORED)
    case OUTCOME_TOO_LARGE:
      return writeBytes(bytes, offset, TOO_LARGE)
    case OUTCOME_NO_MEMORY:
      if (verb === VERB_INCREMENT || verb === VERB_DECREMENT) {
        return writeBytes(bytes, offset, NO_MEMORY_NUMBER)
      }
      return writeBytes(bytes, offset, NO_MEMORY)
    case OUTCOME_NON_NUMERIC:
      return writeBytes(bytes, offset, NON_NUMERIC)
    case OUTCOME_REFUSED:
      return writeBytes(bytes, offset, FLUSH_REFUSED)
    case OUTCOME_NO_RIGHT:
      return writeProblem(bytes, offset, PROBLEM_NO_RIGHT)
    case OUTCOME_NO_KEY:
      return writeProblem(bytes, offset, PROBLEM_NO_KEY)
    default:
      return writeProblem(bytes, offset, problemOfStore(outcome))
  }
}
