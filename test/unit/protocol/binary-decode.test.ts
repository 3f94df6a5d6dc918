import { expect, test } from 'vitest'
import { decodeBinaryBody, decodeBinaryHeader } from '../../../src/protocol/binary/decode.ts'
import {
  DECODED,
  INCOMPLETE,
  INVALID_CLOSE,
  OVERSIZE,
  Request,
  UNFRAMED_CLOSE,
  WRONG_MAGIC,
} from '../../../src/protocol/request.ts'
import {
  VERB_ADD,
  VERB_DECREMENT,
  VERB_DELETE,
  VERB_FLUSH,
  VERB_GET,
  VERB_GET_AND_TOUCH,
  VERB_INCREMENT,
  VERB_SASL_START,
  VERB_SASL_STEP,
  VERB_SET,
  VERB_STAT,
  VERB_TOUCH,
  VERB_UNKNOWN,
  VERB_VERBOSITY,
} from '../../../src/protocol/verbs.ts'
import { requestFrame, storeFrame, words } from '../../support/binary-frames.ts'

const VALUE_BYTES_MAX = 1024
const SASL_BYTES_MAX = 512

/** Decodes one frame that starts at `offset` of `bytes`, as the dialect does. */
function decode(bytes: Uint8Array, offset = 0, end: number = bytes.length) {
  const request = new Request()
  const header = decodeBinaryHeader(bytes, offset, end, request)
  if (header !== DECODED) return { status: header, request }
  const status = decodeBinaryBody(bytes, offset, end, VALUE_BYTES_MAX, SASL_BYTES_MAX, request)
  return { status, request }
}

function textAt(bytes: Uint8Array, offset: number, length: number): string {
  return Buffer.from(bytes.subarray(offset, offset + length)).toString('latin1')
}

test('a SET is read field by field, wherever it stands in the buffer', () => {
  const frame = storeFrame(0x01, 'key', 'value', {
    flags: 0xdeadbeef,
    expiry: 0xfffffffe,
    cas: 0x0102030405060708n,
    opaque: 0xcafef00d,
  })
  for (const lead of [0, 1, 7, 100]) {
    const bytes = Buffer.concat([Buffer.alloc(lead, 0x80), frame, Buffer.from('tail')])
    const { status, request } = decode(bytes, lead)
    expect(status).toBe(DECODED)
    expect(request).toMatchObject({
      verb: VERB_SET,
      quiet: false,
      flags: 0xdeadbeef,
      expiry: 0xfffffffe,
      casHigh: 0x01020304,
      casLow: 0x05060708,
      opaque: 0xcafef00d,
      keyLength: 3,
      valueLength: 5,
      frameBytes: frame.length,
    })
    expect(textAt(bytes, request.keyOffset, 3)).toBe('key')
    expect(textAt(bytes, request.valueOffset, 5)).toBe('value')
  }
})

const WELL_FORMED: [string, Buffer, Partial<Request>][] = [
  ['GET', requestFrame({ opcode: 0x00, key: 'k' }), { verb: VERB_GET, quiet: false }],
  ['GETQ', requestFrame({ opcode: 0x09, key: 'k' }), { verb: VERB_GET, quiet: true }],
  ['GETK', requestFrame({ opcode: 0x0c, key: 'k' }), { verb: VERB_GET, wantsKey: true }],
  [
    'GETKQ',
    requestFrame({ opcode: 0x0d, key: 'k' }),
    { verb: VERB_GET, wantsKey: true, quiet: true },
  ],
  ['ADDQ', storeFrame(0x12, 'k', 'v'), { verb: VERB_ADD, quiet: true }],
  ['DELETEQ', requestFrame({ opcode: 0x14, key: 'k' }), { verb: VERB_DELETE, quiet: true }],
  [
    'INCREMENT',
    requestFrame({ opcode: 0x05, key: 'k', extras: words(1, 2, 3, 4, 5) }),
    {
      verb: VERB_INCREMENT,
      deltaHigh: 1,
      deltaLow: 2,
      initialHigh: 3,
      initialLow: 4,
      expiry: 5,
      createsMissing: true,
    },
  ],
  [
    'DECREMENTQ that creates nothing',
    requestFrame({ opcode: 0x16, key: 'k', extras: words(0, 1, 0, 0, 0xffffffff) }),
    { verb: VERB_DECREMENT, quiet: true, createsMissing: false },
  ],
  ['FLUSH without extras', requestFrame({ opcode: 0x08 }), { verb: VERB_FLUSH, expiry: 0 }],
  [
    'FLUSH with a delay',
    requestFrame({ opcode: 0x08, extras: words(9) }),
    { verb: VERB_FLUSH, expiry: 9 },
  ],
  [
    'TOUCH',
    requestFrame({ opcode: 0x1c, key: 'k', extras: words(7) }),
    { verb: VERB_TOUCH, expiry: 7 },
  ],
  [
    'GATKQ',
    requestFrame({ opcode: 0x24, key: 'k', extras: words(7) }),
    { verb: VERB_GET_AND_TOUCH, quiet: true, wantsKey: true },
  ],
  ['STAT', requestFrame({ opcode: 0x10, key: 'items' }), { verb: VERB_STAT, keyLength: 5 }],
  [
    'VERBOSITY',
    requestFrame({ opcode: 0x1b, extras: words(2) }),
    { verb: VERB_VERBOSITY, level: 2 },
  ],
  [
    'SASL AUTH',
    requestFrame({ opcode: 0x21, key: 'PLAIN', value: '\0u\0p' }),
    { verb: VERB_SASL_START, keyLength: 5, valueLength: 4 },
  ],
  [
    'SASL STEP with an empty value',
    requestFrame({ opcode: 0x22, key: 'PLAIN' }),
    { verb: VERB_SASL_STEP, valueLength: 0 },
  ],
]

test.each(WELL_FORMED)('%s is decoded', (_, frame, expected) => {
  const { status, request } = decode(frame)
  expect(status).toBe(DECODED)
  expect(request).toMatchObject({ ...expected, frameBytes: frame.length })
})

test.each(WELL_FORMED)(
  '%s is incomplete at every cut, and asks for no more than it has',
  (_, frame) => {
    for (let end = 0; end < frame.length; end++) {
      const { status, request } = decode(frame, 0, end)
      expect(status, `cut at ${end}`).toBe(INCOMPLETE)
      expect(request.frameBytes).toBeGreaterThan(end)
      expect(request.frameBytes).toBeLessThanOrEqual(frame.length)
    }
  },
)

const KEY_251 = 'k'.repeat(251)
const REFUSED: [string, Buffer][] = [
  ['a GET with extras', requestFrame({ opcode: 0x00, key: 'k', extras: words(1) })],
  ['a GET with a value', requestFrame({ opcode: 0x00, key: 'k', value: 'v' })],
  ['a GET without a key', requestFrame({ opcode: 0x00 })],
  ['a GET with a key of 251 bytes', requestFrame({ opcode: 0x00, key: KEY_251 })],
  ['a SET with four bytes of extras', requestFrame({ opcode: 0x01, key: 'k', extras: words(1) })],
  ['a SET without a key', requestFrame({ opcode: 0x01, extras: words(0, 0), value: 'v' })],
  ['a SET with a key of 251 bytes', storeFrame(0x01, KEY_251, 'v')],
  ['an APPEND with extras', storeFrame(0x0e, 'k', 'v')],
  ['a DELETE with a value', requestFrame({ opcode: 0x04, key: 'k', value: 'v' })],
  ['an INCREMENT with short extras', requestFrame({ opcode: 0x05, key: 'k', extras: words(1, 2) })],
  ['a TOUCH without extras', requestFrame({ opcode: 0x1c, key: 'k' })],
  ['a FLUSH with a key', requestFrame({ opcode: 0x08, key: 'k' })],
  ['a FLUSH with eight bytes of extras', requestFrame({ opcode: 0x08, extras: words(1, 2) })],
  ['a NOOP with a body', requestFrame({ opcode: 0x0a, value: 'x' })],
  ['a VERSION with a key', requestFrame({ opcode: 0x0b, key: 'x' })],
  ['a QUIT with a body', requestFrame({ opcode: 0x07, value: 'x' })],
  ['a STAT with a value', requestFrame({ opcode: 0x10, key: 'items', value: 'x' })],
  ['a SASL AUTH without a mechanism', requestFrame({ opcode: 0x21, value: 'x' })],
  ['a SASL AUTH with extras', requestFrame({ opcode: 0x21, key: 'PLAIN', extras: words(1) })],
  ['a SET of more than 1 GiB', storeFrame(0x01, 'k', 'v')],
]
REFUSED[REFUSED.length - 1]![1].writeUInt32BE(0x40000001, 8)

test.each(REFUSED)('%s is refused from its header on', (_, frame) => {
  expect(decode(frame).status).toBe(INVALID_CLOSE)
  expect(decode(frame, 0, 24).status).toBe(INVALID_CLOSE)
})

test('a key and extras longer than the body are refused as a broken frame', () => {
  expect(decode(requestFrame({ opcode: 0, key: 'key', bodyLength: 2 })).status).toBe(UNFRAMED_CLOSE)
  expect(decode(requestFrame({ opcode: 1, extrasLength: 9, bodyLength: 8 })).status).toBe(
    UNFRAMED_CLOSE,
  )
})

test('any first byte but 0x80 is a wrong magic, seen at once', () => {
  for (let magic = 0; magic < 256; magic++) {
    if (magic === 0x80) continue
    expect(decode(Uint8Array.of(magic)).status).toBe(WRONG_MAGIC)
  }
})

test('a value of exactly the limit is taken, one byte more is oversize as soon as the key is there', () => {
  const atLimit = storeFrame(0x01, 'k', Buffer.alloc(VALUE_BYTES_MAX))
  expect(decode(atLimit).status).toBe(DECODED)
  const above = storeFrame(0x01, 'key', Buffer.alloc(VALUE_BYTES_MAX + 1))
  const { status, request } = decode(above, 0, 24 + 8 + 3)
  expect(status).toBe(OVERSIZE)
  expect(request.frameBytes).toBe(above.length)
  expect(decode(above, 0, 24 + 8 + 2)).toMatchObject({
    status: INCOMPLETE,
    request: { frameBytes: 24 + 8 + 3 },
  })
})

test('a SASL message beyond its limit is oversize from its header on', () => {
  const frame = requestFrame({ opcode: 0x21, key: 'PLAIN', value: Buffer.alloc(SASL_BYTES_MAX) })
  expect(decode(frame, 0, 24).status).toBe(OVERSIZE)
})

test('an unknown opcode is decoded with its whole body as its frame', () => {
  const frame = requestFrame({ opcode: 0x7f, key: 'k', value: Buffer.alloc(5000) })
  const { status, request } = decode(frame, 0, 24)
  expect(status).toBe(DECODED)
  expect(request).toMatchObject({ verb: VERB_UNKNOWN, frameBytes: frame.length })
})

test('bytes behind the key of a TOUCH belong to its frame but are not waited for', () => {
  const frame = requestFrame({ opcode: 0x1c, key: 'k', extras: words(7), value: 'trailing' })
  const { status, request } = decode(frame, 0, 24 + 4 + 1)
  expect(status).toBe(DECODED)
  expect(request.frameBytes).toBe(frame.length)
})
