/**
 * Hot path. Binary responses: numbers to bytes in a caller's buffer. The caller has made room; each
 * function returns the offset behind what it wrote.
 *
 * The quiet rules live here: quiet suppresses only the success reply of a mutation, and in the GET
 * family only the miss. Errors are always sent (protocol_binary.txt, "Quiet"), a right that is missing
 * among them. That one is 0x24 for INCREMENT and DECREMENT: clients of the libmemcached family take 0x20
 * there for a number.
 */

import {
  OUTCOME_EXISTS,
  OUTCOME_HIT,
  OUTCOME_INVALID,
  OUTCOME_NO_KEY,
  OUTCOME_NO_MEMORY,
  OUTCOME_NO_RIGHT,
  OUTCOME_NON_NUMERIC,
  OUTCOME_NOT_FOUND,
  OUTCOME_NOT_STORED,
  OUTCOME_NUMBER,
  OUTCOME_OK,
  OUTCOME_REFUSED,
  OUTCOME_STORE_BUSY,
  OUTCOME_STORE_DOWN,
  OUTCOME_STORE_LATE,
  OUTCOME_STORE_REFUSED,
  OUTCOME_TOO_LARGE,
  OUTCOME_TOUCHED,
  type Request,
} from '../request.ts'
import { VERB_DECREMENT, VERB_GET, VERB_GET_AND_TOUCH, VERB_INCREMENT } from '../verbs.ts'
import {
  HEADER_BYTES,
  MAGIC_RESPONSE,
  STATUS_AUTH_ERROR,
  STATUS_BUSY,
  STATUS_INTERNAL_ERROR,
  STATUS_INVALID_ARGUMENTS,
  STATUS_KEY_EXISTS,
  STATUS_KEY_NOT_FOUND,
  STATUS_NO_ACCESS,
  STATUS_NON_NUMERIC,
  STATUS_NOT_STORED,
  STATUS_OK,
  STATUS_OUT_OF_MEMORY,
  STATUS_TEMPORARY_FAILURE,
  STATUS_TOO_LARGE,
  STATUS_UNKNOWN_COMMAND,
} from './wire.ts'

/** Room that every response without a value fits in: header, flags, 250 bytes of key, a text. */
export const BINARY_RESPONSE_BYTES_MAX = 512

const encoder = new TextEncoder()

function errorText(text: string): Uint8Array {
  return encoder.encode(text)
}

// The texts are memcached's, to the byte; php-memcache needs a non-empty body.
const TEXT_NOT_FOUND = errorText('Not found')
const TEXT_EXISTS = errorText('Data exists for key.')
const TEXT_TOO_LARGE = errorText('Too large.')
const TEXT_INVALID = errorText('Invalid arguments')
const TEXT_NOT_STORED = errorText('Not stored.')
const TEXT_NON_NUMERIC = errorText('Non-numeric server-side value for incr or decr')
const TEXT_REFUSED = errorText('Auth failure.')
const TEXT_NO_ACCESS = errorText('No access.')
const TEXT_UNKNOWN_COMMAND = errorText('Unknown command')
const TEXT_NO_MEMORY = errorText('Out of memory allocating item')
const TEXT_STORE_FAILED = errorText('Temporary failure')
const TEXT_STORE_BUSY = errorText('System is too busy')
const TEXT_STORE_REFUSED = errorText('Internal error')

function writeUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24
  bytes[offset + 1] = value >>> 16
  bytes[offset + 2] = value >>> 8
  bytes[offset + 3] = value
}

/** A response header. Lengths in bytes; `opaque` and the CAS lanes are unsigned 32-bit numbers. */
export function writeBinaryHeader(
  bytes: Uint8Array,
  offset: number,
  opcode: number,
  status: number,
  keyLength: number,
  extrasLength: number,
  bodyLength: number,
  opaque: number,
  casHigh: number,
  casLow: number,
): number {
  bytes[offset] = MAGIC_RESPONSE
  bytes[offset + 1] = opcode
  bytes[offset + 2] = keyLength >>> 8
  bytes[offset + 3] = keyLength
  bytes[offset + 4] = extrasLength
  bytes[offset + 5] = 0
  bytes[offset + 6] = status >>> 8
  bytes[offset + 7] = status
  writeUint32(bytes, offset + 8, bodyLength)
  writeUint32(bytes, offset + 12, opaque)
  writeUint32(bytes, offset + 16, casHigh)
  writeUint32(bytes, offset + 20, casLow)
  return offset + HEADER_BYTES
}

/** The result registers of a command, as `command/execute` leaves them. */
export interface BinaryResult {
  readonly flags: number
  readonly casHigh: number
  readonly casLow: number
  readonly valueBytes: number
  readonly numberHigh: number
  readonly numberLow: number
}

/**
 * Writes the response to `request` up to, not including, the value of a HIT (which the caller
 * copies behind it), or nothing where the quiet rules say so. `input` holds the request's key.
 */
export function writeBinaryResponse(
  bytes: Uint8Array,
  offset: number,
  request: Request,
  outcome: number,
  result: BinaryResult,
  input: Uint8Array,
): number {
  switch (outcome) {
    case OUTCOME_HIT: {
      const keyLength = request.wantsKey ? request.keyLength : 0
      const bodyOffset = writeBinaryHeader(
        bytes,
        offset,
        request.opcode,
        STATUS_OK,
        keyLength,
        4,
        4 + keyLength + result.valueBytes,
        request.opaque,
        result.casHigh,
        result.casLow,
      )
      writeUint32(bytes, bodyOffset, result.flags)
      return copyKey(bytes, bodyOffset + 4, input, request.keyOffset, keyLength)
    }
    case OUTCOME_OK:
      if (request.quiet) return offset
      return writeBinaryHeader(
        bytes,
        offset,
        request.opcode,
        STATUS_OK,
        0,
        0,
        0,
        request.opaque,
        result.casHigh,
        result.casLow,
      )
    case OUTCOME_NUMBER: {
      if (request.quiet) return offset
      const bodyOffset = writeBinaryHeader(
        bytes,
        offset,
        request.opcode,
        STATUS_OK,
        0,
        0,
        8,
        request.opaque,
        result.casHigh,
        result.casLow,
      )
      writeUint32(bytes, bodyOffset, result.numberHigh)
      writeUint32(bytes, bodyOffset + 4, result.numberLow)
      return bodyOffset + 8
    }
    case OUTCOME_TOUCHED: {
      const bodyOffset = writeBinaryHeader(
        bytes,
        offset,
        request.opcode,
        STATUS_OK,
        0,
        4,
        4,
        request.opaque,
        result.casHigh,
        result.casLow,
      )
      writeUint32(bytes, bodyOffset, result.flags)
      return bodyOffset + 4
    }
    case OUTCOME_NOT_FOUND: {
      const verb = request.verb
      if (verb !== VERB_GET && verb !== VERB_GET_AND_TOUCH) {
        return writeBinaryBody(bytes, offset, request, STATUS_KEY_NOT_FOUND, TEXT_NOT_FOUND)
      }
      if (request.quiet) return offset
      if (!request.wantsKey) {
        return writeBinaryBody(bytes, offset, request, STATUS_KEY_NOT_FOUND, TEXT_NOT_FOUND)
      }
      // GETK and GATK say which key was missed: the key is the body.
      const keyLength = request.keyLength
      const bodyOffset = writeBinaryHeader(
        bytes,
        offset,
        request.opcode,
        STATUS_KEY_NOT_FOUND,
        keyLength,
        0,
        keyLength,
        request.opaque,
        0,
        0,
      )
      return copyKey(bytes, bodyOffset, input, request.keyOffset, keyLength)
    }
    case OUTCOME_EXISTS:
      return writeBinaryBody(bytes, offset, request, STATUS_KEY_EXISTS, TEXT_EXISTS)
    case OUTCOME_NOT_STORED:
      return writeBinaryBody(bytes, offset, request, STATUS_NOT_STORED, TEXT_NOT_STORED)
    case OUTCOME_TOO_LARGE:
      return writeBinaryBody(bytes, offset, request, STATUS_TOO_LARGE, TEXT_TOO_LARGE)
    case OUTCOME_NO_MEMORY:
      return writeBinaryBody(bytes, offset, request, STATUS_OUT_OF_MEMORY, TEXT_NO_MEMORY)
    case OUTCOME_NON_NUMERIC:
      return writeBinaryBody(bytes, offset, request, STATUS_NON_NUMERIC, TEXT_NON_NUMERIC)
    case OUTCOME_INVALID:
      return writeBinaryBody(bytes, offset, request, STATUS_INVALID_ARGUMENTS, TEXT_INVALID)
    default:
      return writeRefusal(bytes, offset, request, outcome)
  }
}

function writeRefusal(
  bytes: Uint8Array,
  offset: number,
  request: Request,
  outcome: number,
): number {
  switch (outcome) {
    case OUTCOME_REFUSED:
      return writeBinaryBody(bytes, offset, request, STATUS_AUTH_ERROR, TEXT_REFUSED)
    case OUTCOME_NO_RIGHT:
    case OUTCOME_NO_KEY:
      return request.verb === VERB_INCREMENT || request.verb === VERB_DECREMENT
        ? writeBinaryBody(bytes, offset, request, STATUS_NO_ACCESS, TEXT_NO_ACCESS)
        : writeBinaryBody(bytes, offset, request, STATUS_AUTH_ERROR, TEXT_REFUSED)
    case OUTCOME_STORE_LATE:
    case OUTCOME_STORE_DOWN:
      return writeBinaryBody(bytes, offset, request, STATUS_TEMPORARY_FAILURE, TEXT_STORE_FAILED)
    case OUTCOME_STORE_BUSY:
      return writeBinaryBody(bytes, offset, request, STATUS_BUSY, TEXT_STORE_BUSY)
    case OUTCOME_STORE_REFUSED:
      return writeBinaryBody(bytes, offset, request, STATUS_INTERNAL_ERROR, TEXT_STORE_REFUSED)
    default:
      return writeBinaryBody(bytes, offset, request, STATUS_UNKNOWN_COMMAND, TEXT_UNKNOWN_COMMAND)
  }
}

function copyKey(
  bytes: Uint8Array,
  offset: number,
  input: Uint8Array,
  keyOffset: number,
  keyLength: number,
): number {
  for (let i = 0; i < keyLength; i++) bytes[offset + i] = input[keyOffset + i]!
  return offset + keyLength
}

/**
 * A response whose body is `body` alone: errors, VERSION, SASL challenges. The caller has made room
 * for the header and the body.
 */
export function writeBinaryBody(
  bytes: Uint8Array,
  offset: number,
  request: Request,
  status: number,
  body: Uint8Array,
): number {
  const bodyOffset = writeBinaryHeader(
    bytes,
    offset,
    request.opcode,
    status,
    0,
    0,
    body.length,
    request.opaque,
    0,
    0,
  )
  bytes.set(body, bodyOffset)
  return bodyOffset + body.length
}

/** One packet of a STAT reply; both empty ends the reply. Room: header and both lengths. */
export function writeBinaryStat(
  bytes: Uint8Array,
  offset: number,
  request: Request,
  name: Uint8Array,
  value: Uint8Array,
): number {
  const bodyOffset = writeBinaryHeader(
    bytes,
    offset,
    request.opcode,
    STATUS_OK,
    name.length,
    0,
    name.length + value.length,
    request.opaque,
    0,
    0,
  )
  bytes.set(name, bodyOffset)
  bytes.set(value, bodyOffset + name.length)
  return bodyOffset + name.length + value.length
}
