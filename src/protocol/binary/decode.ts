/**
 * Hot path. Binary requests: bytes to the logical Request.
 *
 * Two steps, because the auth gate stands between them: the header alone decides whether a client
 * may go on, before a body is waited for or looked at. Nothing is allocated and nothing throws.
 *
 * Invariant: after DECODED or OVERSIZE, `frameBytes` is the request's whole length on the wire, so
 * whoever skips that many bytes is in step again, whatever the opcode was.
 * Differs from memcached: bytes behind the key of a TOUCH, and the body of an unknown opcode, are
 * part of the frame and never read as the next request.
 */

import { KEY_BYTES_MAX } from '../../base/key-bytes-max.ts'
import {
  DECODED,
  INCOMPLETE,
  INVALID_CLOSE,
  OVERSIZE,
  type Request,
  UNFRAMED_CLOSE,
  WRONG_MAGIC,
} from '../request.ts'
import {
  VERB_ADD,
  VERB_APPEND,
  VERB_DECREMENT,
  VERB_DELETE,
  VERB_FLUSH,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_INCREMENT,
  VERB_NOOP,
  VERB_PREPEND,
  VERB_QUIT,
  VERB_REPLACE,
  VERB_SASL_LIST,
  VERB_SASL_START,
  VERB_SASL_STEP,
  VERB_SET,
  VERB_STAT,
  VERB_TOUCH,
  VERB_UNKNOWN,
  VERB_VERBOSITY,
  VERB_VERSION,
} from '../verbs.ts'
import {
  BODY_BYTES_MAX,
  EXPIRY_NO_CREATE,
  HEADER_BYTES,
  MAGIC_REQUEST,
  OP_ADD,
  OP_ADDQ,
  OP_APPEND,
  OP_APPENDQ,
  OP_DECREMENT,
  OP_DECREMENTQ,
  OP_DELETE,
  OP_DELETEQ,
  OP_FLUSH,
  OP_FLUSHQ,
  OP_GAT,
  OP_GATK,
  OP_GATKQ,
  OP_GATQ,
  OP_GET,
  OP_GETK,
  OP_GETKQ,
  OP_GETQ,
  OP_INCREMENT,
  OP_INCREMENTQ,
  OP_NOOP,
  OP_PREPEND,
  OP_PREPENDQ,
  OP_QUIT,
  OP_QUITQ,
  OP_REPLACE,
  OP_REPLACEQ,
  OP_SASL_AUTH,
  OP_SASL_LIST_MECHS,
  OP_SASL_STEP,
  OP_SET,
  OP_SETQ,
  OP_STAT,
  OP_TOUCH,
  OP_VERBOSITY,
  OP_VERSION,
} from './wire.ts'

const QUIET = 0x80
const WANTS_KEY = 0x40
const VERB_MASK = 0x3f

/** Opcode -> verb with its quiet and key bits; one load instead of a switch over 37 opcodes. */
const VERB_OF_OPCODE: Uint8Array = verbTable()

function verbTable(): Uint8Array {
  const table = new Uint8Array(256).fill(VERB_UNKNOWN)
  table[OP_GET] = VERB_GET
  table[OP_GETQ] = VERB_GET | QUIET
  table[OP_GETK] = VERB_GET | WANTS_KEY
  table[OP_GETKQ] = VERB_GET | WANTS_KEY | QUIET
  table[OP_SET] = VERB_SET
  table[OP_SETQ] = VERB_SET | QUIET
  table[OP_ADD] = VERB_ADD
  table[OP_ADDQ] = VERB_ADD | QUIET
  table[OP_REPLACE] = VERB_REPLACE
  table[OP_REPLACEQ] = VERB_REPLACE | QUIET
  table[OP_APPEND] = VERB_APPEND
  table[OP_APPENDQ] = VERB_APPEND | QUIET
  table[OP_PREPEND] = VERB_PREPEND
  table[OP_PREPENDQ] = VERB_PREPEND | QUIET
  table[OP_DELETE] = VERB_DELETE
  table[OP_DELETEQ] = VERB_DELETE | QUIET
  table[OP_INCREMENT] = VERB_INCREMENT
  table[OP_INCREMENTQ] = VERB_INCREMENT | QUIET
  table[OP_DECREMENT] = VERB_DECREMENT
  table[OP_DECREMENTQ] = VERB_DECREMENT | QUIET
  table[OP_TOUCH] = VERB_TOUCH
  table[OP_GAT] = VERB_GET_AND_TOUCH
  table[OP_GATQ] = VERB_GET_AND_TOUCH | QUIET
  table[OP_GATK] = VERB_GET_AND_TOUCH | WANTS_KEY
  table[OP_GATKQ] = VERB_GET_AND_TOUCH | WANTS_KEY | QUIET
  table[OP_FLUSH] = VERB_FLUSH
  table[OP_FLUSHQ] = VERB_FLUSH | QUIET
  table[OP_NOOP] = VERB_NOOP
  table[OP_VERSION] = VERB_VERSION
  table[OP_VERBOSITY] = VERB_VERBOSITY
  table[OP_STAT] = VERB_STAT
  table[OP_QUIT] = VERB_QUIT
  table[OP_QUITQ] = VERB_QUIT | QUIET
  table[OP_SASL_LIST_MECHS] = VERB_SASL_LIST
  table[OP_SASL_AUTH] = VERB_SASL_START
  table[OP_SASL_STEP] = VERB_SASL_STEP
  return table
}

function readUint32(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset]! << 24) |
      (bytes[offset + 1]! << 16) |
      (bytes[offset + 2]! << 8) |
      bytes[offset + 3]!) >>>
    0
  )
}

/**
 * Reads the 24-byte header at `offset`. DECODED: verb, opcode, quiet, wantsKey, opaque, CAS,
 * keyLength and frameBytes are set, nothing is validated yet. INCOMPLETE: `frameBytes` is what is
 * needed. UNFRAMED_CLOSE: opcode and opaque are set for the reply.
 */
export function decodeBinaryHeader(
  bytes: Uint8Array,
  offset: number,
  end: number,
  request: Request,
): number {
  if (offset >= end || bytes[offset] !== MAGIC_REQUEST) {
    request.frameBytes = HEADER_BYTES
    return offset >= end ? INCOMPLETE : WRONG_MAGIC
  }
  if (end - offset < HEADER_BYTES) {
    request.frameBytes = HEADER_BYTES
    return INCOMPLETE
  }
  const opcode = bytes[offset + 1]!
  const entry = VERB_OF_OPCODE[opcode]!
  request.opcode = opcode
  request.verb = entry & VERB_MASK
  request.quiet = (entry & QUIET) !== 0
  request.wantsKey = (entry & WANTS_KEY) !== 0
  const keyLength = (bytes[offset + 2]! << 8) | bytes[offset + 3]!
  const bodyLength = readUint32(bytes, offset + 8)
  request.keyLength = keyLength
  request.opaque = readUint32(bytes, offset + 12)
  request.casHigh = readUint32(bytes, offset + 16)
  request.casLow = readUint32(bytes, offset + 20)
  request.frameBytes = HEADER_BYTES + bodyLength
  if (keyLength + bytes[offset + 4]! > bodyLength) return UNFRAMED_CLOSE
  return DECODED
}

/**
 * Validates and reads the rest of the request whose header was just decoded at `offset`.
 * `valueBytesMax` bounds stored values; `saslBytesMax` bounds a SASL message with its mechanism
 * name. Returns DECODED, INCOMPLETE, INVALID_CLOSE or OVERSIZE.
 */
export function decodeBinaryBody(
  bytes: Uint8Array,
  offset: number,
  end: number,
  valueBytesMax: number,
  saslBytesMax: number,
  request: Request,
): number {
  const frameBytes = request.frameBytes
  const bodyLength = frameBytes - HEADER_BYTES
  const keyLength = request.keyLength
  const extrasLength = bytes[offset + 4]!
  const extrasOffset = offset + HEADER_BYTES
  const keyOffset = extrasOffset + extrasLength
  const valueLength = bodyLength - extrasLength - keyLength
  if (keyLength > KEY_BYTES_MAX || bodyLength > BODY_BYTES_MAX) return INVALID_CLOSE
  request.keyOffset = keyOffset
  request.valueOffset = keyOffset + keyLength
  request.valueLength = valueLength

  switch (request.verb) {
    case VERB_GET:
      if (extrasLength !== 0 || valueLength !== 0 || keyLength === 0) return INVALID_CLOSE
      break
    case VERB_SET:
    case VERB_ADD:
    case VERB_REPLACE:
      if (extrasLength !== 8 || keyLength === 0) return INVALID_CLOSE
      if (valueLength > valueBytesMax) return oversize(offset, end, keyOffset + keyLength, request)
      // Also of one that has not arrived whole, if its head has: a large value is not waited for.
      if (end >= keyOffset) {
        request.flags = readUint32(bytes, extrasOffset)
        request.expiry = readUint32(bytes, extrasOffset + 4)
      }
      return end - offset < frameBytes ? INCOMPLETE : DECODED
    case VERB_APPEND:
    case VERB_PREPEND:
      if (extrasLength !== 0 || keyLength === 0) return INVALID_CLOSE
      if (valueLength > valueBytesMax) return oversize(offset, end, keyOffset + keyLength, request)
      break
    case VERB_DELETE:
      if (extrasLength !== 0 || valueLength !== 0 || keyLength === 0) return INVALID_CLOSE
      break
    case VERB_INCREMENT:
    case VERB_DECREMENT:
      if (extrasLength !== 20 || valueLength !== 0 || keyLength === 0) return INVALID_CLOSE
      if (end - offset < frameBytes) return INCOMPLETE
      request.deltaHigh = readUint32(bytes, extrasOffset)
      request.deltaLow = readUint32(bytes, extrasOffset + 4)
      request.initialHigh = readUint32(bytes, extrasOffset + 8)
      request.initialLow = readUint32(bytes, extrasOffset + 12)
      request.expiry = readUint32(bytes, extrasOffset + 16)
      request.createsMissing = request.expiry !== EXPIRY_NO_CREATE
      return DECODED
    case VERB_TOUCH:
    case VERB_GET_AND_TOUCH:
      if (extrasLength !== 4 || keyLength === 0) return INVALID_CLOSE
      // A trailing body is skipped, never waited for.
      if (end < keyOffset + keyLength) {
        request.frameBytes = keyOffset + keyLength - offset
        return INCOMPLETE
      }
      request.expiry = readUint32(bytes, extrasOffset)
      return DECODED
    case VERB_FLUSH:
      if (keyLength !== 0 || valueLength !== 0) return INVALID_CLOSE
      if (extrasLength !== 0 && extrasLength !== 4) return INVALID_CLOSE
      if (end - offset < frameBytes) return INCOMPLETE
      request.expiry = extrasLength === 4 ? readUint32(bytes, extrasOffset) : 0
      return DECODED
    case VERB_VERBOSITY:
      if (extrasLength !== 4 || keyLength !== 0 || valueLength !== 0) return INVALID_CLOSE
      if (end - offset < frameBytes) return INCOMPLETE
      request.level = readUint32(bytes, extrasOffset)
      return DECODED
    case VERB_NOOP:
    case VERB_VERSION:
    case VERB_QUIT:
    case VERB_SASL_LIST:
      return bodyLength === 0 ? DECODED : INVALID_CLOSE
    case VERB_STAT:
      if (extrasLength !== 0 || valueLength !== 0) return INVALID_CLOSE
      break
    case VERB_SASL_START:
    case VERB_SASL_STEP:
      if (extrasLength !== 0 || keyLength === 0) return INVALID_CLOSE
      if (bodyLength > saslBytesMax) return OVERSIZE
      break
    default:
      // An unknown opcode: answered at once, its body skipped as it comes.
      return DECODED
  }
  return end - offset < frameBytes ? INCOMPLETE : DECODED
}

/** Too large to store, but the key is needed: a refused SET still removes the old item. */
function oversize(offset: number, end: number, prefixEnd: number, request: Request): number {
  if (end >= prefixEnd) return OVERSIZE
  request.frameBytes = prefixEnd - offset
  return INCOMPLETE
}
